//! `monopod deployment stop` and `monopod deployment rollback`.

use clap::Args;
use hyper::Method;

use crate::{
    client::{Client, quote},
    error::CliError,
    output,
};

/// Which deployment.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The deployment.
    id: String,
}

/// Ends the deployment and leaves everything as it is; prints nothing.
///
/// # Errors
/// There is no such deployment, among others.
pub(crate) async fn stop(args: &StopArgs, client: &Client) -> Result<(), CliError> {
    let path = format!("/v2/deployments/{}?force=true", quote(&args.id));
    client.send(Method::DELETE, &path, None).await.map(drop)
}

/// Takes back what the deployment changed and prints the deployment that does it.
///
/// # Errors
/// As [`stop`].
pub(crate) async fn roll_back(args: &StopArgs, client: &Client) -> Result<(), CliError> {
    let path = format!("/v2/deployments/{}", quote(&args.id));
    let answer = client.send(Method::DELETE, &path, None).await?;
    output::print_json(answer.json()?)
}
