//! Documents that tell how pods do, as Marathon writes them, members in Marathon's order.
//!
//! Empty lists are kept here, unlike in definitions. Sources: marathon
//! `docs/docs/rest-api/public/api/v2/types/{podStatus,deployment,queue}.raml`, `src/main/scala/mesosphere/marathon/raml/PodStatusConversion.scala`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    id::{DeploymentId, PodId},
    pod::{PodDefinition, UnreachableStrategy},
    record::ActionKind,
    resources::{Resources, cpus_decimal, mib_decimal},
    state::{Condition, Goal, InstanceStatus, PodStatusKind, TaskState},
    time::Timestamp,
};

/// A pod and how it does: the answer of `/v2/pods/{id}::status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// The pod.
    pub id: PodId,
    /// The current definition, also while an update is rolling.
    #[serde(with = "shared")]
    #[schema(value_type = PodDefinition)]
    pub spec: Arc<PodDefinition>,
    /// Status.
    pub status: PodStatusKind,
    /// Since when: the newest of the instances shown.
    pub status_since: Timestamp,
    /// Why instances wait, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The instances that were launched at least once.
    pub instances: Vec<PodInstanceStatus>,
    /// Runs that ended other than by request, newest first.
    pub termination_history: Vec<TerminationHistory>,
    /// When this was asked.
    pub last_updated: Timestamp,
    /// As `statusSince`.
    pub last_changed: Timestamp,
}

/// An instance and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodInstanceStatus {
    /// The instance's id.
    pub id: String,
    /// Status.
    pub status: InstanceStatus,
    /// Since when its condition holds.
    pub status_since: Timestamp,
    /// What there is to say, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// Always empty, as in Marathon.
    pub conditions: Vec<StatusCondition>,
    /// Host name of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent_hostname: Option<String>,
    /// Id of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent_id: Option<String>,
    /// Role.
    pub role: String,
    /// What the executor and its active containers hold.
    pub resources: ResourceStatus,
    /// Networks and the instance's addresses there.
    pub networks: Vec<NetworkStatus>,
    /// The containers of the instance's own version.
    pub containers: Vec<ContainerStatus>,
    /// Where the definition of the instance's version is.
    pub spec_reference: String,
    /// Persistent volumes.
    pub local_volumes: Vec<LocalVolumeStatus>,
    /// As `statusSince`.
    pub last_updated: Timestamp,
    /// As `statusSince`.
    pub last_changed: Timestamp,
}

/// A container and how it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// State of its task.
    pub status: TaskState,
    /// Since when the state holds.
    pub status_since: Timestamp,
    /// The task's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub container_id: Option<String>,
    /// Its health, if it has a health check and was started.
    pub conditions: Vec<StatusCondition>,
    /// Its endpoints while it is active.
    pub endpoints: Vec<EndpointStatus>,
    /// What it holds while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resources: Option<ResourceStatus>,
    /// What there is to say, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub termination: Option<ContainerTermination>,
    /// As `statusSince`.
    pub last_updated: Timestamp,
    /// As `statusSince`.
    pub last_changed: Timestamp,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerTermination {
    /// Exit status as a shell tells it: a signal counts 128 and its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub exit_code: Option<i32>,
    /// For a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

/// A condition, such as `healthy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusCondition {
    /// Its name.
    pub name: String,
    /// `true` or `false`, as a text.
    pub value: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When the value changed last.
    pub last_changed: Timestamp,
    /// When it was reported last.
    pub last_updated: Timestamp,
}

/// An endpoint of an active container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// The endpoint's name.
    pub name: String,
    /// Its port on the host, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allocated_host_port: Option<u16>,
    /// Health, if the container's health check probes this endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub healthy: Option<bool>,
}

/// A network of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// The network's name; none for the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The instance's addresses.
    pub addresses: Vec<String>,
}

/// A persistent volume of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalVolumeStatus {
    /// The pod.
    pub run_spec_id: PodId,
    /// The volume's name.
    pub container_path: String,
    /// Its own part of the id.
    pub uuid: String,
    /// Its id.
    pub persistence_id: String,
}

/// Amounts as decimal numbers: cpus, MiB of memory and disk, gpus.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourceStatus {
    /// Cpus.
    pub cpus: f64,
    /// MiB.
    pub mem: f64,
    /// MiB.
    pub disk: f64,
    /// Whole.
    pub gpus: u64,
}

