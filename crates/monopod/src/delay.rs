//! `monopod delay`.

use clap::{Args, Subcommand};
use hyper::Method;

use crate::{
    client::{Client, quote},
    error::CliError,
};

/// Verbs of `delay`.
#[derive(Debug, Subcommand)]
pub(crate) enum DelayVerb {
    /// Let a pod that waits after failures be launched at once.
    Reset(ResetArgs),
}

/// Arguments of `delay reset`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The pod.
    id: String,
}

impl DelayVerb {
    /// Does what was asked; prints nothing.
    ///
    /// # Errors
    /// The pod does not wait, among others.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        let Self::Reset(args) = self;
        let path = format!("/v2/queue/{}/delay", quote(args.id.trim_matches('/')));
        client.send(Method::DELETE, &path, None).await.map(drop)
    }
}
