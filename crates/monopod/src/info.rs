//! `monopod info`.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{cli::Connection, error::CliError, output};

/// Arguments of `info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Print everything, as JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what is known of the daemon and of this program.
///
/// # Errors
/// As [`crate::client::Client::get`].
pub(crate) async fn run(args: &InfoArgs, connection: &Connection) -> Result<(), CliError> {
    let client = connection.client()?;
    let answer: Value = client.get("/v2/info?monopod=true").await?.json()?;
    let info = merge(answer, &client.address());
    if args.json {
        output::print_json(info)
    } else {
        output::print(&render(&info))
    }
}

/// The daemon's state directory, as far as it tells.
pub(crate) async fn state_dir(connection: &Connection) -> Option<PathBuf> {
    let answer: Value = connection
        .client()
        .ok()?
        .get("/v2/info?monopod=true")
        .await
        .ok()?
        .json()
        .ok()?;
    let dir = answer.get("monopod")?.get("stateDir")?.as_str()?;
    Some(PathBuf::from(dir))
}

/// The daemon's own members (`monopod` of `/v2/info?monopod=true`), its version, and what this program knows.
fn merge(answer: Value, address: &str) -> Value {
    let mut info = match answer.get("monopod") {
        Some(Value::Object(own)) => own.clone(),
        Some(_) | None => Map::new(),
    };
    info.insert("address".to_owned(), json!(address));
    info.insert("clientVersion".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    for (name, member) in [
        ("marathonVersion", "version"),
        ("frameworkId", "frameworkId"),
    ] {
        if let Some(value) = answer.get(member) {
            info.insert(name.to_owned(), value.clone());
        }
    }
    info.insert("marathon".to_owned(), answer);
    Value::Object(info)
}

/// One line per fact; Marathon's whole answer is left to `--json`.
fn render(info: &Value) -> String {
    let Value::Object(members) = info else {
        return String::new();
    };
    let mut lines: Vec<(String, String)> = Vec::new();
    for (name, value) in members.iter().filter(|(name, _)| *name != "marathon") {
        let inner = value.as_object().into_iter().flatten();
        let inner = inner.map(|(member, value)| (format!("{name}.{member}"), value));
        let all = std::iter::once((name.clone(), value)).chain(inner);
        lines.extend(all.filter_map(|(name, value)| Some((name, plain(value)?))));
    }
    lines.extend(degraded(members.get("conditions")));
    lines.sort();
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) => {
            let words: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            words
                .map(|words| words.join(" "))
                .filter(|text| !text.is_empty())
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// One line for each thing that is wrong right now.
fn degraded(conditions: Option<&Value>) -> Vec<(String, String)> {
    let conditions = conditions.and_then(Value::as_array);
    let line = |condition: &Value| {
        let text = |name: &str| condition.get(name)?.as_str();
        let told = format!("{} (since {})", text("text")?, text("since")?);
        Some((format!("degraded.{}", text("kind")?), told))
    };
    conditions.into_iter().flatten().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_one_a_line() {
        let answer = json!({
            "name": "marathon", "version": "1.9.0", "frameworkId": "f-1", "http_config": {},
            "monopod": {"version": "0.1.0", "listen": "127.0.0.1:8080", "stateDir": "/var/lib/monopod",
                "cgroupControllers": ["cpu", "memory"], "start": {"runsAlive": 2, "runsOver": 0},
                "conditions": [{"kind": "store_failing", "since": "2024-05-01T10:00:00.123Z", "text": "disk full"}]}
        });
        insta::assert_snapshot!(
            render(&merge(answer, "/run/monopod/monopod.sock")).replace(env!("CARGO_PKG_VERSION"), "V"),
            @r"
        address                 /run/monopod/monopod.sock
        cgroupControllers       cpu memory
        clientVersion           V
        degraded.store_failing  disk full (since 2024-05-01T10:00:00.123Z)
        frameworkId             f-1
        listen                  127.0.0.1:8080
        marathonVersion         1.9.0
        start.runsAlive         2
        start.runsOver          0
        stateDir                /var/lib/monopod
        version                 V
        "
        );
    }
}
