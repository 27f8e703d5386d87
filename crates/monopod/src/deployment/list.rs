//! `monopod deployment list`.

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    client::Client,
    error::CliError,
    output,
    table::{Align, Table},
    waiting::action_word,
};

/// Arguments of `deployment list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those that change this pod.
    id: Option<String>,
    /// Print the deployments, as JSON.
    #[arg(long)]
    json: bool,
    /// Print ids only.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// An element of `GET /v2/deployments`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    id: String,
    #[serde(default)]
    affected_apps: Vec<String>,
    #[serde(default)]
    affected_pods: Vec<String>,
    #[serde(default)]
    current_actions: Vec<Action>,
    current_step: u32,
    total_steps: u32,
}

#[derive(Clone, Deserialize)]
struct Action {
    action: String,
    #[serde(default)]
    app: Option<String>,
    #[serde(default)]
    pod: Option<String>,
}

/// Prints running deployments.
///
/// # Errors
/// As [`Client::get`], and [`CliError::Notice`] where there are none.
pub(crate) async fn run(args: &ListArgs, client: &Client) -> Result<(), CliError> {
    let answer = client.get("/v2/deployments").await?;
    let mut found: Vec<(Deployment, Value)> = Vec::new();
    for value in answer.json::<Vec<Value>>()? {
        let deployment = Deployment::deserialize(&value).map_err(|source| CliError::Shape {
            request: answer.request.clone(),
            source,
        })?;
        if args.id.as_deref().is_none_or(|id| deployment.affects(id)) {
            found.push((deployment, value));
        }
    }
    if args.json {
        let values = found.into_iter().map(|(_, value)| value).collect();
        return output::print_json(Value::Array(values));
    }
    if found.is_empty() {
        return Err(CliError::notice(none_text(args.id.as_deref())));
    }
    let deployments: Vec<_> = found
        .into_iter()
        .map(|(deployment, _)| deployment)
        .collect();
    output::print(&if args.quiet {
        ids(&deployments)
    } else {
        render(deployments)
    })
}

fn none_text(id: Option<&str>) -> String {
    match id {
        Some(id) => format!("There are no deployments for '{id}'"),
        None => "There are no deployments".to_owned(),
    }
}

fn ids(deployments: &[Deployment]) -> String {
    deployments
        .iter()
        .map(|deployment| format!("{}\n", deployment.id))
        .collect()
}

fn render(mut deployments: Vec<Deployment>) -> String {
    deployments.sort_by_key(|deployment| deployment.resources().cloned().collect::<Vec<_>>());
    let mut table = Table::new(&[
        ("APP", Align::Left),
        ("POD", Align::Left),
        ("ACTION", Align::Left),
        ("PROGRESS", Align::Centre),
        ("ID", Align::Left),
    ]);
    for deployment in deployments {
        let steps_done = deployment.current_step.saturating_sub(1);
        table.push(vec![
            lines_or_dash(&deployment.affected_apps),
            lines_or_dash(&deployment.affected_pods),
            deployment.actions(),
            format!("{steps_done}/{}", deployment.total_steps),
            deployment.id,
        ]);
    }
    table.render()
}

fn lines_or_dash(ids: &[String]) -> String {
    if ids.is_empty() {
        "-".to_owned()
    } else {
        ids.join("\n")
    }
}

impl Deployment {
    fn resources(&self) -> impl Iterator<Item = &String> {
        self.affected_apps.iter().chain(&self.affected_pods)
    }

    fn affects(&self, id: &str) -> bool {
        self.resources()
            .any(|resource| resource.trim_matches('/') == id.trim_matches('/'))
    }

    fn actions(&self) -> String {
        let several = self.resources().count() > 1;
        let lines: Vec<_> = self
            .current_actions
            .iter()
            .map(|action| action.text(several))
            .collect();
        lines.join("\n")
    }
}

impl Action {
    fn text(&self, with_resource: bool) -> String {
        let word = action_word(&self.action);
        match self.app.as_ref().or(self.pod.as_ref()) {
            Some(resource) if with_resource => format!("{word} {resource}"),
            Some(_) | None => word.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Vec<Deployment> {
        serde_json::from_value(json!([
            {"id": "d-2", "affectedApps": [], "affectedPods": ["/b", "/c"], "currentStep": 1,
             "totalSteps": 1, "currentActions": [
                {"action": "StopPod", "pod": "/b"}, {"action": "RestartPod", "pod": "/c"}]},
            {"id": "d-1", "affectedApps": [], "affectedPods": ["/a"], "currentStep": 2,
             "totalSteps": 2, "currentActions": [{"action": "ScalePod", "pod": "/a"}]}
        ]))
        .unwrap()
    }

    #[test]
    fn table_is_the_one_scripts_know() {
        insta::assert_snapshot!(render(sample()), @r"
        APP  POD  ACTION      PROGRESS  ID
        -    /a   scale         1/2     d-1
        -    /b   stop /b       0/1     d-2
             /c   restart /c
        ");
        assert_eq!(ids(&sample()), "d-2\nd-1\n");
    }

    #[test]
    fn filters_by_pod_however_it_is_written() {
        let deployment = &sample()[1];
        let cases = [
            ("/a", true),
            ("a", true),
            ("/a/", true),
            ("/b", false),
            ("", false),
        ];
        for (id, affected) in cases {
            assert_eq!(deployment.affects(id), affected, "{id}");
        }
        assert_eq!(none_text(Some("/x")), "There are no deployments for '/x'");
        assert_eq!(none_text(None), "There are no deployments");
    }
}
