//! Transitions worth telling: for the log and the event stream.

use std::fmt;

use model::{
    id::{DeploymentId, InstanceId, PodId, RunId},
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
        /// The instance.
        instance: InstanceId,
        /// The version that it will run.
        version: Timestamp,
    },
    /// An instance's condition changed.
    InstanceChanged {
        /// The instance.
        instance: InstanceId,
        /// What it is in now.
        condition: Condition,
    },
    /// An instance was forgotten.
    InstanceGone {
        /// The instance.
        instance: InstanceId,
    },
    /// A container's state changed.
    TaskChanged {
        /// The instance.
        instance: InstanceId,
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
    DeploymentStarted {
        /// The deployment.
        deployment: DeploymentId,
        /// The pod.
        pod: PodId,
    },
    /// A step of a deployment is done.
    DeploymentStepDone {
        /// The deployment.
        deployment: DeploymentId,
        /// The step, from 1.
        step: u32,
    },
    /// A deployment reached its goal.
    DeploymentDone {
        /// The deployment.
        deployment: DeploymentId,
        /// The pod.
        pod: PodId,
    },
    /// A deployment was cancelled.
    DeploymentCancelled {
        /// The deployment.
        deployment: DeploymentId,
        /// The pod.
        pod: PodId,
    },
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
            Self::InstanceCreated { instance, version } => {
                write!(f, "instance {instance} made for version {version}")
            }
            Self::InstanceChanged {
                instance,
                condition,
            } => {
                write!(f, "instance {instance} is {condition}")
            }
            Self::InstanceGone { instance } => write!(f, "instance {instance} is gone"),
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
            Self::DeploymentStarted { deployment, pod } => {
                write!(f, "deployment {deployment} of pod {pod} started")
            }
            Self::DeploymentStepDone { deployment, step } => {
                write!(f, "step {step} of deployment {deployment} is done")
            }
            Self::DeploymentDone { deployment, pod } => {
                write!(f, "deployment {deployment} of pod {pod} is done")
            }
            Self::DeploymentCancelled { deployment, pod } => {
                write!(f, "deployment {deployment} of pod {pod} was cancelled")
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
