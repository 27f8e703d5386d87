//! How containers end: by themselves, on request, with their group, out of patience.

use std::time::Duration;

use model::{
    state::{Reason, TaskState},
    update::ExitStatus,
};

use super::{
    Action, LimitsReached, Moment, Pod,
    change::Change,
    member::{Killing, Stage},
};

impl Pod {
    pub(super) fn ended(
        &mut self,
        index: usize,
        exit: ExitStatus,
        limits: LimitsReached,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let member = &mut self.members[index];
        let before_command = match member.stage {
            Stage::Waiting | Stage::Creating { .. } | Stage::Finished | Stage::Over => return,
            Stage::Created | Stage::Starting { .. } => true,
            Stage::Running => false,
        };
        let exit = member.told_exit(exit);
        let memory = limits.memory.filter(|_| !exit.is_success());
        let change = match (member.killing.take(), member.flaw.take(), memory) {
            (Some(killing), _, _) => killing.outcome(Some(exit)),
            (None, Some(flaw), _) => Change {
                exit: Some(exit),
                ..Change::launch_failed(flaw)
            },
            (None, None, Some(kill)) => Change::out_of_memory(&member.name, &kill, exit),
            (None, None, None) if before_command => Change {
                exit: Some(exit),
                ..Change::launch_failed(format!(
                    "the container ended before its command ran: {exit}"
                ))
            },
            (None, None, None) if exit.is_success() && !self.announced => {
                member.stage = Stage::Finished;
                return;
            }
            (None, None, None) => Change::exited(exit).with_pids(limits.pids),
        };
        self.end(index, change, now, actions);
    }

    /// A container without one of its processes is broken: it ends as a whole, as it does by itself on version 2 of
    /// cgroups.
    pub(super) fn out_of_memory(&mut self, index: usize, actions: &mut Vec<Action>) {
        let member = &self.members[index];
        if member.stage == Stage::Running && member.killing.is_none() {
            actions.push(Action::Destroy(index));
        }
    }

    pub(super) fn stop_unhandled(&mut self, index: usize, signal: i32, actions: &mut Vec<Action>) {
        let member = &mut self.members[index];
        if let Some(killing) = &mut member.killing {
            killing.stands_for = Some(signal);
            killing.force_at = None;
            actions.push(Action::Destroy(index));
        }
    }

    pub(super) fn kill(
        &mut self,
        reason: Reason,
        message: &str,
        grace: Option<Duration>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.release_finished(now, actions);
        for index in 0..self.members.len() {
            let killing = Killing::new(reason, message.to_owned());
            let member = &self.members[index];
            if member.killing.is_none() && member.flaw.is_none() {
                self.begin_kill(index, killing, grace, now, actions);
            } else if let Some(grace) = grace {
                self.shorten(index, now.elapsed.saturating_add(grace));
            }
        }
        self.tick(now, actions);
    }

    /// Takes down the others after one ended. Whoever is being killed already keeps its grace.
    pub(super) fn kill_group(
        &mut self,
        cause: usize,
        message: &str,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.release_finished(now, actions);
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if index != cause && member.killing.is_none() && member.flaw.is_none() {
                let killing = Killing::new(Reason::GroupMemberEnded, message.to_owned());
                self.begin_kill(index, killing, None, now, actions);
            }
        }
    }

    pub(super) fn begin_kill(
        &mut self,
        index: usize,
        mut killing: Killing,
        grace: Option<Duration>,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let member = &mut self.members[index];
        match member.stage {
            Stage::Over | Stage::Finished => {}
            Stage::Waiting => self.close(index, killing.outcome(None), now, actions),
            Stage::Creating { .. } => {
                member.killing = Some(killing);
                actions.push(Action::Abandon(index));
            }
            Stage::Created => {
                member.killing = Some(killing);
                actions.push(Action::Destroy(index));
            }
            Stage::Starting { .. } | Stage::Running => {
                let grace = grace.unwrap_or(member.grace);
                killing.force_at = Some(now.elapsed.saturating_add(grace));
                let change = killing.begun();
                member.killing = Some(killing);
                self.report(index, change, now, actions);
                actions.push(Action::Stop(index));
            }
        }
    }

    pub(super) fn shorten(&mut self, index: usize, until: Duration) {
        if let Some(killing) = &mut self.members[index].killing {
            killing.force_at = killing.force_at.map(|before| before.min(until));
        }
    }

    pub(super) fn tick(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let due = member
                .deadline()
                .is_some_and(|deadline| deadline <= now.elapsed);
            if !due {
                continue;
            }
            if let Some(killing) = &mut member.killing {
                killing.force_at = None;
                actions.push(Action::Destroy(index));
            } else {
                self.launch_timed_out(index, now, actions);
            }
        }
    }

    pub(super) fn launch_timed_out(
        &mut self,
        index: usize,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let limit = self.launch_timeout.as_secs_f64();
        let member = &mut self.members[index];
        let creating = matches!(member.stage, Stage::Creating { .. });
        let what = if creating { "created" } else { "started" };
        member.flaw = Some(format!("the container was not {what} within {limit} s"));
        let cause = format!("container '{}' could not be {what}", member.name);
        actions.push(if creating {
            Action::Abandon(index)
        } else {
            Action::Destroy(index)
        });
        self.kill_group(index, &cause, now, actions);
    }

    /// Reports a container's last state, and takes the others down unless it finished well.
    pub(super) fn end(
        &mut self,
        index: usize,
        change: Change,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        let takes_group_down = change.state == TaskState::Failed;
        let name = &self.members[index].name;
        let cause = format!("container '{name}' ended: {}", change.message);
        self.close(index, change, now, actions);
        if takes_group_down {
            self.kill_group(index, &cause, now, actions);
        }
    }

    /// Reports a container's last state. Whoever is killed belongs to a group that is already going down.
    pub(super) fn close(
        &mut self,
        index: usize,
        change: Change,
        now: Moment,
        actions: &mut Vec<Action>,
    ) {
        self.members[index].stage = Stage::Over;
        self.report(index, change, now, actions);
    }
}
