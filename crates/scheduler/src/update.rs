//! What executors report and how runs end: the only place where conditions change.

use std::time::Duration;

use model::{
    id::PodId,
    pod::RestartPolicy,
    record::{TaskRecord, TerminatedContainer, TerminationRecord},
    state::{Condition, Goal, Reason, TaskState},
    time::Timestamp,
    update::{RunOutcome, RunOver, TaskUpdate},
};
use uuid::Uuid;

use crate::{
    Announcement, Effect, Scheduler, Turn, backoff, instance::Instance, wait_reason::seconds,
};

impl Scheduler {
    /// Applies an update, once. One of a run that is over or unknown, or applied before, is only acknowledged.
    pub(crate) fn update(&mut self, update: TaskUpdate, turn: &mut Turn<'_>) {
        let TaskUpdate { run, sequence, .. } = update;
        if let Some(pod) = self.owners.get(&run.instance).cloned() {
            let instance = &self.pod(&pod).instances[&run.instance];
            if instance.record.run_open && instance.run() == run && sequence > instance.applied {
                self.apply(&pod, update, turn);
            }
        }
        self.out.effects.push(Effect::Acknowledge { run, sequence });
    }

    fn apply(&mut self, pod: &PodId, update: TaskUpdate, turn: &mut Turn<'_>) {
        let uuid = update.run.instance;
        self.out.applied.insert(update.run, update.sequence);
        let instance = self.instance_mut(pod, uuid);
        instance.applied = update.sequence;
        let (at, health) = (update.at, instance.health());
        if let Some(index) = instance
            .tasks
            .iter()
            .position(|task| task.container == update.container)
        {
            let before = instance.tasks[index].clone();
            merge(&mut instance.tasks[index], update);
            let ended = !before.state.is_terminal() && instance.tasks[index].state.is_terminal();
            let once = instance.restart_policy() != RestartPolicy::Always;
            if instance.tasks[index] != before {
                self.out.durable |= ended && once;
                self.mark_task(pod, uuid, index);
                self.announce_task(pod, uuid, index, before.state);
            }
        }
        self.refresh_condition(pod, uuid, at);
        self.announce_health(pod, uuid, health);
        self.settle(pod, turn);
    }

    fn announce_health(&mut self, pod: &PodId, uuid: Uuid, before: Option<bool>) {
        let instance = &self.pod(pod).instances[&uuid];
        let healthy = instance.health();
        if healthy != before {
            let announcement = Announcement::InstanceHealthChanged {
                pod: pod.clone(),
                instance: instance.record.id.clone(),
                version: instance.record.version,
                healthy,
            };
            self.out.announce(announcement);
        }
    }

    fn announce_task(&mut self, pod: &PodId, uuid: Uuid, index: usize, before: TaskState) {
        let instance = &self.pod(pod).instances[&uuid];
        let task = &instance.tasks[index];
        if task.state != before {
            let announcement = Announcement::TaskChanged {
                pod: pod.clone(),
                instance: instance.record.id.clone(),
                version: instance.record.version,
                ports: instance
                    .record
                    .host_ports
                    .iter()
                    .map(|given| given.host_port)
                    .collect(),
                task: instance.task_id(&task.container),
                state: task.state,
                message: task.message.clone(),
            };
            self.out.announce(announcement);
        }
    }

