//! Documents in Mesos's words (mesos: `docs/endpoints/master`); times in seconds since 1970.

use std::collections::BTreeMap;

use model::{state::TaskState, status::ResourceStatus};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::openapi::answers::Nothing;

/// The master and what it sees.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct State {
    #[serde(flatten)]
    pub(super) master: Master,
    pub(super) slaves: [Agent; 1],
    pub(super) frameworks: [Framework; 1],
    pub(super) completed_frameworks: Nothing,
    pub(super) orphan_tasks: Nothing,
    pub(super) unregistered_frameworks: Nothing,
}

/// The master and how many tasks it sees.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StateSummary {
    #[serde(flatten)]
    pub(super) master: Master,
    pub(super) slaves: [AgentSummary; 1],
    pub(super) frameworks: [FrameworkSummary; 1],
}

/// The agents.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Agents {
    pub(super) slaves: [Agent; 1],
    pub(super) recovered_slaves: Nothing,
}

/// The master, which is this daemon.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Master {
    /// The version of Mesos that this is like.
    pub(super) version: &'static str,
    pub(super) cluster: &'static str,
    pub(super) id: String,
    pub(super) hostname: String,
    pub(super) pid: String,
    pub(super) leader: String,
    pub(super) start_time: f64,
    pub(super) elected_time: f64,
    pub(super) activated_slaves: u32,
    pub(super) deactivated_slaves: u32,
    pub(super) unreachable_slaves: u32,
    /// How many pods there are.
    pub(super) pods: usize,
}

/// The agent, which is this host.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Agent)]
pub(in crate::http) struct Agent {
    pub(super) id: String,
    pub(super) hostname: String,
    pub(super) pid: String,
    pub(super) port: u16,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) active: bool,
    pub(super) version: &'static str,
    pub(super) registered_time: f64,
    pub(super) capabilities: Nothing,
    pub(super) resources: MesosResources,
    pub(super) used_resources: MesosResources,
    pub(super) offered_resources: MesosResources,
    pub(super) reserved_resources: Reserved,
    pub(super) unreserved_resources: MesosResources,
}

/// The agent, and how many tasks it has in each state.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AgentSummary {
    #[serde(flatten)]
    pub(super) agent: Agent,
    #[serde(flatten)]
    pub(super) counts: TaskCounts,
    pub(super) framework_ids: [&'static str; 1],
}

/// The framework: Marathon, as it were.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct FrameworkInfo {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) hostname: String,
    pub(super) user: &'static str,
    pub(super) role: &'static str,
    pub(super) roles: [&'static str; 1],
    pub(super) active: bool,
    pub(super) connected: bool,
    pub(super) recovered: bool,
    pub(super) checkpoint: bool,
    pub(super) webui_url: String,
    pub(super) registered_time: f64,
    pub(super) pid: String,
    pub(super) capabilities: Nothing,
    pub(super) resources: MesosResources,
    pub(super) used_resources: MesosResources,
    pub(super) offered_resources: MesosResources,
}

/// The framework and its tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Framework {
    #[serde(flatten)]
    pub(super) info: FrameworkInfo,
    pub(super) tasks: Vec<Task>,
    pub(super) completed_tasks: Vec<Task>,
    pub(super) unreachable_tasks: Nothing,
}

/// The framework, and how many tasks it has in each state.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct FrameworkSummary {
    #[serde(flatten)]
    pub(super) info: FrameworkInfo,
    #[serde(flatten)]
    pub(super) counts: TaskCounts,
    pub(super) slave_ids: [String; 1],
}

/// How many tasks are in each state; a state in which there are none counts 0.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http) struct TaskCounts(pub(super) BTreeMap<TaskState, u64>);

impl utoipa::PartialSchema for TaskCounts {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let count =
            || utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::Type::Integer);
        let counts = utoipa::openapi::ObjectBuilder::new()
            .description(Some("How many tasks are in each state."));
        let states = TaskState::ALL.iter().map(|state| state.as_str());
        states
            .fold(counts, |counts, state| {
                counts.property(state, count()).required(state)
            })
            .into()
    }
}

impl ToSchema for TaskCounts {}

/// A container, as a task.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Task {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) framework_id: &'static str,
    pub(super) slave_id: String,
    pub(super) executor_id: String,
    pub(super) state: TaskState,
    pub(super) role: String,
    pub(super) resources: ResourceStatus,
    /// The pod's.
    pub(super) labels: Vec<Label>,
    pub(super) statuses: [TaskStatus; 1],
    pub(super) discovery: Discovery,
    pub(super) container: ContainerInfo,
}

/// A label.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Label {
    pub(super) key: String,
    pub(super) value: String,
}

/// A task's last state.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TaskStatus {
    pub(super) state: TaskState,
    pub(super) timestamp: f64,
    pub(super) message: String,
    pub(super) container_status: MesosContainerStatus,
}

/// A task's container.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MesosContainerStatus {
    pub(super) container_id: ContainerId,
    pub(super) network_infos: Nothing,
}

/// A container's id: the run's.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ContainerId {
    pub(super) value: String,
}

/// How a task can be found.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Discovery {
    pub(super) visibility: &'static str,
    pub(super) name: String,
    pub(super) ports: DiscoveryPorts,
}

/// The ports of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DiscoveryPorts {
    pub(super) ports: Vec<DiscoveryPort>,
}

/// A host port of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DiscoveryPort {
    pub(super) number: u16,
    pub(super) name: String,
    pub(super) protocol: &'static str,
}

/// By what a container is run.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ContainerInfo {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
}

/// MesosResources and ports.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct MesosResources {
    #[serde(flatten)]
    pub(super) scalars: ResourceStatus,
    /// Ranges, such as `[31000-32000]`; left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) ports: Option<String>,
}

/// Empty: nothing is reserved.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Reserved {}

/// Where a name leads.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DnsHost {
    pub(super) host: String,
    pub(super) ip: String,
}

/// Which DC/OS this is like.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::http) struct DcosVersion {
    pub(super) version: &'static str,
    pub(super) dcos_variant: &'static str,
    pub(super) dcos_image_commit: Option<&'static str>,
    pub(super) bootstrap_id: &'static str,
}

/// How the cluster's services do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Health {
    pub(super) hostname: String,
    pub(super) ip: String,
    pub(super) node_role: &'static str,
    pub(super) dcos_version: &'static str,
    pub(super) units: [HealthUnit; 1],
}

/// How a service does.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct HealthUnit {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// 0 for well, 1 for not.
    pub(super) health: u8,
    /// What is wrong.
    pub(super) output: String,
}

/// Where the cluster is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(in crate::http) struct Metadata {
    #[serde(rename = "PUBLIC_IPV4")]
    pub(super) public_ipv4: String,
    pub(super) cluster_id: String,
}
