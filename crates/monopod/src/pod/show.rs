//! `monopod pod show`.

use clap::Args;

use crate::{
    client::{Client, pod_path},
    error::CliError,
    output,
};

/// Arguments of `pod show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The pod.
    id: String,
    /// As JSON, which is what is printed anyway.
    #[arg(long)]
    json: bool,
}

/// Prints the pod's status document.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn run(args: &ShowArgs, client: &Client) -> Result<(), CliError> {
    let answer = client.get(&pod_path(&args.id, "::status")).await?;
    output::print_json(answer.json()?)
}