    /// Takes note that nothing of a run is left.
    pub(crate) fn run_over(&mut self, over: RunOver, turn: &mut Turn<'_>) {
        let RunOver { run, outcome } = over;
        let Some(pod) = self.owners.get(&run.instance).cloned() else {
            return;
        };
        let instance = &self.pod(&pod).instances[&run.instance];
        if !instance.record.run_open || instance.run() != run {
            return;
        }
        let id = instance.record.id.clone();
        let placed = instance.placement().expect("the run is open");
        let asked = instance.record.goal != Goal::Running;
        let counted = instance.delays(instance.record.condition);
        let told_all = self.end_tasks(&pod, run.instance, &outcome, turn.now) == 0;
        self.refresh_condition(&pod, run.instance, turn.now);
        if !asked {
            let excused =
                outcome == RunOutcome::HostRebooted || self.stopped_in_order(&pod, run.instance);
            let instance = &self.pod(&pod).instances[&run.instance];
            let counted = counted || instance.delays(instance.record.condition);
            if !counted && !instance.ends_with_run() && !excused {
                self.raise_backoff(&pod, run.instance, turn.now);
            }
            self.remember_termination(&pod, run.instance, turn.now);
        }
        self.close_run(&pod, run.instance);
        self.conclude(&pod, run.instance, turn.now);
        self.held.subtract(&placed);
        self.agenda.make_place();
        self.out.holdings_moved = true;
        self.out.runs_forgotten.push(run);
        self.out.effects.push(Effect::Release(run));
        // An executor that told of every task's end has done its work, however it ended itself.
        let outcome = if told_all {
            RunOutcome::Completed
        } else {
            outcome
        };
        self.out.announce(Announcement::RunEnded {
            instance: id,
            run,
            outcome,
        });
        self.settle(&pod, turn);
    }

    /// Gives an instance that is not launched again its result: finished, if all containers ended well, else failed.
    fn conclude(&mut self, pod: &PodId, uuid: Uuid, now: Timestamp) {
        let instance = &self.pod(pod).instances[&uuid];
        if !instance.is_over() {
            return;
        }
        let result = if instance.has_succeeded() {
            Condition::Finished
        } else {
            Condition::Failed
        };
        if result != instance.record.condition {
            let at = now.max(instance.record.since);
            self.set_condition(pod, uuid, result, at);
        }
        self.out.durable = true;
    }

    /// Gives an end to the tasks of which none was reported, and says how many those were.
    fn end_tasks(
        &mut self,
        pod: &PodId,
        uuid: Uuid,
        outcome: &RunOutcome,
        now: Timestamp,
    ) -> usize {
        let timeout = self.config.launch_confirm_timeout;
        let instance = self.instance_mut(pod, uuid);
        let asked = instance.record.goal != Goal::Running;
        let overdue = instance
            .launch_overdue(timeout)
            .is_some_and(|due| due <= now);
        let mut ended = Vec::new();
        for (index, task) in instance.tasks.iter_mut().enumerate() {
            if task.state.is_terminal() {
                continue;
            }
            let before = task.state;
            let (state, reason, message) = if asked {
                killed(before)
            } else if is_being_stopped(task) {
                out_of_patience()
            } else if overdue {
                unconfirmed(timeout)
            } else {
                lost(before, outcome)
            };
            task.state = state;
            task.since = now;
            task.reason = Some(reason);
            task.message = message;
            ended.push((index, before));
        }
        for (index, before) in &ended {
            self.mark_task(pod, uuid, *index);
            self.announce_task(pod, uuid, *index, *before);
        }
        ended.len()
    }

    fn close_run(&mut self, pod: &PodId, uuid: Uuid) {
        let instance = self.instance_mut(pod, uuid);
        instance.record.run_open = false;
        instance.record.host_ports.clear();
        instance.kill_sent = None;
        if instance.record.goal == Goal::Stopped {
            instance.record.goal = Goal::Running;
        }
        self.mark_instance(pod, uuid);
    }

    fn remember_termination(&mut self, id: &PodId, uuid: Uuid, now: Timestamp) {
        let limit = self.config.max_terminations;
        let pod = self.pod_mut(id);
        let record = termination(&pod.instances[&uuid], now);
        pod.terminations.push_back(record.clone());
        while pod.terminations.len() > limit {
            pod.terminations.pop_front();
        }
        self.out.terminations.push(record);
    }

    /// Brings the condition in line with the tasks.
    fn refresh_condition(&mut self, pod: &PodId, uuid: Uuid, at: Timestamp) {
        let instance = &self.pod(pod).instances[&uuid];
        let (condition, before) = (instance.condition_of_tasks(), instance.record.condition);
        if condition == before {
            return;
        }
        let counts = instance.delays(condition)
            && !instance.delays(before)
            && instance.record.goal == Goal::Running;
        // Executors' clocks are this host's; a time before the launch could only come from a step of the clock.
        let at = at.max(instance.record.since);
        self.set_condition(pod, uuid, condition, at);
        let excused = self.ended_by_reboot(pod, uuid) || self.stopped_in_order(pod, uuid);
        if counts && !excused {
            self.raise_backoff(pod, uuid, self.clock);
        }
    }

