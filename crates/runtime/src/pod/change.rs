//! The contents of updates.

use model::{
    state::{Reason, TaskState},
    update::ExitStatus,
};

use crate::cgroup::{MemoryKill, Shortage};

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

    /// The end of a container in which the kernel killed. What the host lacked is no limit of the container's, so it
    /// gets no reason of that name.
    pub(super) fn out_of_memory(name: &str, kill: &MemoryKill, exit: ExitStatus) -> Self {
        let reason = match kill.shortage {
            Shortage::Container | Shortage::Pod => Some(Reason::ContainerLimitationMemory),
            Shortage::Host => None,
        };
        Self {
            state: TaskState::Failed,
            reason,
            message: format!("{}; {exit}", describe(name, kill)),
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

    /// A failure of a container that could not have as many processes as it wanted.
    pub(super) fn with_pids(mut self, limit: Option<u64>) -> Self {
        if let Some(limit) = limit
            && self.state == TaskState::Failed
        {
            self.message.push_str(&format!(
                "; it had been refused more than its limit of {limit} processes and threads"
            ));
        }
        self
    }
}

fn describe(name: &str, kill: &MemoryKill) -> String {
    let limit = kill
        .limit_bytes
        .map(|bytes| format!(" of {}", mebibytes(bytes)));
    let limit = limit.unwrap_or_default();
    let peak = kill
        .peak_bytes
        .map(|bytes| format!(" (peak {})", mebibytes(bytes)));
    let peak = peak.unwrap_or_default();
    match kill.shortage {
        Shortage::Container => {
            format!("Memory limit exceeded: container '{name}' reached its limit{limit}{peak}")
        }
        Shortage::Pod => format!(
            "Memory limit of the pod exceeded: its containers together reached the limit{limit}, and the kernel ended \
             container '{name}'{peak}"
        ),
        Shortage::Host => {
            format!(
                "Out of memory: the host has none left, and the kernel ended container '{name}'{peak}"
            )
        }
    }
}

/// In MiB, with one digit behind the point where there is something.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    match tenths % 10 {
        0 => format!("{} MiB", tenths / 10),
        digit => format!("{}.{digit} MiB", tenths / 10),
    }
}
