//! `monopod pod restart`: what Marathon has for apps alone.

use clap::Args;
use hyper::Method;

use super::{force_query, tell_deployment};
use crate::{
    client::{Client, pod_path},
    error::CliError,
    waiting::WaitArgs,
};

/// Arguments of `pod restart`.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    /// The pod.
    id: String,
    /// Stop a running deployment of the pod first.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Replaces all instances, as the pod's upgrade strategy has it, and prints the deployment.
///
/// # Errors
/// Whatever kept it from being restarted, or from running with `--wait`.
pub(crate) async fn run(args: &RestartArgs, client: &Client) -> Result<(), CliError> {
    let path = format!(
        "{}{}",
        pod_path(&args.id, "::restart"),
        force_query(args.force)
    );
    let answer = client.send(Method::POST, &path, None).await?;
    tell_deployment(client, &args.id, answer.deployment, &args.wait).await
}
