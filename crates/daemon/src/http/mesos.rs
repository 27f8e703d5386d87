//! What DC/OS clients read of Mesos and of the cluster, for one node: one agent, one framework, the pods' containers as
//! tasks (mesos: `docs/endpoints/master`; dcos: `dcos/mesos.py`).

mod document;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use model::{
    offer::Claim, pod::PodDefinition, record::TaskRecord, resources::Resources, state::TaskState,
    status::ResourceStatus, time::Timestamp,
};
use scheduler::{InstanceView, PodView, status};

use self::document::{
    Agent, AgentSummary, Agents, ContainerId, ContainerInfo, DcosVersion, Discovery, DiscoveryPort,
    DiscoveryPorts, DnsHost, Framework, FrameworkInfo, FrameworkSummary, Health, HealthUnit, Label,
    Master, MesosContainerStatus, MesosResources, Metadata, Reserved, StateSummary, Task,
    TaskCounts, TaskStatus,
};
use super::{
    Api, Shared,
    error::ApiError,
    openapi::answers::{NotFound, Nothing},
    path::Name,
};
use crate::{clock, snapshot::Snapshot};

/// The framework's id, as `/v2/info` has it.
const FRAMEWORK: &str = "monopod";

/// The master's state.
#[utoipa::path(
    get,
    path = "/mesos/master/state",
    tag = "cluster",
    operation_id = "mesosState",
    responses((status = 200, description = "The master and what it sees.", body = document::State)),
)]
pub(super) async fn state(State(api): Shared) -> Response {
    let snapshot = api.handle.snapshot();
    Json(document::State {
        master: master(&api, &snapshot),
        slaves: [agent(&api, &snapshot)],
        frameworks: [framework(&api, &snapshot)],
        completed_frameworks: Nothing::default(),
        orphan_tasks: Nothing::default(),
        unregistered_frameworks: Nothing::default(),
    })
    .into_response()
}

/// The master's state, by its older name.
#[utoipa::path(
    get,
    path = "/mesos/master/state.json",
    tag = "cluster",
    operation_id = "mesosStateJson",
    responses((status = 200, description = "The master and what it sees.", body = document::State)),
)]
pub(super) async fn state_json(api: Shared) -> Response {
    state(api).await
}

/// The master's state, where older clients look for it.
#[utoipa::path(
    get,
    path = "/mesos/state",
    tag = "cluster",
    operation_id = "mesosStateAtRoot",
    responses((status = 200, description = "The master and what it sees.", body = document::State)),
)]
pub(super) async fn state_at_root(api: Shared) -> Response {
    state(api).await
}

/// The master's state in short.
#[utoipa::path(
    get,
    path = "/mesos/master/state-summary",
    tag = "cluster",
    operation_id = "mesosSummary",
    responses((status = 200, description = "The master and how many tasks it sees.", body = StateSummary)),
)]
pub(super) async fn summary(State(api): Shared) -> Response {
    let snapshot = api.handle.snapshot();
    let counts = counts(&snapshot);
    Json(StateSummary {
        master: master(&api, &snapshot),
        slaves: [AgentSummary {
            agent: agent(&api, &snapshot),
            counts: counts.clone(),
            framework_ids: [FRAMEWORK],
        }],
        frameworks: [FrameworkSummary {
            info: framework_info(&api, &snapshot),
            counts,
            slave_ids: [api.agent.id.clone()],
        }],
    })
    .into_response()
}

/// The master's state in short, where older clients look for it.
#[utoipa::path(
    get,
    path = "/mesos/state-summary",
    tag = "cluster",
    operation_id = "mesosSummaryAtRoot",
    responses((status = 200, description = "The master and how many tasks it sees.", body = StateSummary)),
)]
pub(super) async fn summary_at_root(api: Shared) -> Response {
    summary(api).await
}

/// The agents: this host.
#[utoipa::path(
    get,
    path = "/mesos/slaves",
    tag = "cluster",
    operation_id = "mesosAgentsAtRoot",
    responses((status = 200, description = "One agent.", body = Agents)),
)]
pub(super) async fn agents_at_root(api: Shared) -> Response {
    agents(api).await
}

