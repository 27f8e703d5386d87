//! Transitions worth telling: for the log and the event stream.

use std::{fmt, sync::Arc};

use model::{
    id::{InstanceId, PodId, RunId},
    record::DeploymentRecord,
    state::{Condition, TaskState},
    time::Timestamp,
    update::RunOutcome,
};

use crate::wait_reason::{WaitReason, seconds};

/// A transition, told after it was stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Announcement {
    /// A pod was added.
    PodCreated {
        /// The pod.
        pod: PodId,
        /// Its version.
        version: Timestamp,
    },
    /// A pod's definition changed.
    PodUpdated {
        /// The pod.
        pod: PodId,
        /// Its new version.
        version: Timestamp,
    },
    /// A pod's removal was accepted.
    PodRemoving {
        /// The pod.
        pod: PodId,
    },
    /// The last instance of a removed pod is gone.
    PodGone {
        /// The pod.
        pod: PodId,
    },
    /// An instance was made.
    InstanceCreated {
        /// The pod.
        pod: PodId,
        /// The instance.
        instance: InstanceId,
        /// The version that it will run.
        version: Timestamp,
    },
    /// An instance's condition changed.
    InstanceChanged {
        /// The pod.
        pod: PodId,
        /// The instance.
        instance: InstanceId,
        /// The version that it runs.
        version: Timestamp,
        /// What it is in now.
        condition: Condition,
    },
    /// What is known of an instance's health changed.
    InstanceHealthChanged {
        /// The pod.
        pod: PodId,
        /// The instance.
        instance: InstanceId,
        /// The version that it runs.
        version: Timestamp,
        /// Whether it is healthy, if that is known.
        healthy: Option<bool>,
    },
    /// An instance was forgotten.
    InstanceGone {
        /// The pod.
        pod: PodId,
        /// The instance.
        instance: InstanceId,
    },
    /// A container's state changed.
    TaskChanged {
        /// The pod.
        pod: PodId,
        /// The instance.
        instance: InstanceId,
        /// The version that it runs.
        version: Timestamp,
        /// The instance's host ports.
        ports: Vec<u16>,
        /// The task's id.
        task: String,
        /// Its state now.
        state: TaskState,
        /// For a person.
        message: String,
    },
    /// A run ended.
    RunEnded {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
        /// How.
        outcome: RunOutcome,
    },
    /// Nothing was heard of a launch; it is being killed.
    LaunchOverdue {
        /// The instance.
        instance: InstanceId,
        /// The run.
        run: RunId,
    },
    /// Launches of a pod's version wait longer after a failure.
    BackoffRaised {
        /// The pod.
        pod: PodId,
        /// The version.
        version: Timestamp,
        /// The delay in milliseconds.
        delay_ms: u64,
    },
    /// During an update, an old instance is ended before its successor runs, because the successor waits for
    /// what it holds and nothing else would make room.
    MadeRoom {
        /// The old instance.
        instance: InstanceId,
        /// Why the successor waits.
        reason: WaitReason,
    },
    /// A deployment began.
    DeploymentStarted(Arc<DeploymentRecord>),
    /// A step of a deployment, its current one, is done.
    DeploymentStepDone(Arc<DeploymentRecord>),
    /// The step of a deployment that is now its current one began.
    DeploymentStepStarted(Arc<DeploymentRecord>),
    /// A deployment reached its goal.
    DeploymentDone(Arc<DeploymentRecord>),
    /// A deployment was cancelled.
    DeploymentCancelled(Arc<DeploymentRecord>),
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PodCreated { pod, version } => write!(f, "pod {pod} added, version {version}"),
            Self::PodUpdated { pod, version } => {
                write!(f, "pod {pod} updated to version {version}")
            }
            Self::PodRemoving { pod } => write!(f, "pod {pod} is being removed"),
            Self::PodGone { pod } => write!(f, "pod {pod} is gone"),
            Self::InstanceCreated {
                instance, version, ..
            } => {
                write!(f, "instance {instance} made for version {version}")
            }
            Self::InstanceChanged {
                instance,
                condition,
                ..
            } => {
                write!(f, "instance {instance} is {condition}")
            }
            Self::InstanceHealthChanged {
                instance, healthy, ..
            } => match healthy {
                Some(true) => write!(f, "instance {instance} is healthy"),
                Some(false) => write!(f, "instance {instance} is not healthy"),
                None => write!(f, "whether instance {instance} is healthy is not known"),
            },
            Self::InstanceGone { instance, .. } => write!(f, "instance {instance} is gone"),
            Self::TaskChanged {
                task,
                state,
                message,
                ..
            } if message.is_empty() => {
                write!(f, "task {task} is {state}")
            }
            Self::TaskChanged {
                task,
                state,
                message,
                ..
            } => {
                write!(f, "task {task} is {state}: {message}")
            }
            Self::RunEnded { run, outcome, .. } => write_run_end(f, *run, outcome),
            Self::LaunchOverdue { run, .. } => {
                write!(f, "run {run} is killed: nothing was heard of its launch")
            }
            Self::BackoffRaised {
                pod,
                version,
                delay_ms,
            } => write!(
                f,
                "launches of pod {pod}, version {version}, wait {} s after a failure",
                seconds(*delay_ms)
            ),
            Self::MadeRoom { instance, reason } => write!(
                f,
                "instance {instance} ends before its successor runs, which {reason}"
            ),
            Self::DeploymentStarted(record) => {
                write!(f, "deployment {} of pod {} started", record.id, record.pod)
            }
            Self::DeploymentStepDone(record) => {
                let (step, id) = (record.current_step, record.id);
                write!(f, "step {step} of deployment {id} is done")
            }
            Self::DeploymentStepStarted(record) => {
                let (step, id) = (record.current_step, record.id);
                write!(f, "step {step} of deployment {id} began")
            }
            Self::DeploymentDone(record) => {
                write!(f, "deployment {} of pod {} is done", record.id, record.pod)
            }
            Self::DeploymentCancelled(record) => {
                write!(
                    f,
                    "deployment {} of pod {} was cancelled",
                    record.id, record.pod
                )
            }
        }
    }
}

fn write_run_end(f: &mut fmt::Formatter<'_>, run: RunId, outcome: &RunOutcome) -> fmt::Result {
    match outcome {
        RunOutcome::Completed => write!(f, "run {run} is over"),
        RunOutcome::ExecutorDied { message } => {
            write!(f, "run {run} is over, its executor died: {message}")
        }
        RunOutcome::NotLaunched { message } => write!(f, "run {run} was not launched: {message}"),
        RunOutcome::HostRebooted => write!(f, "run {run} is over, the host restarted"),
    }
}
