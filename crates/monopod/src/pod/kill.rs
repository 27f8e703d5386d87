//! `monopod pod kill`.

use std::collections::BTreeSet;

use clap::Args;
use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{
    client::{Client, pod_path},
    error::CliError,
    output,
    pod_status::PodStatus,
    waiting::{WaitArgs, Waiting, container_ids},
};

/// Arguments of `pod kill`.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// The pod.
    id: String,
    /// Ids of its instances, as `pod show` prints them.
    #[arg(value_name = "INSTANCE")]
    instances: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// An instance that is being killed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Killed {
    instance_id: String,
}

/// Kills instances; prints nothing.
///
/// # Errors
/// Whatever kept them from being killed, or from being replaced with `--wait`.
pub(crate) async fn run(args: &KillArgs, client: &Client) -> Result<(), CliError> {
    if args.instances.is_empty() {
        return Err(CliError::notice(
            "Please provide at least one pod instance ID",
        ));
    }
    let before = PodStatus::read(client, &args.id).await?;
    let path = pod_path(&args.id, "::instances");
    let body = json!(args.instances).to_string().into_bytes();
    let answer = client.send(Method::DELETE, &path, Some(body)).await?;
    let killed: Vec<Killed> = answer.json()?;
    for unknown in unknown(&args.instances, &killed) {
        output::tell(&format!("{} has no instance {unknown}", before.id));
    }
    if !args.wait.wait {
        return Ok(());
    }
    let containers = containers_of(before, &killed);
    Waiting::new(client, &args.id, &args.wait)
        .until_replaced(&containers)
        .await
}

/// The instances asked for that the daemon did not kill; it ignores what it does not know.
fn unknown<'a>(asked: &'a [String], killed: &[Killed]) -> Vec<&'a String> {
    asked
        .iter()
        .filter(|id| !killed.iter().any(|killed| killed.instance_id == **id))
        .collect()
}

/// The containers that the killed instances had.
fn containers_of(mut status: PodStatus, killed: &[Killed]) -> BTreeSet<String> {
    status.instances.retain(|instance| {
        killed
            .iter()
            .any(|killed| killed.instance_id == instance.id)
    });
    container_ids(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containers_of_killed_instances_are_waited_for() {
        let status: PodStatus = serde_json::from_value(crate::pod_status::tests::sample()).unwrap();
        let killed = |id: &str| {
            [Killed {
                instance_id: id.to_owned(),
            }]
        };
        let containers = containers_of(status.clone(), &killed("shop_web.instance-1"));
        assert_eq!(containers, BTreeSet::from(["c1".to_owned()]));
        assert!(containers_of(status, &killed("shop_web.instance-2")).is_empty());
        let asked = ["a".to_owned(), "b".to_owned()];
        assert_eq!(unknown(&asked, &killed("a")), ["b"]);
    }
}
