//! `monopod pod plan`.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    changes::changes, client::Client, definition_source, error::CliError, output,
    waiting::action_word,
};

/// Arguments of `pod plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The definition; standard input where it is absent or `-`.
    file: Option<PathBuf>,
    /// Print the plan as JSON.
    #[arg(long)]
    json: bool,
}

/// The answer of `/v2/pods/::plan`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    id: String,
    changed: bool,
    definition: Value,
    #[serde(default)]
    present: Option<Value>,
    steps: Vec<Step>,
    moves: Vec<Move>,
    fits: bool,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    locked_by: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    actions: Vec<Action>,
}

#[derive(Deserialize)]
struct Action {
    action: String,
}

#[derive(Deserialize)]
struct Move {
    kind: String,
    #[serde(default)]
    instance: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Prints what the definition would change, and do; does nothing.
///
/// # Errors
/// What adding or updating would be refused for.
pub(crate) async fn run(args: &PlanArgs, client: &Client) -> Result<(), CliError> {
    let definition = definition_source::read(args.file.as_deref())?;
    let answer = client
        .send(Method::POST, "/v2/pods/::plan", Some(definition))
        .await?;
    if args.json {
        return output::print_json(answer.json()?);
    }
    output::print(&render(&answer.json()?))
}

fn render(plan: &Plan) -> String {
    let id = &plan.id;
    if !plan.changed {
        return format!("{id}: nothing would change\n");
    }
    let mut text = match &plan.present {
        None => format!("{id} would be added\n"),
        Some(present) => {
            let changes = changes(present, &plan.definition);
            let lines = changes.iter().map(|change| format!("  {change}\n"));
            format!("{id} would be changed:\n{}", lines.collect::<String>())
        }
    };
    text.push_str("Steps:\n");
    for (number, step) in (1..).zip(&plan.steps) {
        let words: Vec<_> = step
            .actions
            .iter()
            .map(|one| action_word(&one.action))
            .collect();
        text.push_str(&format!("  {number}. {}\n", words.join(", ")));
    }
    if !plan.moves.is_empty() {
        text.push_str("Instances, if all goes well:\n");
        text.push_str(&moves(&plan.moves));
    }
    let fits = if plan.fits {
        "It fits"
    } else {
        "It does not fit"
    };
    text.push_str(&match &plan.message {
        Some(reason) => format!("{fits}: {reason}\n"),
        None => format!("{fits}\n"),
    });
    if let Some(deployment) = &plan.locked_by {
        text.push_str(&format!(
            "Deployment {deployment} works on it: wait for its end, or stop it by --force\n"
        ));
    }
    text
}

/// Launches that follow one another are told together.
fn moves(moves: &[Move]) -> String {
    let mut text = String::new();
    let mut rest = moves;
    while let Some(first) = rest.first() {
        let launches = rest.iter().take_while(|one| one.kind == "LAUNCH").count();
        let line = match (launches, &first.instance, &first.message) {
            (0, Some(instance), Some(reason)) => {
                format!("end {instance} first: the new one's {reason}")
            }
            (0, instance, _) => format!("end {}", instance.as_deref().unwrap_or("one")),
            (count, ..) => format!("launch {count}"),
        };
        text.push_str(&format!("  {line}\n"));
        rest = &rest[launches.max(1)..];
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(plan: Value) -> String {
        render(&serde_json::from_value(plan).unwrap())
    }

    #[test]
    fn a_plan_reads_from_top_to_bottom() {
        let plan = json!({
            "id": "/a", "changed": true, "fits": false, "message": "needs 4 cpus, 1 of 2 free",
            "present": {"id": "/a", "labels": {"x": "1"}}, "definition": {"id": "/a", "labels": {"x": "2"}},
            "steps": [{"actions": [{"action": "RestartPod", "pod": "/a"}]}],
            "moves": [
                {"kind": "LAUNCH"}, {"kind": "LAUNCH"}, {"kind": "END", "instance": "a.instance-1"},
                {"kind": "END", "instance": "a.instance-2", "message": "host port 80 is taken by /a"}],
            "lockedBy": "d-1"
        });
        insta::assert_snapshot!(told(plan), @r#"
        /a would be changed:
          ~ labels.x: "1" -> "2"
        Steps:
          1. restart
        Instances, if all goes well:
          launch 2
          end a.instance-1
          end a.instance-2 first: the new one's host port 80 is taken by /a
        It does not fit: needs 4 cpus, 1 of 2 free
        Deployment d-1 works on it: wait for its end, or stop it by --force
        "#);
        let nothing = json!({
            "id": "/a", "changed": false, "fits": true, "definition": {}, "steps": [], "moves": []
        });
        insta::assert_snapshot!(told(nothing), @"/a: nothing would change");
    }
}
