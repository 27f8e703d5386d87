//! `monopod pod remove`.

use clap::Args;
use hyper::Method;

use super::force_query;
use crate::{
    client::{Client, pod_path},
    error::CliError,
    waiting::{WaitArgs, Waiting},
};

/// Arguments of `pod remove`.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The pod.
    id: String,
    /// Stop a running deployment of the pod first.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Removes a pod; prints nothing.
///
/// # Errors
/// Whatever kept it from being removed, or from being gone with `--wait`.
pub(crate) async fn run(args: &RemoveArgs, client: &Client) -> Result<(), CliError> {
    let path = format!("{}{}", pod_path(&args.id, ""), force_query(args.force));
    let answer = client.send(Method::DELETE, &path, None).await?;
    match answer.deployment {
        Some(deployment) if args.wait.wait => {
            Waiting::new(client, &args.id, &args.wait)
                .until_removed(&deployment)
                .await
        }
        Some(_) | None => Ok(()),
    }
}
