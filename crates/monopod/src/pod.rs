//! `monopod pod`: the verbs of `dcos marathon pod`, and what people missed there.

mod add;
mod history;
mod kill;
mod list;
mod logs;
mod plan;
mod remove;
mod restart;
mod rollback;
mod show;
mod update;

use clap::Subcommand;

use crate::{
    client::Client,
    error::CliError,
    output,
    waiting::{WaitArgs, Waiting},
};

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
    /// Tell what a definition would change and do, without doing it.
    Plan(plan::PlanArgs),
    /// Replace all instances of a pod by new ones, as its upgrade strategy has it.
    Restart(restart::RestartArgs),
    /// Print a pod's versions, or how its runs ended.
    History(history::HistoryArgs),
    /// Return to an earlier version of a pod.
    Rollback(rollback::RollbackArgs),
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
            Self::Plan(args) => plan::run(&args, client).await,
            Self::Restart(args) => restart::run(&args, client).await,
            Self::History(args) => history::run(&args, client).await,
            Self::Rollback(args) => rollback::run(&args, client).await,
            Self::Remove(args) => remove::run(&args, client).await,
            Self::Kill(args) => kill::run(&args, client).await,
            Self::Logs(args) => logs::run(&args, client).await,
        }
    }
}

/// Prints the deployment that changes a pod, and waits for its end if that was asked for.
async fn tell_deployment(
    client: &Client,
    id: &str,
    deployment: Option<String>,
    wait: &WaitArgs,
) -> Result<(), CliError> {
    let deployment = deployment.ok_or_else(|| {
        CliError::notice("Error: missing \"Marathon-Deployment-Id\" header from Marathon response")
    })?;
    output::print_line(&format!("Created deployment {deployment}"))?;
    if wait.wait {
        return Waiting::new(client, id, wait)
            .until_deployed(&deployment)
            .await;
    }
    Ok(())
}

/// The query of a request that may be forced.
fn force_query(force: bool) -> &'static str {
    if force { "?force=true" } else { "" }
}
