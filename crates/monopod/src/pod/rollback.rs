//! `monopod pod rollback`.

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::{force_query, history::read_versions, tell_deployment};
use crate::{
    changes::changes,
    client::{Client, pod_path},
    error::CliError,
    pod_status::PodStatus,
    waiting::WaitArgs,
};

/// Arguments of `pod rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The pod.
    id: String,
    /// The version to return to, as `pod history` prints it [default: the last one that was different].
    version: Option<String>,
    /// Stop a running deployment of the pod first.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Makes an earlier definition the pod's again, as a new version, and prints the deployment.
///
/// # Errors
/// There is no such version; or whatever kept it from being deployed, or from running with `--wait`.
pub(crate) async fn run(args: &RollbackArgs, client: &Client) -> Result<(), CliError> {
    let status = PodStatus::read(client, &args.id).await?;
    let versions = read_versions(client, &args.id).await?;
    let current = status.spec.version.unwrap_or_default();
    let Some(definition) = choose(&versions, &current, args.version.as_deref()) else {
        return Err(CliError::notice(match &args.version {
            Some(version) => format!(
                "Error: {} has no version {version}; `monopod pod history {}` prints those it has",
                status.id, status.id
            ),
            None => format!("Error: {} has no earlier version that differs", status.id),
        }));
    };
    let path = format!("{}{}", pod_path(&args.id, ""), force_query(args.force));
    let body = definition.to_string().into_bytes();
    let answer = client.send(Method::PUT, &path, Some(body)).await?;
    tell_deployment(client, &args.id, answer.deployment, &args.wait).await
}

/// The version that was asked for, or the last one before the current that differs from it.
fn choose<'a>(
    versions: &'a [(String, Value)],
    current: &str,
    asked: Option<&str>,
) -> Option<&'a Value> {
    let find = |version: &str| versions.iter().find(|(known, _)| known == version);
    let (_, definition) = match asked {
        Some(version) => find(version)?,
        None => {
            let (_, now) = find(current)?;
            let mut earlier = versions
                .iter()
                .rev()
                .filter(|(version, _)| version.as_str() < current);
            earlier.find(|(_, definition)| !changes(definition, now).is_empty())?
        }
    };
    Some(definition)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_version_that_differs_is_returned_to() {
        let versions: Vec<_> = [("v1", 1), ("v2", 2), ("v3", 3), ("v4", 3)]
            .map(|(version, x)| (version.to_owned(), json!({"version": version, "x": x})))
            .into();
        let chosen = |current, asked| {
            choose(&versions, current, asked).map(|found| found["version"].clone())
        };
        assert_eq!(chosen("v4", None), Some(json!("v2")));
        assert_eq!(chosen("v2", None), Some(json!("v1")));
        assert_eq!(chosen("v1", None), None);
        assert_eq!(chosen("v4", Some("v1")), Some(json!("v1")));
        assert_eq!(chosen("v4", Some("v9")), None);
    }
}