    /// Neither is a stop of all pods: their executors were asked to end by a signal, nobody here asked for it, and
    /// nothing failed before.
    fn stopped_in_order(&self, pod: &PodId, uuid: Uuid) -> bool {
        let instance = &self.pod(pod).instances[&uuid];
        let ended_well = |task: &TaskRecord| match task.state {
            TaskState::Finished => true,
            TaskState::Killed => task.reason == Some(Reason::ExecutorTerminated),
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Failed
            | TaskState::Error
            | TaskState::Gone
            | TaskState::Dropped => false,
        };
        let is_killed = |task: &TaskRecord| task.state == TaskState::Killed;
        instance.kill_sent.is_none()
            && instance.tasks.iter().all(ended_well)
            && instance.tasks.iter().any(is_killed)
    }

    /// A restart of the host is no failure of the pod.
    fn ended_by_reboot(&self, pod: &PodId, uuid: Uuid) -> bool {
        let tasks = &self.pod(pod).instances[&uuid].tasks;
        let failed = |task: &&TaskRecord| {
            task.state.is_terminal()
                && !matches!(task.state, TaskState::Finished | TaskState::Killed)
        };
        tasks
            .iter()
            .filter(failed)
            .all(|task| task.reason == Some(Reason::HostRebooted))
            && tasks
                .iter()
                .any(|task| task.reason == Some(Reason::HostRebooted))
    }

    /// Sets a condition, and what depends on it.
    pub(crate) fn set_condition(
        &mut self,
        pod: &PodId,
        uuid: Uuid,
        condition: Condition,
        at: Timestamp,
    ) {
        let instance = self.instance_mut(pod, uuid);
        instance.record.condition = condition;
        instance.record.since = at;
        if condition == Condition::Running && instance.record.active_since.is_none() {
            instance.record.active_since = Some(at);
        }
        let announcement = Announcement::InstanceChanged {
            pod: pod.clone(),
            instance: instance.record.id.clone(),
            version: instance.record.version,
            condition,
        };
        self.out.announce(announcement);
        self.mark_instance(pod, uuid);
        if matches!(
            condition,
            Condition::Provisioned | Condition::Staging | Condition::Starting | Condition::Running
        ) {
            self.rebase_backoff(pod, uuid);
        }
    }

    fn raise_backoff(&mut self, id: &PodId, uuid: Uuid, now: Timestamp) {
        let pod = self.pod_mut(id);
        let instance = &pod.instances[&uuid];
        let version = instance.record.version;
        let strategy = &instance.definition.scheduling.backoff;
        let raised = backoff::raise(pod.backoffs.get(&version), strategy, (id, version), now);
        let delay_ms = raised.delay_ms;
        pod.backoffs.insert(version, raised);
        self.out.backoffs.insert((id.clone(), version));
        self.out.announce(Announcement::BackoffRaised {
            pod: id.clone(),
            version,
            delay_ms,
        });
    }

    /// A launch that comes along lets the delay count anew, or forgets it if nothing failed for long.
    fn rebase_backoff(&mut self, id: &PodId, uuid: Uuid) {
        let now = self.clock;
        let pod = self.pod_mut(id);
        let instance = &pod.instances[&uuid];
        let (version, strategy) = (
            instance.record.version,
            instance.definition.scheduling.backoff,
        );
        let Some(present) = pod.backoffs.get_mut(&version) else {
            return;
        };
        if backoff::is_forgotten(present, &strategy, now) {
            pod.backoffs.remove(&version);
            self.out.backoffs_gone.insert(id.clone());
        } else {
            present.reference = now;
            self.out.backoffs.insert((id.clone(), version));
        }
    }

