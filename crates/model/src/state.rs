//! States: of tasks, of instances, and what is wanted of an instance.
//!
//! Three enums stay apart: a task's state (Mesos), an instance's condition (Marathon) and a container's
//! status in the sense of OCI, which only the runtime knows.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

macro_rules! text_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The value as documents and tables write it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Reads what [`Self::as_str`] wrote.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|value| value.as_str())))
                    .into()
            }
        }

        impl ToSchema for $name {}

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

text_enum! {
    /// State of a task, that is of one container of a run (mesos: `include/mesos/v1/mesos.proto`, `TaskState`).
    TaskState {
        /// Accepted, not yet confirmed by the executor.
        Staging = "TASK_STAGING",
        /// The executor has it; its container is being created.
        Starting = "TASK_STARTING",
        /// Its process was started.
        Running = "TASK_RUNNING",
        /// A kill was issued.
        Killing = "TASK_KILLING",
        /// Ended with status 0, unasked.
        Finished = "TASK_FINISHED",
        /// Ended with another status or a signal, or could not be launched.
        Failed = "TASK_FAILED",
        /// Ended on request, or because a member of its group failed.
        Killed = "TASK_KILLED",
        /// Its definition is invalid; another try is pointless.
        Error = "TASK_ERROR",
        /// Was running and is certainly gone.
        Gone = "TASK_GONE",
        /// Never started; safe to try again.
        Dropped = "TASK_DROPPED",
    }
}

impl TaskState {
    /// Whether no further state follows.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Staging | Self::Starting | Self::Running | Self::Killing => false,
            Self::Finished
            | Self::Failed
            | Self::Killed
            | Self::Error
            | Self::Gone
            | Self::Dropped => true,
        }
    }
}

text_enum! {
    /// What an instance is in (marathon: `core/condition/Condition.scala`), as seen from its tasks.
    Condition {
        /// Wanted, not launched.
        Scheduled = "Scheduled",
        /// Launch decided, nothing heard yet.
        Provisioned = "Provisioned",
        /// Some task is staging.
        Staging = "Staging",
        /// Some task is starting.
        Starting = "Starting",
        /// Tasks run.
        Running = "Running",
        /// Tasks are being killed.
        Killing = "Killing",
        /// Every task ended with status 0.
        Finished = "Finished",
        /// Some task failed.
        Failed = "Failed",
        /// Killed on request.
        Killed = "Killed",
        /// Some task's definition is invalid.
        Error = "Error",
        /// Was running and is certainly gone.
        Gone = "Gone",
        /// Never started.
        Dropped = "Dropped",
    }
}

text_enum! {
    /// What is wanted of an instance. Only requests and the scheduler's plans change it.
    Goal {
        /// It shall run; when it ends it is launched again.
        Running = "Running",
        /// It shall stop and keep its identity.
        Stopped = "Stopped",
        /// It shall stop and be forgotten.
        Decommissioned = "Decommissioned",
    }
}

text_enum! {
    /// Status of an instance as the API shows it; computed, never stored.
    InstanceStatus {
        /// Waits to be launched.
        Pending = "PENDING",
        /// Being launched.
        Staging = "STAGING",
        /// Runs and, where checks exist, is healthy.
        Stable = "STABLE",
        /// Runs, but not as it should.
        Degraded = "DEGRADED",
        /// Ended or ending.
        Terminal = "TERMINAL",
    }
}

text_enum! {
    /// Status of a pod as the API shows it; computed, never stored.
    PodStatusKind {
        /// Enough instances are stable.
        Stable = "STABLE",
        /// Fewer instances are stable than wanted.
        Degraded = "DEGRADED",
        /// The pod is being removed.
        Terminal = "TERMINAL",
    }
}

text_enum! {
    /// Why a task is in its state (mesos: `TaskStatus::Reason`, the values one host can see, and our own).
    Reason {
        /// The container could not be created or started.
        ContainerLaunchFailed = "REASON_CONTAINER_LAUNCH_FAILED",
        /// The container went over its memory limit.
        ContainerLimitationMemory = "REASON_CONTAINER_LIMITATION_MEMORY",
        /// The container went over another limit.
        ContainerLimitation = "REASON_CONTAINER_LIMITATION",
        /// The executor died or was killed.
        ExecutorTerminated = "REASON_EXECUTOR_TERMINATED",
        /// Killed before its container ran.
        TaskKilledDuringLaunch = "REASON_TASK_KILLED_DURING_LAUNCH",
        /// The task group is invalid.
        TaskGroupInvalid = "REASON_TASK_GROUP_INVALID",
        /// The offer it was accepted with no longer stood.
        InvalidOffers = "REASON_INVALID_OFFERS",
        /// The agent restarted before the executor was heard of.
        AgentRestarted = "REASON_SLAVE_RESTARTED",
        /// The host restarted.
        HostRebooted = "REASON_HOST_REBOOTED",
        /// A member of its group ended and took it down.
        GroupMemberEnded = "REASON_GROUP_MEMBER_ENDED",
        /// Asked for by a request.
        KillRequested = "REASON_KILL_REQUESTED",
        /// Its health check failed too often.
        Unhealthy = "REASON_UNHEALTHY",
        /// Its health changed.
        HealthCheckStatusUpdated = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
        /// It ran longer than allowed.
        MaxCompletionTimeReached = "REASON_MAX_COMPLETION_TIME_REACHED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::parse(state.as_str()), Some(*state));
            let json = serde_json::to_string(state).unwrap();
            assert_eq!(json, format!("\"{state}\""));
        }
        let schema = serde_json::to_value(InstanceStatus::schema()).unwrap();
        let texts = ["PENDING", "STAGING", "STABLE", "DEGRADED", "TERMINAL"];
        assert_eq!(schema["enum"], serde_json::json!(texts));
        assert_eq!(Condition::parse("scheduled"), None);
    }
}
