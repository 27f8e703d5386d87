//! `monopod pod history`: versions, and runs that ended.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    changes::changes,
    client::{Client, pod_path, quote},
    error::CliError,
    output,
    pod_status::PodStatus,
    table::{Align, Table},
};

/// Arguments of `pod history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The pod.
    id: String,
    /// Print how runs ended instead, the latest first.
    #[arg(long)]
    runs: bool,
    /// Print definitions, or ends of runs, as JSON.
    #[arg(long)]
    json: bool,
}

/// A run that ended.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ended {
    #[serde(rename = "instanceID")]
    instance: String,
    #[serde(default)]
    started_at: Option<String>,
    terminated_at: String,
    #[serde(default)]
    message: Option<String>,
}

/// Prints the pod's versions and what changed from one to the next, or how its runs ended.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn run(args: &HistoryArgs, client: &Client) -> Result<(), CliError> {
    if args.runs {
        return ended_runs(args, client).await;
    }
    let current = PodStatus::read(client, &args.id).await?.spec.version;
    let definitions = read_versions(client, &args.id).await?;
    if args.json {
        let newest_first = definitions
            .into_iter()
            .rev()
            .map(|(_, definition)| definition);
        return output::print_json(newest_first.collect());
    }
    output::print(&render(&definitions, current.as_deref()))
}

/// Every version and its definition, oldest first.
pub(super) async fn read_versions(
    client: &Client,
    id: &str,
) -> Result<Vec<(String, Value)>, CliError> {
    let mut versions: Vec<String> = client.get(&pod_path(id, "::versions")).await?.json()?;
    versions.sort();
    let mut definitions = Vec::new();
    for version in versions {
        let path = pod_path(id, &format!("::versions/{}", quote(&version)));
        match client.get(&path).await {
            Ok(answer) => definitions.push((version, answer.json()?)),
            // Forgotten since the list was made.
            Err(CliError::Refused(refusal)) if refusal.status == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(definitions)
}

fn render(definitions: &[(String, Value)], current: Option<&str>) -> String {
    let mut table = Table::new(&[
        ("VERSION", Align::Left),
        ("CURRENT", Align::Left),
        ("INSTANCES", Align::Centre),
        ("CHANGES", Align::Left),
    ]);
    let before = definitions.iter().map(|(_, definition)| Some(definition));
    let mut rows: Vec<_> = definitions
        .iter()
        .zip(std::iter::once(None).chain(before))
        .collect();
    rows.reverse();
    for ((version, definition), before) in rows {
        let scaling = definition.pointer("/scaling/instances");
        table.push(vec![
            version.clone(),
            if current == Some(version) { "*" } else { "" }.to_owned(),
            scaling.map_or_else(|| "1".to_owned(), ToString::to_string),
            match before {
                None => "-".to_owned(),
                Some(before) => differences(before, definition),
            },
        ]);
    }
    table.render()
}

fn differences(before: &Value, after: &Value) -> String {
    let lines: Vec<_> = changes(before, after)
        .iter()
        .map(ToString::to_string)
        .collect();
    if lines.is_empty() {
        "none: restarted".to_owned()
    } else {
        lines.join("\n")
    }
}

async fn ended_runs(args: &HistoryArgs, client: &Client) -> Result<(), CliError> {
    let answer = client.get(&pod_path(&args.id, "::status")).await?;
    let status: Value = answer.json()?;
    let history = status.get("terminationHistory").cloned();
    let history = history.unwrap_or_else(|| Value::Array(Vec::new()));
    if args.json {
        return output::print_json(history);
    }
    let ended: Vec<Ended> = serde_json::from_value(history).map_err(|source| CliError::Shape {
        request: answer.request.clone(),
        source,
    })?;
    output::print(&render_ended(&ended))
}

fn render_ended(ended: &[Ended]) -> String {
    let mut table = Table::new(&[
        ("ENDED", Align::Left),
        ("STARTED", Align::Left),
        ("INSTANCE", Align::Left),
        ("MESSAGE", Align::Left),
    ]);
    let or_dash = |text: &Option<String>| match text.as_deref() {
        None | Some("") => "-".to_owned(),
        Some(text) => text.to_owned(),
    };
    for run in ended {
        table.push(vec![
            run.terminated_at.clone(),
            or_dash(&run.started_at),
            run.instance.clone(),
            or_dash(&run.message),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_stand_newest_first_with_what_changed() {
        let version = |label: &str, instances: u32| json!({"id": "/a", "version": "v", "labels": {"x": label}, "scaling": {"instances": instances}});
        let definitions = [
            ("v1".to_owned(), version("1", 1)),
            ("v2".to_owned(), version("2", 3)),
            ("v3".to_owned(), version("2", 3)),
        ];
        insta::assert_snapshot!(render(&definitions, Some("v2")), @r#"
        VERSION  CURRENT  INSTANCES  CHANGES
        v3                    3      none: restarted
        v2       *            3      ~ labels.x: "1" -> "2"
                                     ~ scaling.instances: 1 -> 3
        v1                    1      -
        "#);
    }
}
