//! `monopod task`: containers, under the name that Marathon has for them.
//!
//! Containers of a pod live and end together: to kill one is to kill its instance.

mod kill;
mod list;

use clap::Subcommand;
use serde_json::Value;

use crate::{client::Client, error::CliError};

/// Verbs of `task`.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskVerb {
    /// List containers.
    List(list::ListArgs),
    /// Show a container.
    Show(list::ShowArgs),
    /// Kill a container's instance; another run takes its place.
    Stop(kill::StopArgs),
    /// Kill the instances of containers.
    Kill(kill::KillArgs),
}

impl TaskVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever kept the verb from success.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        match self {
            Self::List(args) => list::run(&args, client).await,
            Self::Show(args) => list::show(&args, client).await,
            Self::Stop(args) => kill::stop(&args, client).await,
            Self::Kill(args) => kill::run(&args, client).await,
        }
    }
}

/// A container of some instance.
#[derive(Clone, Debug, PartialEq)]
struct Task {
    id: String,
    pod: String,
    instance: String,
    host: String,
    healthy: Option<bool>,
    state: String,
    since: String,
    /// Its status document, with pod and instance.
    document: Value,
}

/// Every container that was ever launched of the instances that there are.
async fn read(client: &Client) -> Result<Vec<Task>, CliError> {
    let pods: Vec<Value> = client.get("/v2/pods/::status").await?.json()?;
    Ok(tasks(&pods))
}

fn tasks(pods: &[Value]) -> Vec<Task> {
    let mut tasks = Vec::new();
    for pod in pods {
        for instance in items(pod, "instances") {
            for container in items(instance, "containers") {
                tasks.extend(task(pod, instance, container));
            }
        }
    }
    tasks.sort_by(|one, other| (&one.pod, &one.id).cmp(&(&other.pod, &other.id)));
    tasks
}

fn task(pod: &Value, instance: &Value, container: &Value) -> Option<Task> {
    let (pod, instance_id) = (text(pod, "id"), text(instance, "id"));
    let mut document = container.clone();
    let members = document.as_object_mut()?;
    members.insert("podId".to_owned(), pod.clone().into());
    members.insert("instanceId".to_owned(), instance_id.clone().into());
    let conditions = items(container, "conditions").iter();
    let healthy = conditions
        .filter(|condition| condition.get("name").is_some_and(|name| name == "healthy"))
        .find_map(|condition| condition.get("value")?.as_str()?.parse().ok());
    Some(Task {
        id: container.get("containerId")?.as_str()?.to_owned(),
        pod,
        instance: instance_id,
        host: text(instance, "agentHostname"),
        healthy,
        state: text(container, "status"),
        since: text(container, "statusSince"),
        document,
    })
}

fn items<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    let found = document.get(name).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn text(document: &Value, name: &str) -> String {
    let found = document.get(name).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

/// DC/OS's words where there is no such task.
fn unknown(id: &str) -> CliError {
    CliError::notice(format!("Task '{id}' does not exist"))
}
