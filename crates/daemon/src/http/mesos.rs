//! What DC/OS clients read of Mesos and of the cluster, for one node: one agent, one framework, the pods' containers as
//! tasks (mesos: `docs/endpoints/master`; dcos: `dcos/mesos.py`).

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use model::{
    offer::Claim, pod::PodDefinition, record::TaskRecord, resources::Resources, state::TaskState,
    time::Timestamp,
};
use scheduler::{InstanceView, PodView, status};
use serde_json::{Value, json};

use super::{Api, Shared, error::ApiError};
use crate::{clock, snapshot::Snapshot};

/// The framework's id, as `/v2/info` has it.
const FRAMEWORK: &str = "monopod";

/// `GET /mesos/master/state` and `state.json`.
pub(super) async fn state(State(api): Shared) -> Response {
    let snapshot = api.handle.snapshot();
    let mut document = summary_of(&api, &snapshot);
    document["slaves"] = json!([agent(&api, &snapshot)]);
    document["frameworks"] = json!([framework(&api, &snapshot)]);
    for list in [
        "completed_frameworks",
        "orphan_tasks",
        "unregistered_frameworks",
    ] {
        document[list] = json!([]);
    }
    Json(document).into_response()
}

/// `GET /mesos/master/state-summary`.
pub(super) async fn summary(State(api): Shared) -> Response {
    let snapshot = api.handle.snapshot();
    let counts = counts(&snapshot);
    let mut document = summary_of(&api, &snapshot);
    let (mut agent, mut framework) = (agent(&api, &snapshot), framework(&api, &snapshot));
    for list in ["tasks", "completed_tasks", "unreachable_tasks"] {
        framework
            .as_object_mut()
            .map(|members| members.remove(list));
    }
    for (state, count) in counts {
        agent[&state] = count.into();
        framework[&state] = count.into();
    }
    agent["framework_ids"] = json!([FRAMEWORK]);
    framework["slave_ids"] = json!([api.agent.id]);
    document["slaves"] = json!([agent]);
    document["frameworks"] = json!([framework]);
    Json(document).into_response()
}

/// `GET /mesos/slaves`.
pub(super) async fn agents(State(api): Shared) -> Response {
    let agent = agent(&api, &api.handle.snapshot());
    Json(json!({ "slaves": [agent], "recovered_slaves": [] })).into_response()
}

/// `GET /mesos_dns/v1/hosts/{name}`: everything is here.
pub(super) async fn hosts(State(api): Shared, Path(name): Path<String>) -> Response {
    let ip = address(&api);
    Json(json!([{ "host": format!("{name}."), "ip": ip }])).into_response()
}

/// `GET /dcos-metadata/dcos-version.json`.
pub(super) async fn dcos_version() -> Response {
    Json(json!({
        "version": "2.1.0", "dcos-variant": "open", "dcos-image-commit": crate::REVISION, "bootstrap-id": "monopod",
    }))
    .into_response()
}

/// `GET /dcos-metadata/bootstrap-config.json`: no login is needed beyond the token.
pub(super) async fn bootstrap_config() -> ApiError {
    ApiError::RouteUnknown {
        path: "/dcos-metadata/bootstrap-config.json".to_owned(),
    }
}

/// `GET /system/health/v1`: the daemon, and what is wrong with it.
pub(super) async fn health(State(api): Shared) -> Response {
    let conditions = api.conditions.list(clock::now());
    Json(json!({
        "hostname": api.agent.hostname, "ip": address(&api), "node_role": "master", "dcos_version": "2.1.0",
        "units": [{
            "id": "monopod.service", "name": "monopod", "description": "runs pods on this host",
            "health": u8::from(!conditions.is_empty()),
            "output": conditions.iter().map(|degraded| degraded.text.as_str()).collect::<Vec<_>>().join("; "),
        }],
    }))
    .into_response()
}

/// `GET /metadata`.
pub(super) async fn metadata(State(api): Shared) -> Response {
    Json(json!({ "PUBLIC_IPV4": address(&api), "CLUSTER_ID": api.agent.id })).into_response()
}

fn address(api: &Api) -> &str {
    api.leader
        .rsplit_once(':')
        .map_or(api.leader.as_str(), |(host, _)| host)
}

fn summary_of(api: &Api, snapshot: &Snapshot) -> Value {
    let started = seconds(api.start.ready_at);
    json!({
        "version": "1.11.0", "cluster": "monopod", "id": api.agent.id, "hostname": api.agent.hostname,
        "pid": format!("master@{}", api.leader), "leader": format!("master@{}", api.leader),
        "start_time": started, "elected_time": started, "activated_slaves": 1, "deactivated_slaves": 0,
        "unreachable_slaves": 0, "pods": snapshot.pods.len(),
    })
}

