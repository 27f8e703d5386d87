//! What the store keeps, one struct a table; written as whole rows, in one transaction a turn.
//!
//! Stored are goals, incarnations, task states and conditions; status is computed from them, never stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    id::{DeploymentId, InstanceId, PodId, RunId},
    pod::PodDefinition,
    state::{Condition, Goal, Reason, TaskState},
    task_group::PortAssignment,
    time::Timestamp,
    update::ExitStatus,
};

/// A pod that is defined now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// The pod.
    pub id: PodId,
    /// Its current version, a row of [`PodVersionRecord`].
    pub version: Timestamp,
    /// The version in which anything but the number of instances changed last; instances run this one.
    pub last_config_change: Timestamp,
    /// Whether its removal was accepted: it is kept until its last instance is gone.
    pub removing: bool,
}

/// One version of a pod's definition. Versions outlive the pod, as long as it is among the last that were removed.
#[derive(Clone, Debug, PartialEq)]
pub struct PodVersionRecord {
    /// The pod.
    pub pod: PodId,
    /// The version.
    pub version: Timestamp,
    /// The normalised definition, its `version` member included.
    pub definition: Arc<PodDefinition>,
}

/// A pod that was removed and whose versions are still kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedPodRecord {
    /// The pod.
    pub pod: PodId,
    /// When its last instance was gone.
    pub removed_at: Timestamp,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRecord {
    /// The instance.
    pub id: InstanceId,
    /// The pod.
    pub pod: PodId,
    /// The version of the definition that it runs or will run.
    pub version: Timestamp,
    /// Counts launches; 0 before the first.
    pub incarnation: u32,
    /// Whether the run of this incarnation still holds resources: from the decision to launch until
    /// its end was observed.
    pub run_open: bool,
    /// What is wanted.
    pub goal: Goal,
    /// What was last seen.
    pub condition: Condition,
    /// Since when the condition holds.
    pub since: Timestamp,
    /// When all tasks of the run were first seen running.
    pub active_since: Option<Timestamp>,
    /// When the instance was made.
    pub created_at: Timestamp,
    /// Host ports of the run.
    pub host_ports: Vec<PortAssignment>,
}

/// The last known state of one container of an instance's latest run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// The run.
    pub run: RunId,
    /// The container.
    pub container: String,
    /// State.
    pub state: TaskState,
    /// Since when the state holds.
    pub since: Timestamp,
    /// When the launch was decided.
    pub staged_at: Timestamp,
    /// When it was first seen running.
    pub started_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<Reason>,
    /// For a person.
    pub message: String,
    /// How the process ended.
    pub exit: Option<ExitStatus>,
    /// Last health result.
    pub healthy: Option<bool>,
}

/// What one action of a deployment does (marathon: `DeploymentAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ActionKind {
    /// Makes the pod known, without instances.
    StartPod,
    /// Brings the number of instances to what is wanted.
    ScalePod,
    /// Replaces instances of older versions.
    RestartPod,
    /// Ends all instances and forgets the pod.
    StopPod,
}

/// One action of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What is done.
    pub action: ActionKind,
    /// To which pod.
    pub pod: PodId,
}

/// A deployment in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentRecord {
    /// The deployment.
    pub id: DeploymentId,
    /// When it was accepted; also its version.
    pub version: Timestamp,
    /// The pod it works on.
    pub pod: PodId,
    /// Steps, one after the other; the actions of one step go together.
    pub steps: Vec<Vec<Action>>,
    /// Which step is at work, from 1; 0 before the first.
    pub current_step: u32,
    /// The pod's version before, if there was one.
    pub from_version: Option<Timestamp>,
    /// The pod's version after, none if the deployment removes it.
    pub to_version: Option<Timestamp>,
}

/// Launch back-off of one pod version, shared by its instances (marathon: `RateLimiter.scala`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackoffRecord {
    /// The pod.
    pub pod: PodId,
    /// The version that the delay belongs to.
    pub version: Timestamp,
    /// The present delay in milliseconds.
    pub delay_ms: u64,
    /// The delay counts from here.
    pub reference: Timestamp,
}

/// A run that ended other than by request: for `terminationHistory`. Bounded per pod by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminationRecord {
    /// The pod.
    pub pod: PodId,
    /// The instance.
    pub instance: InstanceId,
    /// Which launch of it.
    pub incarnation: u32,
    /// When its first task started, or when it was staged.
    pub started_at: Timestamp,
    /// When its end was seen.
    pub terminated_at: Timestamp,
    /// For a person: the first failure.
    pub message: String,
    /// The containers at the end.
    pub containers: Vec<TerminatedContainer>,
}

/// A container in a [`TerminationRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminatedContainer {
    /// The task's id.
    pub task_id: String,
    /// Its last state.
    pub state: TaskState,
    /// How its process ended.
    pub exit: Option<ExitStatus>,
    /// For a person.
    pub message: String,
}

/// One change of the stored state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Writes a pod's row.
    Pod(PodRecord),
    /// Deletes a pod's row; versions stay.
    PodGone(PodId),
    /// Writes a version.
    PodVersion(PodVersionRecord),
    /// Remembers that a pod was removed.
    RemovedPod(RemovedPodRecord),
    /// Forgets that a pod was removed: it is back, or its versions are deleted too.
    RemovedPodGone(PodId),
    /// Deletes a version: there are more than are kept, and nothing refers to this one.
    PodVersionGone {
        /// The pod.
        pod: PodId,
        /// The version.
        version: Timestamp,
    },
    /// Writes an instance's row.
    Instance(InstanceRecord),
    /// Deletes an instance's row and its tasks' rows.
    InstanceGone(InstanceId),
    /// Writes a task's row; rows of older incarnations of the instance are deleted.
    Task(TaskRecord),
    /// Writes a deployment's row.
    Deployment(DeploymentRecord),
    /// Deletes a deployment's row.
    DeploymentGone(DeploymentId),
    /// Writes a back-off.
    Backoff(BackoffRecord),
    /// Deletes a pod's back-offs.
    BackoffGone(PodId),
    /// Adds to the termination history.
    Termination(TerminationRecord),
    /// The updates of `run` up to `sequence` are applied.
    Applied {
        /// The run.
        run: RunId,
        /// The last applied sequence number.
        sequence: u64,
    },
    /// The run is over and its journal gone: nothing of it will be applied again.
    RunForgotten(RunId),
}

/// Everything the store holds that the scheduler works with, as read at start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// Pods, by id.
    pub pods: Vec<PodRecord>,
    /// For each pod its known versions, ascending; of pods no longer defined, too.
    pub versions: Vec<PodVersionRecord>,
    /// Pods that were removed and have versions, by id.
    pub removed: Vec<RemovedPodRecord>,
    /// Instances, by id.
    pub instances: Vec<InstanceRecord>,
    /// Tasks, by run and container.
    pub tasks: Vec<TaskRecord>,
    /// Deployments in order of their version.
    pub deployments: Vec<DeploymentRecord>,
    /// Back-offs.
    pub backoffs: Vec<BackoffRecord>,
    /// Termination history, oldest first.
    pub terminations: Vec<TerminationRecord>,
    /// Last applied update per run.
    pub applied: Vec<(RunId, u64)>,
}