/// The agents: this host.
#[utoipa::path(
    get,
    path = "/mesos/master/slaves",
    tag = "cluster",
    operation_id = "mesosAgents",
    responses((status = 200, description = "One agent.", body = Agents)),
)]
pub(super) async fn agents(State(api): Shared) -> Response {
    Json(Agents {
        slaves: [agent(&api, &api.handle.snapshot())],
        recovered_slaves: Nothing::default(),
    })
    .into_response()
}

/// Where a name leads: everything is here.
#[utoipa::path(
    get,
    path = "/mesos_dns/v1/hosts/{name}",
    tag = "cluster",
    operation_id = "mesosDnsHost",
    params(("name" = String, Path, description = "Any name.")),
    responses((status = 200, description = "This host.", body = Vec<DnsHost>), NotFound),
)]
pub(super) async fn hosts(State(api): Shared, Name(name): Name) -> Response {
    let host = format!("{name}.");
    let ip = address(&api).to_owned();
    Json([DnsHost { host, ip }]).into_response()
}

/// Which DC/OS this is like.
#[utoipa::path(
    get,
    path = "/dcos-metadata/dcos-version.json",
    tag = "cluster",
    operation_id = "dcosVersion",
    responses((status = 200, description = "Its version.", body = DcosVersion)),
)]
pub(super) async fn dcos_version() -> Response {
    Json(DcosVersion {
        version: "2.1.0",
        dcos_variant: "open",
        dcos_image_commit: crate::REVISION,
        bootstrap_id: "monopod",
    })
    .into_response()
}

/// There is none: no login is needed beyond the token.
#[utoipa::path(
    get,
    path = "/dcos-metadata/bootstrap-config.json",
    tag = "cluster",
    operation_id = "dcosBootstrapConfig",
    responses(NotFound)
)]
pub(super) async fn bootstrap_config() -> ApiError {
    ApiError::RouteUnknown {
        path: "/dcos-metadata/bootstrap-config.json".to_owned(),
    }
}

/// How the daemon does, and what is wrong with it.
#[utoipa::path(
    get,
    path = "/system/health/v1",
    tag = "cluster",
    operation_id = "systemHealth",
    responses((status = 200, description = "One unit.", body = Health)),
)]
pub(super) async fn health(State(api): Shared) -> Response {
    let conditions = api.conditions.list(clock::now());
    let texts: Vec<_> = conditions.iter().map(|one| one.text.as_str()).collect();
    Json(Health {
        hostname: api.agent.hostname.clone(),
        ip: address(&api).to_owned(),
        node_role: "master",
        dcos_version: "2.1.0",
        units: [HealthUnit {
            id: "monopod.service",
            name: "monopod",
            description: "runs pods on this host",
            health: u8::from(!conditions.is_empty()),
            output: texts.join("; "),
        }],
    })
    .into_response()
}

/// Where the cluster is.
#[utoipa::path(
    get,
    path = "/metadata",
    tag = "cluster",
    operation_id = "metadata",
    responses((status = 200, description = "This host.", body = Metadata)),
)]
pub(super) async fn metadata(State(api): Shared) -> Response {
    Json(Metadata {
        public_ipv4: address(&api).to_owned(),
        cluster_id: api.agent.id.clone(),
    })
    .into_response()
}

fn address(api: &Api) -> &str {
    api.leader
        .rsplit_once(':')
        .map_or(api.leader.as_str(), |(host, _)| host)
}

fn master(api: &Api, snapshot: &Snapshot) -> Master {
    let started = seconds(api.start.ready_at);
    Master {
        version: "1.11.0",
        cluster: "monopod",
        id: api.agent.id.clone(),
        hostname: api.agent.hostname.clone(),
        pid: format!("master@{}", api.leader),
        leader: format!("master@{}", api.leader),
        start_time: started,
        elected_time: started,
        activated_slaves: 1,
        deactivated_slaves: 0,
        unreachable_slaves: 0,
        pods: snapshot.pods.len(),
    }
}

fn agent(api: &Api, snapshot: &Snapshot) -> Agent {
    let accounting = &snapshot.accounting;
    Agent {
        id: api.agent.id.clone(),
        hostname: api.agent.hostname.clone(),
        pid: format!("slave(1)@{}:5051", address(api)),
        port: 5051,
        attributes: api.agent.attributes.clone(),
        active: true,
        version: "1.11.0",
        registered_time: seconds(api.start.ready_at),
        capabilities: Nothing::default(),
        resources: amounts(&accounting.total),
        used_resources: amounts(&accounting.used),
        offered_resources: amounts(&accounting.offered),
        reserved_resources: Reserved {},
        unreserved_resources: amounts(&accounting.total),
    }
}

