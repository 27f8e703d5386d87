//! `monopod deployment`.

mod list;

use clap::Subcommand;

use crate::{client::Client, error::CliError};

/// Verbs of `deployment`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentVerb {
    /// List running deployments.
    List(list::ListArgs),
}

impl DeploymentVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::List(args) => list::run(&args, client).await,
        }
    }
}