impl From<Resources> for ResourceStatus {
    fn from(resources: Resources) -> Self {
        Self {
            cpus: cpus_decimal(resources.cpus_milli),
            mem: mib_decimal(resources.mem_bytes),
            disk: mib_decimal(resources.disk_bytes),
            gpus: resources.gpus,
        }
    }
}

/// A run that ended other than by request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TerminationHistory {
    /// The instance's id.
    #[serde(rename = "instanceID")]
    pub instance_id: String,
    /// When its first container started, or the run was launched.
    pub started_at: Timestamp,
    /// When its end was seen.
    pub terminated_at: Timestamp,
    /// The first failure, for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The containers.
    pub containers: Vec<ContainerTerminationHistory>,
}

/// A container in a [`TerminationHistory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerTerminationHistory {
    /// The task's id.
    pub container_id: String,
    /// Its last state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_known_state: Option<TaskState>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub termination: Option<ContainerTermination>,
}

/// An instance as the answer of `DELETE /v2/pods/{id}::instances` has it
/// (marathon: `PodsResourceTest.scala`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The instance's id.
    pub instance_id: String,
    /// What it is in.
    pub state: InstanceState,
    /// Where it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent_info: Option<InstanceAgent>,
    /// The version of its definition.
    pub run_spec_version: Timestamp,
    /// What happens when it cannot be reached.
    pub unreachable_strategy: UnreachableStrategy,
}

/// State of an [`Instance`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceState {
    /// Condition.
    pub condition: Condition,
    /// Since when.
    pub since: Timestamp,
    /// Since when all its containers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub active_since: Option<Timestamp>,
    /// Health, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub healthy: Option<bool>,
    /// What is wanted.
    pub goal: Goal,
}

/// Where an [`Instance`] runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceAgent {
    /// Host name.
    pub host: String,
    /// The agent's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent_id: Option<String>,
    /// Always empty.
    pub attributes: Vec<String>,
}

/// A deployment in progress: an element of `/v2/deployments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// The deployment's id.
    pub id: DeploymentId,
    /// When it was accepted.
    pub version: Timestamp,
    /// Always empty: there are no apps.
    pub affected_apps: Vec<String>,
    /// The pods that it locks.
    pub affected_pods: Vec<PodId>,
    /// Its steps.
    pub steps: Vec<DeploymentStep>,
    /// The actions of the step at work.
    pub current_actions: Vec<CurrentAction>,
    /// The step at work, from 1.
    pub current_step: u32,
    /// How many steps there are.
    pub total_steps: u32,
}

/// What a definition would do: the answer of `/v2/pods/::plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodPlan {
    /// The pod.
    pub id: PodId,
    /// Whether anything would change.
    pub changed: bool,
    /// The definition as it would be stored, but for its version.
    pub definition: PodDefinition,
    /// The one whose place it would take; none for a new pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub present: Option<PodDefinition>,
    /// The deployment's steps.
    pub steps: Vec<DeploymentStep>,
    /// What would happen to instances, in order, if every launch came off at once and every kill.
    pub moves: Vec<PlannedMove>,
    /// Whether it would come to its end as things stand.
    pub fits: bool,
    /// What its instances would wait for, where it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
    /// The deployment that works on the pod: it would need force.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub locked_by: Option<DeploymentId>,
}

/// A move of a [`PodPlan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedMove {
    /// What happens.
    pub kind: MoveKind,
    /// To which instance; none for one that does not exist yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub instance: Option<String>,
    /// What makes it necessary before its successor runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<String>,
}

/// What happens in a [`PlannedMove`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MoveKind {
    /// An instance is launched.
    Launch,
    /// An instance ends.
    End,
}

/// A step of a [`Deployment`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStep {
    /// Its actions.
    pub actions: Vec<DeploymentAction>,
}

/// An action of a [`DeploymentStep`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeploymentAction {
    /// What is done.
    pub action: ActionKind,
    /// To which pod.
    pub pod: PodId,
}

/// An action at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentAction {
    /// What is done.
    pub action: ActionKind,
    /// To which pod.
    pub pod: PodId,
    /// Always empty.
    pub readiness_check_results: Vec<String>,
}

/// The launch queue: the answer of `/v2/queue`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// The pods with waiting instances.
    pub queue: Vec<QueueItem>,
}

