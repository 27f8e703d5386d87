//! Follows runs from launch to STABLE and to their end, as far as numbers need it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use model::{
    id::RunId,
    state::{Reason, TaskState},
    update::{RunOutcome, TaskUpdate},
};
use uuid::Uuid;

/// Why a run ended, in the words of the metrics' label `reason`.
pub(super) const RUN_ENDS: &[&str] = &[
    FINISHED,
    KILL_REQUESTED,
    FAILED,
    "launch_failed",
    "memory_limit",
    "limit",
    "unhealthy",
    "not_launched",
    STOPPED,
    "executor_died",
    "host_rebooted",
    UNKNOWN,
];

/// Every container ended with status 0.
const FINISHED: &str = "finished";
/// Asked for.
const KILL_REQUESTED: &str = "kill_requested";
/// A container ended with another status or by a signal.
const FAILED: &str = "failed";
/// Its executor was asked by a signal to stop: all pods are, when their unit or the host stops.
const STOPPED: &str = "stopped";
/// It ended before this daemon started.
const UNKNOWN: &str = "unknown";

/// What is remembered of runs; each entry goes when its run or instance does.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Runs launched by this daemon and not yet STABLE.
    launching: BTreeMap<RunId, Instant>,
    /// The first reason to end that was seen of runs that are not over.
    ending: BTreeMap<RunId, &'static str>,
    /// Why the latest run of an instance ended.
    ended: BTreeMap<Uuid, &'static str>,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunEnd {
    pub(super) reason: &'static str,
    /// Whether it never became STABLE, though nobody asked it to end.
    pub(super) launch_failed: bool,
}

impl Runs {
    /// A run is launched; says why the run before it ended, if it has one.
    pub(super) fn launched(&mut self, run: RunId, at: Instant) -> Option<&'static str> {
        self.launching.insert(run, at);
        let before = self.ended.remove(&run.instance);
        (run.incarnation > 1).then(|| before.unwrap_or(UNKNOWN))
    }

    /// Whether any launch is waited for.
    pub(super) fn any_launching(&self) -> bool {
        !self.launching.is_empty()
    }

    /// A run's instance is STABLE; says how long its launch took, the first time.
    pub(super) fn stable(&mut self, run: RunId, at: Instant) -> Option<Duration> {
        let since = self.launching.remove(&run)?;
        Some(at.saturating_duration_since(since))
    }

    /// Takes note of why a run is told to end. What follows from the first reason is none.
    pub(super) fn killed(&mut self, run: RunId, reason: Reason) {
        self.ending.entry(run).or_insert(word(Some(reason)));
    }

    /// As [`Self::killed`], from an executor's update. A success is a reason that any other displaces.
    pub(super) fn updated(&mut self, update: &TaskUpdate) {
        let reason = match update.state {
            TaskState::Failed | TaskState::Error | TaskState::Gone | TaskState::Dropped => {
                word(update.reason)
            }
            TaskState::Killed if update.reason == Some(Reason::Unhealthy) => word(update.reason),
            TaskState::Killed if update.reason == Some(Reason::ExecutorTerminated) => STOPPED,
            TaskState::Finished => FINISHED,
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Killed => return,
        };
        let seen = self.ending.entry(update.run).or_insert(reason);
        if *seen == FINISHED {
            *seen = reason;
        }
    }

    /// A run is over.
    pub(super) fn over(&mut self, run: RunId, outcome: &RunOutcome) -> RunEnd {
        let seen = self.ending.remove(&run);
        let reason = match outcome {
            RunOutcome::NotLaunched { .. } => "not_launched",
            RunOutcome::HostRebooted => "host_rebooted",
            RunOutcome::Completed => seen.unwrap_or(UNKNOWN),
            RunOutcome::ExecutorDied { .. } => seen.unwrap_or("executor_died"),
        };
        let launching = self.launching.remove(&run).is_some();
        self.ended.insert(run.instance, reason);
        RunEnd {
            reason,
            launch_failed: launching && ![FINISHED, KILL_REQUESTED, STOPPED].contains(&reason),
        }
    }

    /// The instance is no longer known.
    pub(super) fn forgotten(&mut self, instance: Uuid) {
        self.ended.remove(&instance);
    }
}

