//! `monopod pod`: the verbs of `dcos marathon pod`, and what people missed there.

mod add;
mod kill;
mod list;
mod logs;
mod remove;
mod show;
mod update;

use clap::Subcommand;

use crate::{client::Client, error::CliError};

/// Verbs of `pod`.
#[derive(Debug, Subcommand)]
pub(crate) enum PodVerb {
    /// Add a pod.
    Add(add::AddArgs),
    /// List all pods.
    List(list::ListArgs),
    /// Show a pod's status.
    Show(show::ShowArgs),
    /// Replace a pod's definition.
    Update(update::UpdateArgs),
    /// Remove a pod.
    Remove(remove::RemoveArgs),
    /// Kill instances of a pod; they are replaced.
    Kill(kill::KillArgs),
    /// Print what a pod's containers wrote.
    Logs(logs::LogsArgs),
}

impl PodVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::Add(args) => add::run(args, client).await,
            Self::List(args) => list::run(&args, client).await,
            Self::Show(args) => show::run(&args, client).await,
            Self::Update(args) => update::run(args, client).await,
            Self::Remove(args) => remove::run(&args, client).await,
            Self::Kill(args) => kill::run(&args, client).await,
            Self::Logs(args) => logs::run(&args, client).await,
        }
    }
}

/// The query of a request that may be forced.
fn force_query(force: bool) -> &'static str {
    if force { "?force=true" } else { "" }
}
