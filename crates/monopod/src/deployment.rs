//! `monopod deployment`.

mod list;
mod stop;
mod watch;

use clap::Subcommand;

use crate::{client::Client, error::CliError};

/// Verbs of `deployment`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentVerb {
    /// List running deployments.
    List(list::ListArgs),
    /// Show a deployment until it is over.
    Watch(watch::WatchArgs),
    /// End a deployment and leave everything as it is.
    Stop(stop::StopArgs),
    /// Take back what a deployment changed.
    Rollback(stop::StopArgs),
}

impl DeploymentVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::List(args) => list::run(&args, client).await,
            Self::Watch(args) => watch::run(&args, client).await,
            Self::Stop(args) => stop::stop(&args, client).await,
            Self::Rollback(args) => stop::roll_back(&args, client).await,
        }
    }
}
