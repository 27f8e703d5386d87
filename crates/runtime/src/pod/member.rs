//! One container of the run, as the state machine sees it.

use std::time::Duration;

use model::{
    state::{Reason, TaskState},
    update::ExitStatus,
};

use super::change::Change;

/// SIGKILL.
const KILL_SIGNAL: i32 = 9;

/// How far a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Waits until fewer others are being created.
    Waiting,
    /// Being created, until this moment at most.
    Creating { until: Duration },
    /// Waits for its start.
    Created,
    /// Told to start, its command not confirmed; until this moment at most.
    Starting { until: Duration },
    /// Its command runs.
    Running,
    /// Ended with status 0 before all run; not yet told.
    Finished,
    /// Its last state is told and nothing of it runs.
    Over,
}

/// One container.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) grace: Duration,
    pub(super) stage: Stage,
    /// It is being ended on purpose.
    pub(super) killing: Option<Killing>,
    /// Why its launch failed, known before its end is.
    pub(super) flaw: Option<String>,
}

/// Why and how a container is being ended.
#[derive(Clone, Debug)]
pub(super) struct Killing {
    reason: Reason,
    message: String,
    /// When patience ends; `None` once it has, or where none is given.
    pub(super) force_at: Option<Duration>,
    /// The stop signal that SIGKILL stood in for.
    pub(super) stands_for: Option<i32>,
}

impl Member {
    pub(super) const fn new(name: String, grace: Duration) -> Self {
        Self {
            name,
            grace,
            stage: Stage::Waiting,
            killing: None,
            flaw: None,
        }
    }

    /// When something must happen to it.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match (self.stage, &self.killing) {
            (Stage::Over | Stage::Finished, _) => None,
            (_, Some(killing)) => killing.force_at,
            (_, None) if self.flaw.is_some() => None,
            (Stage::Creating { until } | Stage::Starting { until }, None) => Some(until),
            (Stage::Waiting | Stage::Created | Stage::Running, None) => None,
        }
    }

    /// The exit status to tell: a SIGKILL in place of an unhandled stop signal counts as that signal, since
    /// any process but the first of its namespace would have ended by it.
    pub(super) fn told_exit(&self, exit: ExitStatus) -> ExitStatus {
        let stands_for = self.killing.as_ref().and_then(|killing| killing.stands_for);
        match (exit, stands_for) {
            (ExitStatus::Signaled(KILL_SIGNAL), Some(signal)) => ExitStatus::Signaled(signal),
            (other, _) => other,
        }
    }
}

impl Killing {
    pub(super) const fn new(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            force_at: None,
            stands_for: None,
        }
    }

    /// The update that says the kill began.
    pub(super) fn begun(&self) -> Change {
        Change {
            state: TaskState::Killing,
            reason: Some(self.reason),
            message: self.message.clone(),
            exit: None,
        }
    }

    /// The update that says it is done: killed whatever the exit status, as Mesos tells it.
    pub(super) fn outcome(self, exit: Option<ExitStatus>) -> Change {
        let how = exit.map_or_else(
            || "ended before it was started".to_owned(),
            |exit| exit.to_string(),
        );
        let message = if self.message.is_empty() {
            how
        } else {
            format!("{how} ({})", self.message)
        };
        Change {
            state: TaskState::Killed,
            reason: Some(self.reason),
            message,
            exit,
        }
    }
}
