//! A fake runtime, fair: everything that it was told to do happens, one step at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{
    id::RunId,
    pod::RestartPolicy,
    state::{Reason, TaskState},
    task_group::TaskGroup,
    time::Timestamp,
    update::{ExitStatus, RunOutcome, RunOver, TaskUpdate},
};
use scheduler::Event;
use uuid::Uuid;

/// What is really running on the host. Survives the scheduler.
#[derive(Default)]
pub(crate) struct Runtime {
    runs: BTreeMap<RunId, Run>,
    /// Instances that may run only once, and did.
    once: BTreeSet<Uuid>,
    /// Instances that run until they finish, and did.
    finished: BTreeSet<Uuid>,
}

/// A run: its containers, and a journal that outlives them until the run is discarded.
struct Run {
    group: Arc<TaskGroup>,
    containers: BTreeMap<String, TaskState>,
    journal: Vec<TaskUpdate>,
    acknowledged: usize,
    delivered: usize,
    over: Option<RunOutcome>,
    kill: bool,
}

impl Runtime {
    /// Starts a run; again is harmless.
    pub(crate) fn launch(&mut self, group: Arc<TaskGroup>) {
        let run = group.run;
        if self.runs.contains_key(&run) {
            return;
        }
        let rival = self
            .runs
            .iter()
            .find(|(other, found)| other.instance == run.instance && found.over.is_none());
        assert!(
            rival.is_none(),
            "{run} is launched while {:?} runs",
            rival.map(|(run, _)| run)
        );
        match group.definition.scheduling.restart_policy {
            RestartPolicy::Always => {}
            RestartPolicy::OnFailure => assert!(
                !self.finished.contains(&run.instance),
                "{run} is launched although the instance finished"
            ),
            RestartPolicy::Never => {
                assert!(
                    self.once.insert(run.instance),
                    "{run} is the instance's second run"
                );
            }
        }
        let containers = group
            .tasks
            .iter()
            .map(|task| (task.container.clone(), TaskState::Staging))
            .collect();
        self.runs.insert(
            run,
            Run {
                group,
                containers,
                journal: Vec::new(),
                acknowledged: 0,
                delivered: 0,
                over: None,
                kill: false,
            },
        );
    }

    pub(crate) fn kill(&mut self, run: RunId) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.kill = true;
        }
    }

    pub(crate) fn acknowledge(&mut self, run: RunId, sequence: u64) {
        if let Some(run) = self.runs.get_mut(&run) {
            run.acknowledged = run.acknowledged.max(usize::try_from(sequence).unwrap());
        }
    }

    /// The end of the run was stored.
    pub(crate) fn forget(&mut self, id: RunId) {
        if let Some(run) = self.runs.get(&id)
            && run.group.definition.scheduling.restart_policy == RestartPolicy::OnFailure
            && run
                .containers
                .values()
                .all(|state| *state == TaskState::Finished)
            && run.over == Some(RunOutcome::Completed)
        {
            self.finished.insert(id.instance);
        }
        self.discard(id);
    }

    /// Nothing of the run is needed any more.
    pub(crate) fn discard(&mut self, run: RunId) {
        let found = self.runs.remove(&run);
        assert!(
            found.is_none_or(|found| found.over.is_some()),
            "{run} is discarded alive"
        );
    }

    pub(crate) fn contains(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// The runs that are there, over or not.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.runs.keys().copied().collect()
    }

    /// The runs that have processes.
    pub(crate) fn alive(&self) -> Vec<RunId> {
        self.runs
            .iter()
            .filter(|(_, run)| run.over.is_none())
            .map(|(run, _)| *run)
            .collect()
    }

    /// After a restart of the daemon whatever was not acknowledged is told again.
    pub(crate) fn reconnect(&mut self) {
        for run in self.runs.values_mut() {
            run.delivered = run.acknowledged;
        }
    }

    /// The host restarts: every process is gone, journals are lost.
    pub(crate) fn reboot(&mut self) {
        for run in self.runs.values_mut() {
            run.over = Some(RunOutcome::HostRebooted);
            run.journal.truncate(run.acknowledged);
        }
    }

    /// The next thing to be told, journals before ends. `None` when everything was told.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        for (id, run) in &mut self.runs {
            if let Some(update) = run.journal.get(run.delivered) {
                run.delivered += 1;
                return Some(Event::Update(update.clone()));
            }
            if let Some(outcome) = &run.over {
                return Some(Event::RunOver(RunOver {
                    run: *id,
                    outcome: outcome.clone(),
                }));
            }
        }
        None
    }

    /// Lets every run make one step. Whether any did.
    pub(crate) fn step(&mut self, now: Timestamp) -> bool {
        self.runs
            .values_mut()
            .filter_map(|run| run.step(now).then_some(()))
            .count()
            > 0
    }

    /// A container of the `index`-th living run exits by itself.
    pub(crate) fn exit(&mut self, index: usize, container: usize, code: i32, now: Timestamp) {
        let Some(run) = self.pick(index) else { return };
        let running: Vec<_> = run.in_state(TaskState::Running).collect();
        let Some(name) = running.get(container % running.len().max(1)).cloned() else {
            return;
        };
        let status = ExitStatus::Exited(code);
        if code == 0 {
            run.report(&name, TaskState::Finished, None, Some(status), None, now);
        } else {
            run.report(&name, TaskState::Failed, None, Some(status), None, now);
            run.kill = true;
        }
    }

    /// A health check of the `index`-th living run has a result.
    pub(crate) fn health(&mut self, index: usize, healthy: bool, now: Timestamp) {
        let Some(run) = self.pick(index) else { return };
        let reason = Some(Reason::HealthCheckStatusUpdated);
        for name in run.in_state(TaskState::Running).collect::<Vec<_>>() {
            run.report(&name, TaskState::Running, reason, None, Some(healthy), now);
        }
    }

    /// The executor of the `index`-th living run dies, with all that it ran.
    pub(crate) fn executor_dies(&mut self, index: usize) {
        if let Some(run) = self.pick(index) {
            run.over = Some(RunOutcome::ExecutorDied {
                message: "killed by signal 9".to_owned(),
            });
        }
    }

    /// The executor of the `index`-th living run is asked by a signal to stop its pod, and does so in time or is killed
    /// half way, as when all pods are stopped.
    pub(crate) fn stop_in_order(&mut self, index: usize, in_time: bool, now: Timestamp) {
        let Some(run) = self.pick(index) else { return };
        let reason = Some(Reason::ExecutorTerminated);
        for name in run.in_state(TaskState::Running).collect::<Vec<_>>() {
            run.report(&name, TaskState::Killing, reason, None, None, now);
            if in_time {
                let exit = Some(ExitStatus::Signaled(15));
                run.report(&name, TaskState::Killed, reason, exit, None, now);
            }
        }
        run.over = Some(RunOutcome::ExecutorDied {
            message: "the executor died while the daemon was away".to_owned(),
        });
    }

    fn pick(&mut self, index: usize) -> Option<&mut Run> {
        let alive = self.alive();
        let run = alive.get(index % alive.len().max(1))?;
        self.runs.get_mut(run)
    }
}