const fn word(reason: Option<Reason>) -> &'static str {
    match reason {
        Some(Reason::ContainerLaunchFailed | Reason::TaskGroupInvalid | Reason::InvalidOffers) => {
            "launch_failed"
        }
        Some(Reason::ContainerLimitationMemory) => "memory_limit",
        Some(Reason::ContainerLimitation | Reason::MaxCompletionTimeReached) => "limit",
        Some(Reason::Unhealthy) => "unhealthy",
        Some(Reason::ExecutorTerminated) => "executor_died",
        Some(Reason::HostRebooted) => "host_rebooted",
        Some(Reason::KillRequested | Reason::TaskKilledDuringLaunch) => KILL_REQUESTED,
        Some(
            Reason::AgentRestarted | Reason::GroupMemberEnded | Reason::HealthCheckStatusUpdated,
        )
        | None => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use model::time::Timestamp;

    use super::*;

    fn run(incarnation: u32) -> RunId {
        RunId {
            instance: Uuid::from_u128(7),
            incarnation,
        }
    }

    fn update(incarnation: u32, state: TaskState, reason: Option<Reason>) -> TaskUpdate {
        TaskUpdate {
            run: run(incarnation),
            sequence: 1,
            at: Timestamp::from_millis(0),
            container: "c".to_owned(),
            state,
            reason,
            message: String::new(),
            exit: None,
            healthy: None,
        }
    }

    fn died() -> RunOutcome {
        RunOutcome::ExecutorDied {
            message: String::new(),
        }
    }

    #[test]
    fn a_launch_is_timed_once_and_a_restart_knows_why() {
        let mut runs = Runs::default();
        let start = Instant::now();
        assert_eq!(runs.launched(run(1), start), None);
        let later = start + Duration::from_millis(20);
        assert_eq!(runs.stable(run(1), later), Some(Duration::from_millis(20)));
        assert_eq!(runs.stable(run(1), later), None);

        runs.updated(&update(1, TaskState::Finished, None));
        let oom = Some(Reason::ContainerLimitationMemory);
        runs.updated(&update(1, TaskState::Failed, oom));
        runs.killed(run(1), Reason::GroupMemberEnded);
        let end = runs.over(run(1), &died());
        assert_eq!((end.reason, end.launch_failed), ("memory_limit", false));
        assert_eq!(runs.launched(run(2), later), Some("memory_limit"));

        let nothing = RunOutcome::NotLaunched {
            message: String::new(),
        };
        let end = runs.over(run(2), &nothing);
        assert_eq!((end.reason, end.launch_failed), ("not_launched", true));
        runs.forgotten(run(2).instance);
        assert_eq!(runs.launched(run(3), later), Some(UNKNOWN));

        runs.killed(run(3), Reason::KillRequested);
        runs.updated(&update(3, TaskState::Failed, None));
        let end = runs.over(run(3), &died());
        assert_eq!((end.reason, end.launch_failed), (KILL_REQUESTED, false));
        assert!(!runs.any_launching() && runs.ending.is_empty());
    }

    #[test]
    fn an_executor_that_told_nothing_died() {
        let mut runs = Runs::default();
        assert_eq!(runs.over(run(1), &died()).reason, "executor_died");
        let asked = Some(Reason::ExecutorTerminated);
        runs.updated(&update(2, TaskState::Killed, asked));
        assert_eq!(runs.over(run(2), &died()).reason, STOPPED);
    }

    #[test]
    fn every_reason_has_a_word_of_the_list() {
        for reason in Reason::ALL {
            assert!(RUN_ENDS.contains(&word(Some(*reason))), "{reason}");
        }
    }
}