/// A pod with waiting instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueItem {
    /// How many wait.
    pub count: u32,
    /// Role.
    pub role: String,
    /// Since when the first of them waits.
    pub since: Timestamp,
    /// The back-off.
    pub delay: QueueDelay,
    /// What became of the last attempt.
    pub processed_offers_summary: ProcessedOffersSummary,
    /// The offers that did not serve, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_unused_offers: Option<Vec<UnusedOffer>>,
    /// The definition to be launched.
    #[serde(with = "shared")]
    #[schema(value_type = PodDefinition)]
    pub pod: Arc<PodDefinition>,
}

/// The back-off of a [`QueueItem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueDelay {
    /// Whole seconds until a launch is allowed, rounded up.
    pub time_left_seconds: u64,
    /// Whether no time is left.
    pub overdue: bool,
}

/// An offer that did not serve a [`QueueItem`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnusedOffer {
    /// The offer.
    pub offer: UnusedOfferOffer,
    /// The stages at which it failed.
    pub reason: Vec<String>,
    /// When.
    pub timestamp: Timestamp,
}

/// The offer of an [`UnusedOffer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnusedOfferOffer {
    /// Its id.
    pub id: String,
    /// The agent's host name.
    pub hostname: String,
    /// The agent's id.
    pub agent_id: String,
    /// What it offered.
    pub resources: Vec<OfferResource>,
    /// Always empty.
    pub attributes: Vec<String>,
}

/// A resource in an [`UnusedOfferOffer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OfferResource {
    /// `cpus`, `mem`, `disk` or `ports`.
    pub name: String,
    /// Role.
    pub role: String,
    /// An amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub scalar: Option<f64>,
    /// Ranges of ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ranges: Option<Vec<OfferRange>>,
}

/// A range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfferRange {
    /// The first.
    pub begin: u16,
    /// The last.
    pub end: u16,
}

/// What became of offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessedOffersSummary {
    /// How many offers were looked at.
    pub processed_offers_count: u32,
    /// How many of them did not serve.
    pub unused_offers_count: u32,
    /// When one last did not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_unused_offer_at: Option<Timestamp>,
    /// When one last served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_used_offer_at: Option<Timestamp>,
    /// Counts of the last offers, by reason, in the order in which reasons are looked at.
    pub reject_summary_last_offers: Vec<RejectCount>,
    /// Counts of the present launch attempt.
    pub reject_summary_launch_attempt: Vec<RejectCount>,
}

/// How many offers one reason declined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectCount {
    /// The reason's name.
    pub reason: String,
    /// How many it declined.
    pub declined: u32,
    /// How many came to it.
    pub processed: u32,
}

/// A definition shared in memory, written in place.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::pod::PodDefinition;

    pub(super) fn serialize<S: Serializer>(
        definition: &Arc<PodDefinition>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        definition.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<PodDefinition>, D::Error> {
        PodDefinition::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_keeps_empty_lists_and_reads_back() {
        let text = r#"{"id":"/web","spec":{"id":"/web","containers":[{"name":"a","resources":{"cpus":0.1,"mem":32.0,"disk":0.0,"gpus":0}}],"scaling":{"kind":"fixed","instances":1},"scheduling":{"backoff":{"backoff":1.0,"backoffFactor":1.15,"maxLaunchDelay":300.0},"upgrade":{"minimumHealthCapacity":1.0,"maximumOverCapacity":1.0},"placement":{},"killSelection":"YOUNGEST_FIRST","unreachableStrategy":{"inactiveAfterSeconds":0,"expungeAfterSeconds":0}},"executorResources":{"cpus":0.1,"mem":32.0,"disk":10.0}},"status":"DEGRADED","statusSince":"2024-05-01T10:00:09.000Z","instances":[],"terminationHistory":[],"lastUpdated":"2024-05-01T10:00:09.000Z","lastChanged":"2024-05-01T10:00:09.000Z"}"#;
        let status: PodStatus = serde_json::from_str(text).unwrap();
        assert_eq!(status.status, PodStatusKind::Degraded);
        assert_eq!(serde_json::to_string(&status).unwrap(), text);
    }

    #[test]
    fn termination_history_spells_instance_id_as_marathon_does() {
        let entry = TerminationHistory {
            instance_id: "web.instance-1".to_owned(),
            started_at: Timestamp::from_millis(0),
            terminated_at: Timestamp::from_millis(1),
            message: None,
            containers: Vec::new(),
        };
        let json = serde_json::to_string(&entry).unwrap();
        assert!(
            json.starts_with(r#"{"instanceID":"web.instance-1""#),
            "{json}"
        );
    }
}
