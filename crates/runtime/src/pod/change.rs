//! The contents of updates.

use model::{
    state::{Reason, TaskState},
    update::ExitStatus,
};

/// What an update says beyond who, when and its number.
pub(super) struct Change {
    pub(super) state: TaskState,
    pub(super) reason: Option<Reason>,
    pub(super) message: String,
    pub(super) exit: Option<ExitStatus>,
}

impl Change {
    pub(super) fn to(state: TaskState) -> Self {
        Self {
            state,
            reason: None,
            message: String::new(),
            exit: None,
        }
    }

    pub(super) fn launch_failed(message: String) -> Self {
        Self {
            state: TaskState::Failed,
            reason: Some(Reason::ContainerLaunchFailed),
            message,
            exit: None,
        }
    }

    pub(super) fn out_of_memory(exit: ExitStatus) -> Self {
        Self {
            state: TaskState::Failed,
            reason: Some(Reason::ContainerLimitationMemory),
            message: format!("Memory limit exceeded: {exit}"),
            exit: Some(exit),
        }
    }

    pub(super) fn exited(exit: ExitStatus) -> Self {
        let state = if exit.is_success() {
            TaskState::Finished
        } else {
            TaskState::Failed
        };
        Self {
            state,
            reason: None,
            message: exit.to_string(),
            exit: Some(exit),
        }
    }
}
