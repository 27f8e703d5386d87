//! `monopod pod list`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    client::Client,
    error::CliError,
    output,
    pod_status::{Outcome, PodStatus},
    table::{Align, Table},
};

/// Arguments of `pod list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print the status documents, as JSON.
    #[arg(long)]
    json: bool,
    /// Print ids only.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// `GET /v2/queue`.
#[derive(Default, Deserialize)]
struct Queue {
    queue: Vec<Waiting>,
}

#[derive(Deserialize)]
struct Waiting {
    pod: Option<Pod>,
    delay: Delay,
}

#[derive(Deserialize)]
struct Pod {
    id: String,
}

#[derive(Deserialize)]
struct Delay {
    overdue: bool,
}

/// Prints all pods.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn run(args: &ListArgs, client: &Client) -> Result<(), CliError> {
    let answer = client.get("/v2/pods/::status").await?;
    if args.quiet {
        return output::print(&ids(answer.json()?));
    }
    let overdue = overdue(client.get("/v2/queue").await?.json()?);
    if args.json {
        return output::print_json(Value::Array(mark_overdue(answer.json()?, &overdue)));
    }
    output::print(&render(answer.json()?, &overdue))
}

/// Whether each pod that waits is past its delay.
fn overdue(queue: Queue) -> BTreeMap<String, bool> {
    let entries = queue.queue.into_iter();
    entries
        .filter_map(|entry| Some((entry.pod?.id, entry.delay.overdue)))
        .collect()
}

fn ids(pods: Vec<PodStatus>) -> String {
    let mut ids: Vec<_> = pods
        .into_iter()
        .map(|pod| format!("{}\n", pod.id))
        .collect();
    ids.sort();
    ids.concat()
}

fn mark_overdue(pods: Vec<Value>, overdue: &BTreeMap<String, bool>) -> Vec<Value> {
    let mark = |mut pod: Value| {
        let id = pod.get("id").and_then(Value::as_str).unwrap_or_default();
        let overdue = overdue.get(id).copied().unwrap_or(false);
        if let Value::Object(members) = &mut pod {
            members.insert("overdue".to_owned(), json!(overdue));
        }
        pod
    };
    pods.into_iter().map(mark).collect()
}

/// The table; nothing at all when there are no pods.
fn render(mut pods: Vec<PodStatus>, overdue: &BTreeMap<String, bool>) -> String {
    if pods.is_empty() {
        return String::new();
    }
    pods.sort_by(|a, b| a.id.cmp(&b.id));
    let mut table = Table::new(&[
        ("ID+TASKS", Align::Left),
        ("INSTANCES", Align::Centre),
        ("VERSION", Align::Left),
        ("STATUS", Align::Left),
        ("STATUS SINCE", Align::Left),
        ("WAITING", Align::Left),
        ("ROLE", Align::Left),
    ]);
    for pod in pods {
        let waiting = overdue.get(&pod.id).copied().unwrap_or(false);
        table.push(vec![
            id_and_tasks(&pod),
            pod.instances.len().to_string(),
            pod.spec.version.clone().unwrap_or_else(|| "-".to_owned()),
            status_word(&pod),
            pod.status_since,
            if waiting { "True" } else { "False" }.to_owned(),
            pod.spec.role.unwrap_or_else(|| "N/A".to_owned()),
        ]);
    }
    table.render()
}

/// Marathon's word, or what came of a pod that is over.
fn status_word(pod: &PodStatus) -> String {
    match pod.outcome() {
        Some(Outcome::Finished) if pod.status == "TERMINAL" => "FINISHED".to_owned(),
        Some(Outcome::Failed) if pod.status == "TERMINAL" => "FAILED".to_owned(),
        Some(_) | None => pod.status.clone(),
    }
}

fn id_and_tasks(pod: &PodStatus) -> String {
    let mut names: Vec<_> = pod
        .spec
        .containers
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    names.sort_unstable();
    let lines = names.iter().map(|name| format!("\n |-{name}"));
    std::iter::once(pod.id.clone()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod_status::tests::{job, sample};

    fn queue() -> BTreeMap<String, bool> {
        let queue = json!({"queue": [
            {"pod": {"id": "/shop/web"}, "delay": {"timeLeftSeconds": 0, "overdue": true}},
            {"app": {"id": "/app"}, "delay": {"overdue": true}}
        ]});
        overdue(serde_json::from_value(queue).unwrap())
    }

    #[test]
    fn table_is_the_one_scripts_know() {
        let other = json!({
            "id": "/a", "status": "STABLE", "statusSince": "2024-05-01T10:00:00.000Z",
            "spec": {"id": "/a", "containers": [{"name": "z"}]}
        });
        let pods = [sample(), other].map(|pod| serde_json::from_value(pod).unwrap());
        insta::assert_snapshot!(render(pods.to_vec(), &queue()), @r"
        ID+TASKS   INSTANCES  VERSION                   STATUS    STATUS SINCE              WAITING  ROLE
        /a             0      -                         STABLE    2024-05-01T10:00:00.000Z  False    N/A
         |-z
        /shop/web      2      2024-05-01T09:00:00.000Z  DEGRADED  2024-05-01T10:00:00.120Z  True     *
         |-log
         |-web
        ");
        assert_eq!(render(Vec::new(), &queue()), "");
    }

    #[test]
    fn what_came_of_a_pod_is_its_status() {
        let cases = [
            ("NEVER", "TASK_FINISHED", "FINISHED"),
            ("NEVER", "TASK_FAILED", "FAILED"),
            ("NEVER", "TASK_KILLING", "TERMINAL"),
            ("ALWAYS", "TASK_KILLED", "TERMINAL"),
        ];
        for (policy, container, word) in cases {
            let pod = job(
                policy,
                [("TERMINAL", "TASK_FINISHED"), ("TERMINAL", container)],
            );
            assert_eq!(status_word(&pod), word, "{policy} {container}");
        }
    }

    #[test]
    fn other_forms() {
        let pods = mark_overdue(vec![sample()], &queue());
        assert_eq!(pods[0]["overdue"], json!(true));
        assert_eq!(
            ids(vec![serde_json::from_value(sample()).unwrap()]),
            "/shop/web\n"
        );
    }
}