fn agent(api: &Api, snapshot: &Snapshot) -> Value {
    let accounting = &snapshot.accounting;
    json!({
        "id": api.agent.id, "hostname": api.agent.hostname, "pid": format!("slave(1)@{}:5051", address(api)), "port": 5051,
        "attributes": api.agent.attributes, "active": true, "version": "1.11.0",
        "registered_time": seconds(api.start.ready_at), "capabilities": [],
        "resources": claim(&accounting.total), "used_resources": claim(&accounting.used),
        "offered_resources": claim(&accounting.offered), "reserved_resources": {},
        "unreserved_resources": claim(&accounting.total),
    })
}

fn framework(api: &Api, snapshot: &Snapshot) -> Value {
    let (mut open, mut over) = (Vec::new(), Vec::new());
    for (view, instance, record) in tasks(snapshot) {
        let task = task(api, view, instance, record);
        if record.state.is_terminal() {
            over.push(task);
        } else {
            open.push(task);
        }
    }
    let used = claim(&snapshot.accounting.used);
    json!({
        "id": FRAMEWORK, "name": "marathon", "hostname": api.agent.hostname, "user": "root", "role": "*", "roles": ["*"],
        "active": true, "connected": true, "recovered": false, "checkpoint": true, "webui_url": api.url,
        "registered_time": seconds(api.start.ready_at), "pid": format!("scheduler@{}", api.leader), "capabilities": [],
        "resources": used, "used_resources": used, "offered_resources": claim(&snapshot.accounting.offered),
        "tasks": open, "completed_tasks": over, "unreachable_tasks": [],
    })
}

fn tasks(snapshot: &Snapshot) -> impl Iterator<Item = (&PodView, &InstanceView, &TaskRecord)> {
    snapshot.pods.values().flat_map(|view| {
        view.instances.iter().flat_map(move |instance| {
            let tasks = instance.tasks.iter();
            tasks.map(move |task| (view.as_ref(), instance, task))
        })
    })
}

fn task(api: &Api, view: &PodView, instance: &InstanceView, record: &TaskRecord) -> Value {
    let definition = &instance.definition;
    let container = definition.container(&record.container);
    let id = model::id::task_id(
        &instance.record.id,
        &record.container,
        record.run.incarnation,
    );
    let resources = container.map_or_else(Resources::default, |container| container.resources);
    json!({
        "id": id, "name": record.container, "framework_id": FRAMEWORK, "slave_id": api.agent.id,
        "executor_id": format!("instance-{}.{}", view.record.id.safe_path(), instance.record.id.uuid),
        "state": record.state, "role": status::role(definition), "resources": amounts(&resources),
        "labels": labels(definition),
        "statuses": [{
            "state": record.state, "timestamp": seconds(record.since), "message": record.message,
            "container_status": { "container_id": { "value": record.run.to_string() }, "network_infos": [] },
        }],
        "discovery": discovery(view, instance, record),
        "container": { "type": "MESOS" },
    })
}

fn labels(definition: &PodDefinition) -> Value {
    let labels = definition.labels.iter();
    labels
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect()
}

fn discovery(view: &PodView, instance: &InstanceView, record: &TaskRecord) -> Value {
    let given = &instance.record.host_ports;
    let own = given
        .iter()
        .filter(|given| given.container == record.container);
    let ports: Vec<_> = own
        .map(
            |given| json!({ "number": given.host_port, "name": given.endpoint, "protocol": "tcp" }),
        )
        .collect();
    json!({ "visibility": "FRAMEWORK", "name": view.record.id.host_path(), "ports": { "ports": ports } })
}

/// How many tasks are in each state; a state in which there are none counts 0.
fn counts(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let states = TaskState::ALL;
    states
        .iter()
        .map(|state| {
            let found = tasks(snapshot).filter(|(_, _, task)| task.state == *state);
            (state.to_string(), found.count() as u64)
        })
        .collect()
}

fn claim(claim: &Claim) -> Value {
    let mut document = amounts(&claim.resources);
    if !claim.ports.is_empty() {
        document["ports"] = claim.ports.to_string().into();
    }
    document
}

fn amounts(resources: &Resources) -> Value {
    json!(model::status::ResourceStatus::from(*resources))
}

/// Seconds since 1970, as Mesos writes times.
fn seconds(time: Timestamp) -> f64 {
    // Exact up to the year 285,000.
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 are far below 2^53"
    )]
    let ms = time.as_millis() as f64;
    ms / 1000.0
}