fn framework_info(api: &Api, snapshot: &Snapshot) -> FrameworkInfo {
    let accounting = &snapshot.accounting;
    FrameworkInfo {
        id: FRAMEWORK,
        name: "marathon",
        hostname: api.agent.hostname.clone(),
        user: "root",
        role: "*",
        roles: ["*"],
        active: true,
        connected: true,
        recovered: false,
        checkpoint: true,
        webui_url: api.url.clone(),
        registered_time: seconds(api.start.ready_at),
        pid: format!("scheduler@{}", api.leader),
        capabilities: Nothing::default(),
        resources: amounts(&accounting.used),
        used_resources: amounts(&accounting.used),
        offered_resources: amounts(&accounting.offered),
    }
}

fn framework(api: &Api, snapshot: &Snapshot) -> Framework {
    let (over, open): (Vec<_>, Vec<_>) =
        tasks(snapshot).partition(|(_, _, record)| record.state.is_terminal());
    let document = |tasks: Vec<_>| {
        let tasks = tasks.into_iter();
        tasks
            .map(|(view, instance, record)| task(api, view, instance, record))
            .collect()
    };
    Framework {
        info: framework_info(api, snapshot),
        tasks: document(open),
        completed_tasks: document(over),
        unreachable_tasks: Nothing::default(),
    }
}

fn tasks(snapshot: &Snapshot) -> impl Iterator<Item = (&PodView, &InstanceView, &TaskRecord)> {
    snapshot.pods.values().flat_map(|view| {
        view.instances.iter().flat_map(move |instance| {
            let tasks = instance.tasks.iter();
            tasks.map(move |task| (view.as_ref(), instance, task))
        })
    })
}

fn task(api: &Api, view: &PodView, instance: &InstanceView, record: &TaskRecord) -> Task {
    let definition = &instance.definition;
    let container = definition.container(&record.container);
    let resources = container.map_or_else(Resources::default, |container| container.resources);
    let pod = view.record.id.safe_path();
    Task {
        id: model::id::task_id(
            &instance.record.id,
            &record.container,
            record.run.incarnation,
        ),
        name: record.container.clone(),
        framework_id: FRAMEWORK,
        slave_id: api.agent.id.clone(),
        executor_id: format!("instance-{pod}.{}", instance.record.id.uuid),
        state: record.state,
        role: status::role(definition),
        resources: ResourceStatus::from(resources),
        labels: labels(definition),
        statuses: [TaskStatus {
            state: record.state,
            timestamp: seconds(record.since),
            message: record.message.clone(),
            container_status: MesosContainerStatus {
                container_id: ContainerId {
                    value: record.run.to_string(),
                },
                network_infos: Nothing::default(),
            },
        }],
        discovery: discovery(view, instance, record),
        container: ContainerInfo { kind: "MESOS" },
    }
}

fn labels(definition: &PodDefinition) -> Vec<Label> {
    let labels = definition.labels.iter();
    labels
        .map(|(key, value)| Label {
            key: key.clone(),
            value: value.clone(),
        })
        .collect()
}

fn discovery(view: &PodView, instance: &InstanceView, record: &TaskRecord) -> Discovery {
    let given = &instance.record.host_ports;
    let own = given
        .iter()
        .filter(|given| given.container == record.container);
    let ports = own.map(|given| DiscoveryPort {
        number: given.host_port,
        name: given.endpoint.clone(),
        protocol: "tcp",
    });
    Discovery {
        visibility: "FRAMEWORK",
        name: view.record.id.host_path(),
        ports: DiscoveryPorts {
            ports: ports.collect(),
        },
    }
}

fn counts(snapshot: &Snapshot) -> TaskCounts {
    let mut counts: std::collections::BTreeMap<_, _> =
        TaskState::ALL.iter().map(|state| (*state, 0)).collect();
    for (_, _, task) in tasks(snapshot) {
        *counts.entry(task.state).or_default() += 1;
    }
    TaskCounts(counts)
}

fn amounts(claim: &Claim) -> MesosResources {
    MesosResources {
        scalars: ResourceStatus::from(claim.resources),
        ports: (!claim.ports.is_empty()).then(|| claim.ports.to_string()),
    }
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
