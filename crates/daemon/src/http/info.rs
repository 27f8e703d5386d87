//! What the service says of itself.

use std::collections::BTreeMap;

use agent::accounting::Accounting;
use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use model::{offer::Claim, state::InstanceStatus};
use scheduler::status;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, Shared};
use crate::{clock, snapshot::Snapshot};

/// `GET /ping`: `pong`, for anybody.
pub(super) async fn ping(headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    if accept.contains("application/json") {
        return Json("pong").into_response();
    }
    "pong".into_response()
}

/// `GET /v2/leader`: this daemon, always.
pub(super) async fn leader(State(api): Shared) -> Response {
    Json(json!({ "leader": api.leader })).into_response()
}

/// `?monopod=`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ours {
    monopod: bool,
}

/// `GET /v2/info` (marathon: `api/v2/InfoResource.scala`); with `?monopod=true` also what is our own, under `monopod`.
/// Clients fail on members that Marathon does not have (marathon-python).
pub(super) async fn info(State(api): Shared, Query(ours): Query<Ours>) -> Response {
    let marathon = &api.config.marathon;
    let confirm_timeout_ms = u64::from(marathon.task_launch_confirm_timeout_seconds) * 1000;
    let mut document = json!({
        "name": "marathon",
        "version": "1.11.0",
        "buildref": concat!("monopod-", env!("CARGO_PKG_VERSION")),
        "elected": true,
        "leader": api.leader,
        "frameworkId": "monopod",
        "marathon_config": {
            "default_network_name": marathon.default_network_name,
            "mesos_bridge_name": marathon.mesos_bridge_name,
            "features": marathon.enable_features,
            "env_vars_prefix": marathon.env_vars_prefix,
            "mesos_role": marathon.mesos_role,
            "task_launch_confirm_timeout": confirm_timeout_ms,
            "task_launch_timeout": confirm_timeout_ms,
            "decline_offer_duration": 120_000,
            "hostname": api.agent.hostname,
            "framework_name": "marathon",
            "new_group_enforce_role": "off",
        },
        "zookeeper_config": {},
        "http_config": { "http_port": api.leader.rsplit(':').next() },
    });
    if ours.monopod {
        document["monopod"] = own(&api).await;
    }
    Json(document).into_response()
}

async fn own(api: &Api) -> Value {
    let snapshot = api.handle.snapshot();
    let accounting = &snapshot.accounting;
    let commits = api.store.counters().await;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": crate::REVISION,
        "pid": std::process::id(),
        "protocol": runtime::launch::PROTOCOL_VERSION,
        "url": api.url,
        "listen": api.listen,
        "stateDir": api.config.state_dir,
        "runDir": api.config.run_dir,
        "cgroupParent": api.containerizer.cgroup_parent(),
        "cgroupMode": api.cgroup_mode,
        "cgroupControllers": api.containerizer.cgroup_controllers().join(" "),
        "kernel": rustix::system::uname().release().to_string_lossy(),
        "bootId": boot_id(),
        "start": api.start.document(),
        "uptimeSeconds": clock::now().since(api.start.ready_at).as_secs(),
        "pods": snapshot.pods.len(),
        "instances": instances(&snapshot),
        "databaseBytes": api.store.size_bytes().ok(),
        "hostRootfs": api.config.runtime.host_rootfs,
        "agent": api.agent,
        "total": resources(&accounting.total),
        "free": resources(&accounting.free),
        "reserved": reserved(accounting),
        "overCommitted": resources(&accounting.over_committed),
        "conditions": api.conditions.list(clock::now()),
        "commits": { "durable": commits.full_commits, "normal": commits.normal_commits },
    })
}

/// How many instances are in each status.
fn instances(snapshot: &Snapshot) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = InstanceStatus::ALL
        .iter()
        .map(|status| (status.as_str(), 0))
        .collect();
    for instance in snapshot.pods.values().flat_map(|pod| &pod.instances) {
        let status = status::instance_kind(instance).as_str();
        *counts.entry(status).or_default() += 1;
    }
    counts
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// What is reserved, by role.
fn reserved(accounting: &Accounting) -> BTreeMap<&str, Value> {
    let reserved = accounting.reserved.iter();
    reserved
        .map(|(role, claim)| (role.as_str(), resources(claim)))
        .collect()
}

fn resources(claim: &Claim) -> Value {
    json!({ "resources": claim.resources.to_string(), "ports": claim.ports.to_string() })
}
