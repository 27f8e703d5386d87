//! `monopod task list` and `monopod task show`.

use clap::Args;
use serde_json::Value;

use super::{Task, read, unknown};
use crate::{
    client::Client,
    error::CliError,
    output,
    table::{Align, Table},
};

/// Arguments of `task list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this pod.
    id: Option<String>,
    /// Print the containers' status documents, as JSON.
    #[arg(long)]
    json: bool,
    /// Print ids only.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// Arguments of `task show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The task, as `task list` prints it.
    id: String,
}

/// Prints containers.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn run(args: &ListArgs, client: &Client) -> Result<(), CliError> {
    let mut tasks = read(client).await?;
    if let Some(id) = &args.id {
        tasks.retain(|task| task.pod.trim_matches('/') == id.trim_matches('/'));
    }
    if args.json {
        let documents = tasks.into_iter().map(|task| task.document);
        return output::print_json(Value::Array(documents.collect()));
    }
    if args.quiet {
        let ids = tasks.iter().map(|task| format!("{}\n", task.id));
        return output::print(&ids.collect::<String>());
    }
    output::print(&render(&tasks))
}

/// Prints a container's status document.
///
/// # Errors
/// There is no such container; else as [`Client::get`].
pub(crate) async fn show(args: &ShowArgs, client: &Client) -> Result<(), CliError> {
    let tasks = read(client).await?;
    let found = tasks.into_iter().find(|task| task.id == args.id);
    output::print_json(found.ok_or_else(|| unknown(&args.id))?.document)
}

/// The columns of DC/OS, and the state.
fn render(tasks: &[Task]) -> String {
    let mut table = Table::new(&[
        ("APP", Align::Left),
        ("HEALTHY", Align::Left),
        ("STARTED", Align::Left),
        ("HOST", Align::Left),
        ("ID", Align::Left),
        ("STATE", Align::Left),
    ]);
    for task in tasks {
        // What has no check is well as long as it runs, as DC/OS has it.
        let healthy = task.healthy.unwrap_or(task.state == "TASK_RUNNING");
        table.push(vec![
            task.pod.clone(),
            if healthy { "True" } else { "False" }.to_owned(),
            task.since.clone(),
            task.host.clone(),
            task.id.clone(),
            task.state.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::tasks, *};

    #[test]
    fn containers_are_the_tasks() {
        let pods = [json!({"id": "/shop/web", "instances": [{
            "id": "shop_web.instance-1", "agentHostname": "box", "containers": [
                {"name": "b", "containerId": "shop_web.instance-1.b.1", "status": "TASK_FAILED", "statusSince": "t2"},
                {"name": "a", "containerId": "shop_web.instance-1.a.1", "status": "TASK_RUNNING", "statusSince": "t1",
                 "conditions": [{"name": "healthy", "value": "false"}]}]}]})];
        let found = tasks(&pods);
        insta::assert_snapshot!(render(&found), @r"
        APP        HEALTHY  STARTED  HOST  ID                       STATE
        /shop/web  False    t1       box   shop_web.instance-1.a.1  TASK_RUNNING
        /shop/web  False    t2       box   shop_web.instance-1.b.1  TASK_FAILED
        ");
        assert_eq!(found[0].document["instanceId"], "shop_web.instance-1");
    }
}
