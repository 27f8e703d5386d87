//! What an event says (marathon: `api/v2/json/Formats.scala`).

use model::{
    id::{DeploymentId, InstanceId, PodId},
    offer::AgentInfo,
    record::DeploymentRecord,
    state::TaskState,
    status::{CurrentAction, DeploymentStep},
    time::Timestamp,
};
use scheduler::{Announcement, status};
use serde::Serialize;
use utoipa::ToSchema;

/// An event, by its type. Types that begin with `monopod_` are ours; their message is what the log says.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "eventType", rename_all = "snake_case")]
pub(crate) enum EventDocument {
    /// A pod was added by a request.
    PodCreatedEvent(PodRequest),
    /// A pod was changed by a request.
    PodUpdatedEvent(PodRequest),
    /// A pod's removal was asked for by a request.
    PodDeletedEvent(PodRequest),
    /// The last instance of a removed pod is gone.
    AppTerminatedEvent(Terminated),
    /// Somebody began to read the stream.
    EventStreamAttached(StreamReader),
    /// Somebody ended to read the stream.
    EventStreamDetached(StreamReader),
    /// An instance was made, or its condition changed.
    InstanceChangedEvent(InstanceChange),
    /// What is known of an instance's health changed.
    InstanceHealthChangedEvent(HealthChange),
    /// A container's state changed.
    StatusUpdateEvent(TaskChange),
    /// A change was accepted.
    GroupChangeSuccess(GroupChange),
    /// A step of a deployment began.
    DeploymentInfo(DeploymentAtStep),
    /// A step of a deployment is done.
    DeploymentStepSuccess(DeploymentAtStep),
    /// A deployment reached its goal.
    DeploymentSuccess(DeploymentOver),
    /// A deployment was cancelled.
    DeploymentFailed(DeploymentCancelled),
    /// An instance was forgotten.
    MonopodInstanceGoneEvent(InstanceGone),
    /// A run ended.
    MonopodRunEndedEvent(RunTold),
    /// Nothing was heard of a launch; it is being killed.
    MonopodLaunchOverdueEvent(RunTold),
    /// Launches of a pod's version wait longer after a failure.
    MonopodBackoffRaisedEvent(BackoffRaised),
    /// An instance is ended before its successor runs, to make room for it.
    MonopodMadeRoomEvent(InstanceTold),
}

/// A request that changes a pod.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodRequest {
    /// Who asked.
    pub(crate) client_ip: String,
    /// The request's path.
    pub(crate) uri: String,
    /// The pod, where the path names it.
    pub(crate) pod_id: Option<PodId>,
}

/// A pod that is gone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terminated {
    /// The pod.
    pub(crate) app_id: PodId,
}

/// A reader of the stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamReader {
    /// From where.
    pub(crate) remote_address: String,
}

/// An instance's condition.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceChange {
    instance_id: String,
    condition: String,
    run_spec_id: PodId,
    /// Null for an instance that was just made.
    agent_id: Option<String>,
    /// Null for an instance that was just made.
    host: Option<String>,
    run_spec_version: Timestamp,
}

/// An instance's health.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HealthChange {
    instance_id: String,
    run_spec_id: PodId,
    /// Null where it is not known.
    healthy: Option<bool>,
    run_spec_version: Timestamp,
}

/// A container's state.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskChange {
    slave_id: String,
    task_id: String,
    task_status: TaskState,
    message: String,
    app_id: PodId,
    host: String,
    /// Always empty.
    ip_addresses: Vec<String>,
    /// The instance's host ports.
    ports: Vec<u16>,
    version: Timestamp,
}

/// A change that was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupChange {
    /// Always `/`.
    group_id: &'static str,
    version: Timestamp,
}

/// The light form of a plan, without the groups before and after (marathon 1.8).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Plan {
    id: DeploymentId,
    steps: Vec<DeploymentStep>,
    version: Timestamp,
}

/// A deployment and its current step.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentAtStep {
    plan: Plan,
    current_step: CurrentStep,
}

/// The step at work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentStep {
    actions: Vec<CurrentAction>,
}

/// A deployment that reached its goal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeploymentOver {
    id: DeploymentId,
    plan: Plan,
}

/// A deployment that was ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeploymentCancelled {
    id: DeploymentId,
    plan: Plan,
    /// Always `cancelled`.
    reason: &'static str,
}

/// An instance that was forgotten.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceGone {
    instance_id: String,
    run_spec_id: PodId,
}

/// What there is to say of a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunTold {
    instance_id: String,
    run: String,
    message: String,
}

/// What there is to say of an instance.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InstanceTold {
    instance_id: String,
    message: String,
}

/// A delay that grew.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackoffRaised {
    pod_id: PodId,
    version: Timestamp,
    delay_ms: u64,
    message: String,
}

