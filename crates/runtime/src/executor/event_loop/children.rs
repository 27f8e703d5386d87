//! The executor's children: creating ones, containers' first processes, and whoever else is left to it.

use model::update::ExitStatus;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use super::EventLoop;
use crate::{
    container::report::Outcome,
    executor::vessel::{Creation, Init, Status, Vessel},
    pod::{Event, LimitsReached},
};

impl EventLoop {
    /// Waits for every child that ended, known or not: a zombie inside a PID namespace would keep it alive.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let exit = exit_status(status);
            let creates = |vessel: &Vessel| vessel.creation.as_ref().is_some_and(|c| c.pid == pid);
            let runs = |vessel: &Vessel| vessel.init.as_ref().is_some_and(|init| init.pid == pid);
            if let Some(index) = self.vessels.iter().position(creates) {
                self.creation_ended(index, exit);
            } else if let Some(index) = self.vessels.iter().position(runs) {
                self.ended(index, exit);
            } else if self.vessels.iter().any(|vessel| vessel.creation.is_some()) {
                self.unclaimed.insert(pid, exit);
            }
        }
    }

    pub(super) fn take_report(&mut self, index: usize) {
        let cwd = &self.means.launch.containers[index].cwd;
        let Some(creation) = &mut self.vessels[index].creation else {
            return;
        };
        creation.reports.read();
        if let Some(outcome) = creation.reports.outcome(cwd) {
            self.creation_told(index, outcome);
        }
    }

    /// A creating child that ended told how it went before, or died.
    pub(super) fn creation_ended(&mut self, index: usize, exit: ExitStatus) {
        self.take_report(index);
        let cwd = &self.means.launch.containers[index].cwd;
        if let Some(Creation { reports, .. }) = &self.vessels[index].creation {
            let error =
                format!("failed to create the container: its creating process ended ({exit})");
            let outcome = Outcome::NotCreated(reports.explain(&error, cwd));
            self.creation_told(index, outcome);
        }
    }

    pub(super) fn creation_told(&mut self, index: usize, outcome: Outcome) {
        if let Some(Creation { reports, .. }) = self.vessels[index].creation.take() {
            self.wakeups.remove(&reports);
        }
        let event = match outcome {
            Outcome::Created(pid) => self.created(index, pid),
            Outcome::NotCreated(message) => Event::NotCreated { index, message },
        };
        self.happened.push_back(event);
    }

    pub(super) fn created(&mut self, index: usize, pid: i32) -> Event {
        let ended = Pid::from_raw(pid).and_then(|pid| self.unclaimed.remove(&pid));
        let failed = |how: String| Event::NotCreated {
            index,
            message: format!("the container ended before its command ran: {how}"),
        };
        if let Some(exit) = ended {
            return failed(exit.to_string());
        }
        match Init::open(pid) {
            Ok(init) => {
                self.vessels[index].init = Some(init);
                Event::Created(index)
            }
            Err(error) => failed(error.to_string()),
        }
    }

    pub(super) fn take_status(&mut self, index: usize) {
        let event = match self.vessels[index].read_status() {
            Status::Open => return,
            Status::Executed => Event::Executing(index),
            Status::Refused(message) => Event::NotExecuting { index, message },
        };
        self.happened.push_back(event);
    }

    pub(super) fn ended(&mut self, index: usize, exit: ExitStatus) {
        self.take_status(index);
        let stamp = self.stamp();
        let vessel = &mut self.vessels[index];
        vessel.init = None;
        vessel.memory = None;
        for pump in [&mut vessel.stdout, &mut vessel.stderr] {
            if let Some(mut pump) = pump.take() {
                pump.drain(stamp);
                vessel.losses.add(&pump);
            }
        }
        self.look_for_losses(index);
        let limits = self.limits_reached(index);
        self.happened.push_back(Event::Ended {
            index,
            exit,
            limits,
        });
    }

    /// What the kernel counted in a container's cgroup, which is there until the run's end.
    fn limits_reached(&self, index: usize) -> LimitsReached {
        let cgroups = &self.means.cgroups;
        let path = self.cgroup(index);
        let refused = cgroups.pids_refused(&path) > 0;
        LimitsReached {
            memory: cgroups.memory_kill(&self.means.launch.cgroups.run, &path),
            pids: refused.then_some(self.means.launch.containers[index].pids_limit),
        }
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    match status.terminating_signal() {
        Some(signal) => ExitStatus::Signaled(signal),
        None => ExitStatus::Exited(status.exit_status().unwrap_or(255)),
    }
}