    pub(crate) fn instance_mut(&mut self, pod: &PodId, uuid: Uuid) -> &mut Instance {
        self.pod_mut(pod)
            .instances
            .get_mut(&uuid)
            .expect("callers name instances that exist")
    }
}

/// Takes over what an update says. States only go forwards, and terminal ones absorb.
fn merge(task: &mut TaskRecord, update: TaskUpdate) {
    if task.state.is_terminal() || rank(update.state) < rank(task.state) {
        return;
    }
    if update.state != task.state {
        task.state = update.state;
        task.since = update.at;
        if update.state == TaskState::Running {
            task.started_at = Some(update.at);
        }
    }
    task.message = match update.exit {
        Some(exit) if update.message.is_empty() => exit.to_string(),
        Some(_) | None => update.message,
    };
    task.reason = update.reason;
    task.exit = update.exit.or(task.exit);
    task.healthy = update.healthy.or(task.healthy);
}

const fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::Staging => 0,
        TaskState::Starting => 1,
        TaskState::Running => 2,
        TaskState::Killing => 3,
        TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Gone
        | TaskState::Dropped => 4,
    }
}

/// The end of a task whose run was asked to end.
fn killed(before: TaskState) -> (TaskState, Reason, String) {
    let reason = if before == TaskState::Staging {
        Reason::TaskKilledDuringLaunch
    } else {
        Reason::KillRequested
    };
    (TaskState::Killed, reason, String::new())
}

/// Whether a task's executor was stopping it because a signal asked for that.
fn is_being_stopped(task: &TaskRecord) -> bool {
    task.state == TaskState::Killing && task.reason == Some(Reason::ExecutorTerminated)
}

/// The end of a task that was still stopping when its whole pod was killed.
fn out_of_patience() -> (TaskState, Reason, String) {
    let message = "killed, because it did not stop in time".to_owned();
    (TaskState::Killed, Reason::ExecutorTerminated, message)
}

/// The end of a task of which nothing was heard in time.
fn unconfirmed(timeout: Duration) -> (TaskState, Reason, String) {
    let timeout = seconds(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    let message = format!("launch was not confirmed within {timeout} s");
    (TaskState::Failed, Reason::ExecutorTerminated, message)
}

/// The end of a task that ended unseen (mesos: `docs/task-state-reasons.md`).
fn lost(before: TaskState, outcome: &RunOutcome) -> (TaskState, Reason, String) {
    let started = before != TaskState::Staging;
    match outcome {
        RunOutcome::NotLaunched { message } => (
            TaskState::Failed,
            Reason::ContainerLaunchFailed,
            message.clone(),
        ),
        RunOutcome::HostRebooted if started => (
            TaskState::Gone,
            Reason::HostRebooted,
            "the host restarted".to_owned(),
        ),
        RunOutcome::HostRebooted => (
            TaskState::Dropped,
            Reason::HostRebooted,
            "the host restarted".to_owned(),
        ),
        RunOutcome::ExecutorDied { message } if started => (
            TaskState::Failed,
            Reason::ExecutorTerminated,
            message.clone(),
        ),
        RunOutcome::ExecutorDied { message } => (
            TaskState::Dropped,
            Reason::ExecutorTerminated,
            message.clone(),
        ),
        RunOutcome::Completed => (
            TaskState::Failed,
            Reason::ExecutorTerminated,
            "the executor ended without telling how the container did".to_owned(),
        ),
    }
}

fn termination(instance: &Instance, now: Timestamp) -> TerminationRecord {
    let started = instance
        .tasks
        .iter()
        .filter_map(|task| task.started_at)
        .min();
    let staged = instance.tasks.iter().map(|task| task.staged_at).min();
    let container = |task: &TaskRecord| TerminatedContainer {
        task_id: instance.task_id(&task.container),
        state: task.state,
        exit: task.exit,
        message: task.message.clone(),
    };
    TerminationRecord {
        pod: instance.record.pod.clone(),
        instance: instance.record.id.clone(),
        incarnation: instance.record.incarnation,
        started_at: started.or(staged).unwrap_or(now),
        terminated_at: now,
        message: instance.first_failure(),
        containers: instance.tasks.iter().map(container).collect(),
    }
}