/// The events that an announcement makes.
pub(super) fn of(announcement: &Announcement, agent: &AgentInfo) -> Vec<EventDocument> {
    let message = announcement.to_string();
    match announcement {
        // Told by whoever knows the client: `pod_created_event` and its like.
        Announcement::PodCreated { .. }
        | Announcement::PodUpdated { .. }
        | Announcement::PodRemoving { .. } => Vec::new(),
        Announcement::PodGone { pod } => {
            let app_id = pod.clone();
            vec![EventDocument::AppTerminatedEvent(Terminated { app_id })]
        }
        Announcement::InstanceCreated {
            pod,
            instance,
            version,
        } => vec![instance_changed(pod, instance, *version, "Scheduled", None)],
        Announcement::InstanceChanged {
            pod,
            instance,
            version,
            condition,
        } => {
            let condition = condition.as_str();
            vec![instance_changed(
                pod,
                instance,
                *version,
                condition,
                Some(agent),
            )]
        }
        Announcement::InstanceHealthChanged {
            pod,
            instance,
            version,
            healthy,
        } => vec![EventDocument::InstanceHealthChangedEvent(HealthChange {
            instance_id: instance.to_string(),
            run_spec_id: pod.clone(),
            healthy: *healthy,
            run_spec_version: *version,
        })],
        Announcement::InstanceGone { pod, instance } => {
            vec![EventDocument::MonopodInstanceGoneEvent(InstanceGone {
                instance_id: instance.to_string(),
                run_spec_id: pod.clone(),
            })]
        }
        Announcement::TaskChanged {
            pod,
            instance: _,
            version,
            ports,
            task,
            state,
            message,
        } => vec![EventDocument::StatusUpdateEvent(TaskChange {
            slave_id: agent.id.clone(),
            task_id: task.clone(),
            task_status: *state,
            message: message.clone(),
            app_id: pod.clone(),
            host: agent.hostname.clone(),
            ip_addresses: Vec::new(),
            ports: ports.clone(),
            version: *version,
        })],
        Announcement::RunEnded { instance, run, .. } => {
            vec![EventDocument::MonopodRunEndedEvent(RunTold {
                instance_id: instance.to_string(),
                run: run.to_string(),
                message,
            })]
        }
        Announcement::LaunchOverdue { instance, run } => {
            vec![EventDocument::MonopodLaunchOverdueEvent(RunTold {
                instance_id: instance.to_string(),
                run: run.to_string(),
                message,
            })]
        }
        Announcement::BackoffRaised {
            pod,
            version,
            delay_ms,
        } => vec![EventDocument::MonopodBackoffRaisedEvent(BackoffRaised {
            pod_id: pod.clone(),
            version: *version,
            delay_ms: *delay_ms,
            message,
        })],
        Announcement::MadeRoom { instance, .. } => {
            vec![EventDocument::MonopodMadeRoomEvent(InstanceTold {
                instance_id: instance.to_string(),
                message,
            })]
        }
        Announcement::DeploymentStarted(record) => vec![
            EventDocument::GroupChangeSuccess(GroupChange {
                group_id: "/",
                version: record.version,
            }),
            EventDocument::DeploymentInfo(at_step(record)),
        ],
        Announcement::DeploymentStepStarted(record) => {
            vec![EventDocument::DeploymentInfo(at_step(record))]
        }
        Announcement::DeploymentStepDone(record) => {
            vec![EventDocument::DeploymentStepSuccess(at_step(record))]
        }
        Announcement::DeploymentDone(record) => {
            vec![EventDocument::DeploymentSuccess(DeploymentOver {
                id: record.id,
                plan: plan(record),
            })]
        }
        Announcement::DeploymentCancelled(record) => {
            vec![EventDocument::DeploymentFailed(DeploymentCancelled {
                id: record.id,
                plan: plan(record),
                reason: "cancelled",
            })]
        }
    }
}

fn instance_changed(
    pod: &PodId,
    instance: &InstanceId,
    version: Timestamp,
    condition: &str,
    agent: Option<&AgentInfo>,
) -> EventDocument {
    EventDocument::InstanceChangedEvent(InstanceChange {
        instance_id: instance.to_string(),
        condition: condition.to_owned(),
        run_spec_id: pod.clone(),
        agent_id: agent.map(|agent| agent.id.clone()),
        host: agent.map(|agent| agent.hostname.clone()),
        run_spec_version: version,
    })
}

fn at_step(record: &DeploymentRecord) -> DeploymentAtStep {
    DeploymentAtStep {
        plan: plan(record),
        current_step: CurrentStep {
            actions: status::deployment_document(record).current_actions,
        },
    }
}

fn plan(record: &DeploymentRecord) -> Plan {
    let document = status::deployment_document(record);
    Plan {
        id: document.id,
        steps: document.steps,
        version: document.version,
    }
}
