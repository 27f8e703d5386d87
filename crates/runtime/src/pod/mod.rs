//! The state machine of one run: what happened in, what to do out. No I/O, no clock.
//!
//! ```text
//! a container:  Waiting ─► Creating ─► Created ─► Starting ─► Running ─► Over
//! its task:     TASK_STARTING ──────────────────────────────► TASK_RUNNING (all together)
//!                     │                                            │
//!                     └──► TASK_FAILED, TASK_KILLED ◄──────────────┴──► TASK_FINISHED
//! ```
//!
//! Every container is created before any is started, and all are reported running together, once the last has
//! executed its command. One that cannot be created, fails or is killed takes the others down; one that
//! exits with 0 does not (mesos: `src/launcher/default_executor.cpp`). Unlike Mesos, each container keeps its
//! own grace, a kill during launch is heard, and a second kill may shorten the grace.

mod change;
mod ending;
mod member;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::time::Duration;

use model::{
    id::RunId,
    state::TaskState,
    update::{ExitStatus, TaskUpdate},
};

pub use vocabulary::{Action, Event, LimitsReached, Moment, Plan};

use change::Change;
use member::{Member, Stage};

/// The longest message of an update, in bytes; keeps the journal small.
const MESSAGE_LIMIT_BYTES: usize = 2048;

/// The state machine.
#[derive(Clone, Debug)]
pub struct Pod {
    run: RunId,
    members: Vec<Member>,
    parallel: usize,
    launch_timeout: Duration,
    last_sequence: u64,
    announced: bool,
    finished: bool,
}

impl Pod {
    /// Begins a run: every task is starting and the first containers are to be created.
    pub fn begin(plan: Plan, now: Moment) -> (Self, Vec<Action>) {
        let members = plan
            .members
            .into_iter()
            .map(|(name, grace)| Member::new(name, grace));
        let mut pod = Self {
            run: plan.run,
            members: members.collect(),
            parallel: plan.parallel.max(1),
            launch_timeout: plan.launch_timeout,
            last_sequence: 0,
            announced: false,
            finished: false,
        };
        let mut actions = Vec::new();
        for index in 0..pod.members.len() {
            let starting = Change::to(TaskState::Starting);
            pod.report(index, starting, now, &mut actions);
        }
        pod.create_next(now, &mut actions);
        pod.finish_if_over(&mut actions);
        (pod, actions)
    }

