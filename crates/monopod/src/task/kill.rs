//! `monopod task stop` and `monopod task kill`.

use std::collections::BTreeMap;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::{Task, read, unknown};
use crate::{
    client::{Client, pod_path},
    error::CliError,
    output,
};

/// Arguments of `task stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The task, as `task list` prints it.
    id: String,
    /// Let another instance take the place of this one, which is forgotten.
    #[arg(long)]
    wipe: bool,
}

/// Arguments of `task kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The tasks, as `task list` prints them.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Let other instances take the places of these, which are forgotten.
    #[arg(long)]
    wipe: bool,
    /// Print the containers' status documents, as JSON.
    #[arg(long)]
    json: bool,
}

/// Kills a container's instance and prints the container.
///
/// # Errors
/// There is no such container; or whatever kept it from being killed.
pub(crate) async fn stop(args: &StopArgs, client: &Client) -> Result<(), CliError> {
    let mut found = kill(client, std::slice::from_ref(&args.id), args.wipe).await?;
    let task = found.pop().ok_or_else(|| unknown(&args.id))?;
    output::print_json(task.document)
}

/// Kills the instances of containers and prints which containers those were.
///
/// # Errors
/// None of them exists; or whatever kept them from being killed.
pub(crate) async fn run(args: &KillArgs, client: &Client) -> Result<(), CliError> {
    let killed = kill(client, &args.ids, args.wipe).await?;
    if args.json {
        let documents: Vec<_> = killed.iter().map(|task| &task.document).collect();
        output::print_json(json!({ "tasks": documents }))?;
    } else {
        output::print_line(&format!("Killed tasks: {}", list(&killed)))?;
    }
    if killed.is_empty() {
        return Err(CliError::notice(
            "Failed to kill tasks. task-ids seems to be unknown",
        ));
    }
    Ok(())
}

/// As Python prints lists of texts, which scripts know.
fn list(tasks: &[Task]) -> String {
    let ids: Vec<_> = tasks.iter().map(|task| format!("'{}'", task.id)).collect();
    format!("[{}]", ids.join(", "))
}

/// Those of the tasks that exist, once their instances are being killed.
async fn kill(client: &Client, ids: &[String], wipe: bool) -> Result<Vec<Task>, CliError> {
    let mut tasks = read(client).await?;
    tasks.retain(|task| ids.contains(&task.id));
    let mut instances: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for task in &tasks {
        let of_pod = instances.entry(&task.pod).or_default();
        if !of_pod.contains(&task.instance.as_str()) {
            of_pod.push(&task.instance);
        }
    }
    let query = if wipe { "?wipe=true" } else { "" };
    for (pod, instances) in instances {
        let path = format!("{}{query}", pod_path(pod, "::instances"));
        let body = json!(instances).to_string().into_bytes();
        client.send(Method::DELETE, &path, Some(body)).await?;
    }
    Ok(tasks)
}
