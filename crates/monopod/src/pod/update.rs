//! `monopod pod update`.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;

use super::{force_query, tell_deployment};
use crate::{
    client::{Client, pod_path},
    definition_source,
    error::CliError,
    pod_status::PodStatus,
    waiting::WaitArgs,
};

/// Arguments of `pod update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The pod.
    id: String,
    /// The new definition; standard input where it is absent or `-`.
    file: Option<PathBuf>,
    /// Stop a running deployment of the pod first.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Replaces the definition of a pod that exists and prints the deployment.
///
/// # Errors
/// Whatever kept it from being replaced, or from running with `--wait`.
pub(crate) async fn run(args: UpdateArgs, client: &Client) -> Result<(), CliError> {
    let definition = definition_source::read(args.file.as_deref())?;
    // PUT would add a pod that does not exist; this verb does not.
    PodStatus::read(client, &args.id).await?;
    let path = format!("{}{}", pod_path(&args.id, ""), force_query(args.force));
    let answer = client.send(Method::PUT, &path, Some(definition)).await?;
    tell_deployment(client, &args.id, answer.deployment, &args.wait).await
}
