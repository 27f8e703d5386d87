//! The executor's loop: wait, hand what happened to the state machine, do what it says.

mod children;
mod daemon;
mod deeds;
mod losses;
mod memory;

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use model::{state::Reason, time::Timestamp, update::ExitStatus};
use nix::sys::{
    signal::Signal,
    signalfd::{SfdFlags, SignalFd},
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{
    connection::Connection,
    vessel::Vessel,
    wakeups::{Source, Wakeups},
};
use crate::{
    cgroup::Cgroups,
    container::create::Workplace,
    journal::Journal,
    launch::Launch,
    pod::{Event, Moment, Plan, Pod},
    protocol::Versions,
    stream::Stamp,
    sys::{fork::SingleThreaded, seccomp::Filter, signals},
};

/// How long a connected daemon may take to acknowledge everything after the last container's end
/// (mesos: `src/launcher/default_executor.cpp`).
const FAREWELL: Duration = Duration::from_secs(60);

/// Between two attempts to write what the journal could not take: room in a filesystem announces itself to nobody.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Everything that the loop works on.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) launch: Launch,
    pub(super) proof: SingleThreaded,
    pub(super) parent: Option<OwnedFd>,
    pub(super) cgroups: Cgroups,
    pub(super) workplace: Workplace,
    pub(super) listener: UnixListener,
    pub(super) journal: Journal,
    pub(super) filter: Option<Filter>,
}

/// The loop's state.
#[derive(Debug)]
pub(super) struct EventLoop {
    means: Means,
    wakeups: Wakeups,
    signals: SignalFd,
    own_pidfd: OwnedFd,
    connection: Option<Connection>,
    pod: Pod,
    vessels: Vec<Vessel>,
    /// What happened and is not yet handled.
    happened: VecDeque<Event>,
    /// Children that ended before anybody said whose they were, while containers are being created.
    unclaimed: HashMap<Pid, ExitStatus>,
    began: Instant,
    finished: Option<Instant>,
    stamps: u64,
    /// The last daemon that was refused for what it speaks.
    refused: Option<Versions>,
}