impl Run {
    fn step(&mut self, now: Timestamp) -> bool {
        if self.over.is_some() {
            return false;
        }
        if self.containers.values().all(|state| state.is_terminal()) {
            self.over = Some(RunOutcome::Completed);
            return true;
        }
        if self.kill {
            return self.advance_kill(now);
        }
        let starting: Vec<_> = self.in_state(TaskState::Staging).collect();
        let running: Vec<_> = self.in_state(TaskState::Starting).collect();
        let moves = if starting.is_empty() {
            (running, TaskState::Running)
        } else {
            (starting, TaskState::Starting)
        };
        for name in &moves.0 {
            let checked = self
                .group
                .definition
                .container(name)
                .unwrap()
                .health_check
                .is_some();
            let healthy = (moves.1 == TaskState::Running && checked).then_some(true);
            self.report(name, moves.1, None, None, healthy, now);
        }
        !moves.0.is_empty()
    }

    fn advance_kill(&mut self, now: Timestamp) -> bool {
        let live: Vec<_> = self
            .containers
            .iter()
            .filter(|(_, state)| !state.is_terminal())
            .map(|(name, state)| (name.clone(), *state))
            .collect();
        for (name, state) in live {
            if state == TaskState::Killing {
                let exit = Some(ExitStatus::Signaled(15));
                self.report(&name, TaskState::Killed, None, exit, None, now);
            } else {
                self.report(&name, TaskState::Killing, None, None, None, now);
            }
        }
        true
    }

    fn in_state(&self, wanted: TaskState) -> impl Iterator<Item = String> + '_ {
        self.containers
            .iter()
            .filter(move |(_, state)| **state == wanted)
            .map(|(name, _)| name.clone())
    }

    fn report(
        &mut self,
        container: &str,
        state: TaskState,
        reason: Option<Reason>,
        exit: Option<ExitStatus>,
        healthy: Option<bool>,
        at: Timestamp,
    ) {
        self.containers.insert(container.to_owned(), state);
        let sequence = u64::try_from(self.journal.len()).unwrap() + 1;
        self.journal.push(TaskUpdate {
            run: self.group.run,
            sequence,
            at,
            container: container.to_owned(),
            state,
            reason,
            message: String::new(),
            exit,
            healthy,
        });
    }
}