    /// Takes in what happened and says what to do, in order.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::NotSetUp { message } => self.not_set_up(&message, now, &mut actions),
            Event::Created(index) => self.created(index, now, &mut actions),
            Event::NotCreated { index, message } => {
                self.not_created(index, message, now, &mut actions);
            }
            Event::Executing(index) => self.executing(index, now, &mut actions),
            Event::NotExecuting { index, message } => {
                self.not_executing(index, message, now, &mut actions);
            }
            Event::Ended {
                index,
                exit,
                limits,
            } => self.ended(index, exit, limits, now, &mut actions),
            Event::OutOfMemory(index) => self.out_of_memory(index, &mut actions),
            Event::StopUnhandled { index, signal } => {
                self.stop_unhandled(index, signal, &mut actions);
            }
            Event::Kill {
                reason,
                message,
                grace,
            } => self.kill(reason, &message, grace, now, &mut actions),
            Event::Tick => self.tick(now, &mut actions),
        }
        self.finish_if_over(&mut actions);
        actions
    }

    /// When [`Event::Tick`] is due at the latest, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.members.iter().filter_map(Member::deadline).min()
    }

    /// Whether every container is over.
    pub fn is_over(&self) -> bool {
        self.members
            .iter()
            .all(|member| member.stage == Stage::Over)
    }

    fn not_set_up(&mut self, message: &str, now: Moment, actions: &mut Vec<Action>) {
        for index in 0..self.members.len() {
            if self.members[index].stage != Stage::Over {
                self.close(
                    index,
                    Change::launch_failed(message.to_owned()),
                    now,
                    actions,
                );
            }
        }
    }

    fn created(&mut self, index: usize, now: Moment, actions: &mut Vec<Action>) {
        let member = &mut self.members[index];
        if !matches!(member.stage, Stage::Creating { .. }) {
            return;
        }
        member.stage = Stage::Created;
        if member.killing.is_some() || member.flaw.is_some() {
            actions.push(Action::Destroy(index));
            return;
        }
        self.create_next(now, actions);
        if self
            .members
            .iter()
            .all(|member| member.stage == Stage::Created)
        {
            let until = now.elapsed.saturating_add(self.launch_timeout);
            for (index, member) in self.members.iter_mut().enumerate() {
                member.stage = Stage::Starting { until };
                actions.push(Action::Start(index));
            }
        }
    }

    fn create_next(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let creating = |member: &&Member| matches!(member.stage, Stage::Creating { .. });
        let busy = self.members.iter().filter(creating).count();
        let until = now.elapsed.saturating_add(self.launch_timeout);
        let waiting = self.members.iter_mut().enumerate();
        let waiting = waiting.filter(|(_, member)| member.stage == Stage::Waiting);
        for (index, member) in waiting.take(self.parallel.saturating_sub(busy)) {
            member.stage = Stage::Creating { until };
            actions.push(Action::Create(index));
        }
    }

    fn not_created(
        &mut self,
        index: usize,
        message: String,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let member = &mut self.members[index];
        if !matches!(member.stage, Stage::Creating { .. }) {
            return;
        }
        let change = match (member.killing.take(), member.flaw.take()) {
            (Some(killing), _) => killing.outcome(None),
            (None, Some(flaw)) => Change::launch_failed(flaw),
            (None, None) => Change::launch_failed(message),
        };
        self.end(index, change, now, actions);
    }

    fn executing(&mut self, index: usize, now: Moment, actions: &mut Vec<Action>) {
        let member = &mut self.members[index];
        if !matches!(member.stage, Stage::Starting { .. }) {
            return;
        }
        member.stage = Stage::Running;
        actions.push(Action::Limit(index));
        self.announce_when_all_run(now, actions);
    }

    /// Tells that every container runs, and then of those that meanwhile finished.
    fn announce_when_all_run(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let runs = |member: &Member| {
            matches!(member.stage, Stage::Running | Stage::Finished) && member.killing.is_none()
        };
        if self.announced || !self.members.iter().all(runs) {
            return;
        }
        self.announced = true;
        for index in 0..self.members.len() {
            self.report(index, Change::to(TaskState::Running), now, actions);
        }
        self.release_finished(now, actions);
    }

    /// Reports the containers whose end with status 0 was held back until all run.
    fn release_finished(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for index in 0..self.members.len() {
            if self.members[index].stage == Stage::Finished {
                self.close(index, Change::exited(ExitStatus::Exited(0)), now, actions);
            }
        }
    }

    fn not_executing(
        &mut self,
        index: usize,
        message: String,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let member = &mut self.members[index];
        if !matches!(member.stage, Stage::Starting { .. }) {
            return;
        }
        actions.push(Action::Destroy(index));
        if member.killing.is_some() {
            return;
        }
        let cause = format!("container '{}' could not be started", member.name);
        member.flaw.get_or_insert(message);
        self.kill_group(index, &cause, now, actions);
    }

    fn report(&mut self, index: usize, change: Change, now: Moment, actions: &mut Vec<Action>) {
        self.last_sequence += 1;
        let mut message = change.message;
        message.truncate(message.floor_char_boundary(MESSAGE_LIMIT_BYTES));
        actions.push(Action::Report(TaskUpdate {
            run: self.run,
            sequence: self.last_sequence,
            at: now.wall,
            container: self.members[index].name.clone(),
            state: change.state,
            reason: change.reason,
            message,
            exit: change.exit,
            healthy: None,
        }));
    }

    fn finish_if_over(&mut self, actions: &mut Vec<Action>) {
        if !self.finished && self.is_over() {
            self.finished = true;
            actions.push(Action::Finish);
        }
    }
}