impl EventLoop {
    /// Registers everything and begins the run.
    ///
    /// # Errors
    /// If the kernel refuses a descriptor.
    pub(super) fn new(means: Means) -> io::Result<Self> {
        let set = signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD])?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let wakeups = Wakeups::new()?;
        wakeups.add(&signals, Source::Signals)?;
        means.listener.set_nonblocking(true)?;
        wakeups.add(&means.listener, Source::Listener)?;
        if let Some(parent) = &means.parent {
            wakeups.add(parent, Source::Parent)?;
        }
        let began = Instant::now();
        let vessels = means
            .launch
            .containers
            .iter()
            .map(|_| Vessel::default())
            .collect();
        let (pod, actions) = Pod::begin(plan(&means.launch), moment(began));
        let mut this = Self {
            means,
            wakeups,
            signals,
            own_pidfd: pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?,
            connection: None,
            pod,
            vessels,
            happened: VecDeque::new(),
            unclaimed: HashMap::new(),
            began,
            finished: None,
            stamps: 0,
            refused: None,
        };
        this.perform(actions);
        Ok(this)
    }

    /// Runs until the pod is over and its end is told, or nobody listens.
    ///
    /// # Errors
    /// If waiting itself fails.
    pub(super) fn run(mut self) -> io::Result<Means> {
        loop {
            self.handle_all();
            self.catch_up();
            self.tell();
            if self.may_leave() {
                return Ok(self.means);
            }
            for source in self.wakeups.wait(self.patience())? {
                self.wake(source);
            }
            self.look_for_memory_kills();
            self.happened.push_back(Event::Tick);
        }
    }

    fn handle_all(&mut self) {
        while let Some(event) = self.happened.pop_front() {
            let actions = self.pod.handle(event, moment(self.began));
            self.perform(actions);
        }
    }

    fn patience(&self) -> Option<Duration> {
        let of_pod = self.pod.next_deadline();
        let farewell = self
            .finished
            .map(|at| (at + FAREWELL).duration_since(self.began));
        let journal = &self.means.journal;
        let catch_up = journal.is_behind().then_some(CATCH_UP);
        // After its end the farewell may be long over where the journal alone keeps the process here.
        let farewell = farewell.filter(|_| catch_up.is_none());
        let next = of_pod.into_iter().chain(farewell).min();
        let next = next.map(|next| next.saturating_sub(self.began.elapsed()));
        let others = catch_up.into_iter().chain(self.next_memory_look());
        next.into_iter().chain(others).min()
    }

    /// Writes what the journal could not take before.
    fn catch_up(&mut self) {
        let behind = self.means.journal.is_behind();
        if behind && self.means.journal.catch_up().is_ok() {
            eprintln!("the journal can be written again; it is complete");
        }
    }

    fn may_leave(&mut self) -> bool {
        let Some(finished) = self.finished else {
            return false;
        };
        if self.connection.is_none() {
            self.accept();
            self.tell();
        }
        // What only this process knows must not end with it: the daemon hears it, or the journal takes it.
        if self.means.journal.is_behind() {
            return false;
        }
        self.connection.is_none()
            || self.means.journal.is_settled()
            || finished.elapsed() >= FAREWELL
    }

    fn wake(&mut self, source: Source) {
        match source {
            Source::Listener => self.accept(),
            Source::Daemon => self.hear(),
            Source::Signals => self.take_signals(),
            Source::Parent => self.parent_gone(),
            Source::Report(index) => self.take_report(index),
            Source::Status(index) => self.take_status(index),
            Source::Stdout(index) | Source::Stderr(index) => self.pump(source, index),
            Source::Memory(index) => self.memory_noticed(index),
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo != Signal::SIGCHLD as u32 {
                self.happened.push_back(Event::Kill {
                    reason: Reason::ExecutorTerminated,
                    message: "the executor was asked to stop".to_owned(),
                    grace: None,
                });
            }
        }
        self.reap();
    }

    fn parent_gone(&mut self) {
        if let Some(parent) = self.means.parent.take() {
            self.wakeups.remove(&parent);
            self.happened.push_back(Event::Kill {
                reason: Reason::ExecutorTerminated,
                message: "the process that launched the pod ended".to_owned(),
                grace: None,
            });
        }
    }

    fn pump(&mut self, source: Source, index: usize) {
        let stamp = self.stamp();
        let vessel = &mut self.vessels[index];
        let stream = if source == Source::Stdout(index) {
            &mut vessel.stdout
        } else {
            &mut vessel.stderr
        };
        if stream.as_mut().is_some_and(|pump| !pump.turn(stamp))
            && let Some(ended) = stream.take()
        {
            vessel.losses.add(&ended);
        }
        self.look_for_losses(index);
    }

    fn stamp(&mut self) -> Stamp {
        self.stamps += 1;
        Stamp {
            time_ms: u64::try_from(now().as_millis()).unwrap_or(0),
            sequence: self.stamps,
        }
    }

    fn cgroup(&self, index: usize) -> String {
        let launch = &self.means.launch;
        format!("{}/{}", launch.cgroups.run, launch.containers[index].name)
    }
}

pub(super) fn plan(launch: &Launch) -> Plan {
    let members = launch.containers.iter().map(|container| {
        let grace = Duration::from_millis(container.kill_grace_ms);
        (container.name.clone(), grace)
    });
    Plan {
        run: launch.run,
        members: members.collect(),
        parallel: std::thread::available_parallelism().map_or(1, usize::from),
        launch_timeout: Duration::from_millis(launch.create_timeout_ms),
    }
}

fn now() -> Duration {
    // A clock before 1970 is told as 1970.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

pub(super) fn moment(began: Instant) -> Moment {
    Moment {
        wall: Timestamp::from_millis(i64::try_from(now().as_millis()).unwrap_or(0)),
        elapsed: began.elapsed(),
    }
}
