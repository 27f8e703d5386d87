//! Doing what the state machine says.

use std::{collections::HashMap, io, time::Instant};

use super::EventLoop;
use crate::{
    cgroup::Mode,
    container::{create::Order, report::chain, start},
    executor::{
        vessel::Vessel,
        wakeups::{Source, Wakeups},
    },
    pod::{Action, Event},
    spec::HardLimits,
    sys::memory,
};

impl EventLoop {
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Create(index) => self.create(index),
                Action::Abandon(index) => {
                    if let Some(creation) = &self.vessels[index].creation {
                        creation.abandon();
                    }
                }
                Action::Start(index) => self.start(index),
                Action::Limit(index) => self.limit(index),
                Action::Stop(index) => self.stop(index),
                Action::Destroy(index) => self.destroy(index),
                Action::Report(update) => {
                    if let Err(error) = self.means.journal.append(&update) {
                        eprintln!("failed to {}", chain(&error));
                    }
                }
                Action::Finish => self.finished = Some(Instant::now()),
            }
        }
    }

    pub(super) fn create(&mut self, index: usize) {
        let means = &self.means;
        let container = &means.launch.containers[index];
        let order = Order {
            launch: &means.launch,
            container,
            workplace: &means.workplace,
            filter: means.filter.clone().filter(|_| container.seccomp),
            hard_limits: HardLimits::of_this_process(),
            cgroup_view: means.cgroups.mode() == Mode::V2,
        };
        let vessel = &mut self.vessels[index];
        let created = vessel
            .create(&order, &self.own_pidfd, means.launch.logs, &means.proof)
            .and_then(|()| register(&self.wakeups, vessel, index));
        if let Err(error) = created {
            if let Some(creation) = vessel.creation.take() {
                creation.abandon();
            }
            self.happened.push_back(Event::NotCreated {
                index,
                message: format!("failed to create the container: {error}"),
            });
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        let name = &self.means.launch.containers[index].name;
        if let Err(error) = start::start(&self.means.workplace.state(name)) {
            self.happened.push_back(Event::NotExecuting {
                index,
                message: format!("failed to start the container: {error}"),
            });
        }
    }

    pub(super) fn limit(&mut self, index: usize) {
        let container = &self.means.launch.containers[index];
        if container.cpu_quota_milli.is_some() {
            let quota = container.cpu_quota_milli;
            if let Err(error) = self.means.cgroups.set_cpu_quota(&self.cgroup(index), quota) {
                eprintln!("failed to {}", chain(&error));
            }
        }
        if let Err(error) = start::record_running(&self.means.workplace.state(&container.name)) {
            eprintln!("failed to record that {} runs: {error}", container.name);
        }
        self.watch_memory(index);
        let launched = self.vessels.iter().all(|vessel| vessel.status.is_none());
        if launched {
            // Nothing more is created in this run: give back what creating took.
            self.means.filter = None;
            self.unclaimed = HashMap::new();
            memory::trim();
        }
    }

    pub(super) fn stop(&mut self, index: usize) {
        let signal = self.means.launch.containers[index].stop_signal;
        let Some(init) = &self.vessels[index].init else {
            return;
        };
        match init.ask_to_stop(signal) {
            Ok(true) => {}
            Ok(false) => self
                .happened
                .push_back(Event::StopUnhandled { index, signal }),
            // It ended meanwhile, which is about to be heard.
            Err(_) => {}
        }
    }

    pub(super) fn destroy(&mut self, index: usize) {
        if let Some(init) = &self.vessels[index].init {
            init.kill();
        }
        if let Err(error) = self.means.cgroups.kill(&self.cgroup(index)) {
            eprintln!("failed to {}", chain(&error));
        }
    }
}

fn register(wakeups: &Wakeups, vessel: &Vessel, index: usize) -> io::Result<()> {
    if let Some(creation) = &vessel.creation {
        wakeups.add(&creation.reports, Source::Report(index))?;
    }
    if let Some(status) = &vessel.status {
        wakeups.add(status, Source::Status(index))?;
    }
    for (stream, source) in [
        (&vessel.stdout, Source::Stdout(index)),
        (&vessel.stderr, Source::Stderr(index)),
    ] {
        if let Some(pump) = stream {
            wakeups.add(pump, source)?;
        }
    }
    Ok(())
}
