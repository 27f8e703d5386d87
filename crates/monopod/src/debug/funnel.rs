//! Which of a pod's wishes offers fail, stage by stage (dcos: `dcoscli/tables.py`, `queued_app_table`).

use model::{
    pod::{Container, PodDefinition},
    status::QueueItem,
};
use serde_json::{Value, json};

use crate::table::{Align, Table};

/// What stands where there is nothing.
pub(super) const NOTHING: &str = "---";

/// Stages, and the reasons that name them.
const STAGES: [(&str, &str); 6] = [
    ("ROLE", "UnfulfilledRole"),
    ("CONSTRAINTS", "UnfulfilledConstraint"),
    ("CPUS", "InsufficientCpus"),
    ("MEM", "InsufficientMemory"),
    ("DISK", "InsufficientDisk"),
    ("PORTS", "InsufficientPorts"),
];

/// How many of the last offers came through each stage.
pub(super) fn summary(item: &QueueItem) -> String {
    let mut table = Table::new(&[
        ("RESOURCE", Align::Left),
        ("REQUESTED", Align::Left),
        ("MATCHED", Align::Left),
        ("PERCENTAGE", Align::Left),
    ]);
    let counts = &item.processed_offers_summary.reject_summary_last_offers;
    for ((stage, reason), wish) in STAGES.iter().zip(wishes(&item.pod)) {
        let count = counts.iter().find(|count| count.reason == *reason);
        let (declined, processed) = count.map_or((0, 0), |one| (one.declined, one.processed));
        let matched = processed.saturating_sub(declined);
        let percentage = if processed == 0 {
            NOTHING.to_owned()
        } else {
            format!("{:.2}%", 100.0 * f64::from(matched) / f64::from(processed))
        };
        table.push(vec![
            (*stage).to_owned(),
            wish,
            format!("{matched} / {processed}"),
            percentage,
        ]);
    }
    table.render()
}

/// What the last offers that did not serve lacked.
pub(super) fn details(item: &QueueItem) -> String {
    let mut columns = vec![("HOSTNAME", Align::Left)];
    columns.extend(STAGES.map(|(stage, _)| (stage, Align::Centre)));
    columns.push(("RECEIVED", Align::Left));
    let mut table = Table::new(&columns);
    for unused in item.last_unused_offers.iter().flatten() {
        let mut row = vec![unused.offer.hostname.clone()];
        row.extend(STAGES.map(|(_, reason)| {
            let declined = unused.reason.iter().any(|known| known == reason);
            if declined { "-" } else { "ok" }.to_owned()
        }));
        row.push(unused.timestamp.to_string());
        table.push(row);
    }
    table.render()
}

/// What the pod asks for at each stage: the sum of its containers and the executor.
fn wishes(pod: &PodDefinition) -> [String; 6] {
    let placement = &pod.scheduling.placement;
    let roles = &placement.accepted_resource_roles;
    let roles = if roles.is_empty() {
        "[*]".to_owned()
    } else {
        format!("[{}]", roles.join(", "))
    };
    let constraints = match &placement.constraints[..] {
        [] => NOTHING.to_owned(),
        constraints => json!(constraints).to_string(),
    };
    let document = json!(pod);
    let amount = |kind: &str| {
        let of = |holder: &Value| holder.get(kind).and_then(Value::as_f64).unwrap_or_default();
        let containers = document.get("containers").and_then(Value::as_array);
        let resources = containers
            .into_iter()
            .flatten()
            .filter_map(|one| one.get("resources"));
        let executor = document.get("executorResources");
        let sum: f64 = resources.chain(executor).map(of).sum();
        // Sums of tenths are not exact.
        format!("{}", (sum * 1000.0).round() / 1000.0)
    };
    [
        roles,
        constraints,
        amount("cpus"),
        amount("mem"),
        amount("disk"),
        ports(&pod.containers),
    ]
}

fn ports(containers: &[Container]) -> String {
    let endpoints = containers.iter().flat_map(|container| &container.endpoints);
    let ports: Vec<_> = endpoints
        .map(|endpoint| {
            endpoint
                .host_port
                .map_or_else(|| "any".to_owned(), |port| port.to_string())
        })
        .collect();
    if ports.is_empty() {
        NOTHING.to_owned()
    } else {
        format!("[{}]", ports.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> QueueItem {
        let count = |reason: &str, declined: u32, processed: u32| json!({"reason": reason, "declined": declined, "processed": processed});
        let counts = json!([
            count("UnfulfilledRole", 0, 1),
            count("UnfulfilledConstraint", 0, 1),
            count("InsufficientCpus", 1, 1),
            count("InsufficientMemory", 0, 0)
        ]);
        serde_json::from_value(json!({
            "count": 1, "role": "*", "since": "2026-11-22T13:58:26.477Z",
            "delay": {"timeLeftSeconds": 0, "overdue": true},
            "processedOffersSummary": {
                "processedOffersCount": 1, "unusedOffersCount": 1,
                "rejectSummaryLastOffers": counts, "rejectSummaryLaunchAttempt": counts},
            "lastUnusedOffers": [{
                "offer": {"id": "o", "hostname": "box", "agentId": "a", "resources": [], "attributes": []},
                "reason": ["InsufficientCpus"], "timestamp": "2026-11-22T13:58:26.477Z"}],
            "pod": {"id": "/a", "executorResources": {"cpus": 0.1, "mem": 32, "disk": 10}, "containers": [
                {"name": "c", "resources": {"cpus": 0.2, "mem": 64}, "endpoints": [{"name": "web", "hostPort": 80}]}]}
        }))
        .unwrap()
    }

    #[test]
    fn tables_are_those_of_dcos() {
        insta::assert_snapshot!(summary(&item()), @r"
        RESOURCE     REQUESTED  MATCHED  PERCENTAGE
        ROLE         [*]        1 / 1    100.00%
        CONSTRAINTS  ---        1 / 1    100.00%
        CPUS         0.3        0 / 1    0.00%
        MEM          96         0 / 0    ---
        DISK         10         0 / 0    ---
        PORTS        [80]       0 / 0    ---
        ");
        insta::assert_snapshot!(details(&item()), @r"
        HOSTNAME  ROLE  CONSTRAINTS  CPUS  MEM  DISK  PORTS  RECEIVED
        box        ok        ok       -     ok   ok     ok   2026-11-22T13:58:26.477Z
        ");
    }
}
