//! What goes into the state machine and what comes out of it.

use std::time::Duration;

use model::{
    id::RunId,
    state::Reason,
    time::Timestamp,
    update::{ExitStatus, TaskUpdate},
};

use crate::cgroup::MemoryKill;

/// The two clocks, read by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Wall clock, for updates.
    pub wall: Timestamp,
    /// Monotonic time since any fixed point, for deadlines.
    pub elapsed: Duration,
}

/// What a run is made of, as far as the state machine cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The run.
    pub run: RunId,
    /// Names and graces of the containers, in the definition's order. Others refer to them by index.
    pub members: Vec<(String, Duration)>,
    /// How many containers are created at a time, at least 1.
    pub parallel: usize,
    /// How long a create, and a start, may take.
    pub launch_timeout: Duration,
}

/// Limits that a container reached during its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitsReached {
    /// The kernel killed in it for want of memory.
    pub memory: Option<MemoryKill>,
    /// It was refused a process, having as many as this.
    pub pids: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The pod's own surroundings could not be made; nothing was created.
    NotSetUp {
        /// Why, for a person.
        message: String,
    },
    /// A container was created and waits for its start.
    Created(usize),
    /// A container could not be created.
    NotCreated {
        /// Which.
        index: usize,
        /// Why, for a person.
        message: String,
    },
    /// A container's own command runs.
    Executing(usize),
    /// A created container could not execute its command.
    NotExecuting {
        /// Which.
        index: usize,
        /// Why, for a person.
        message: String,
    },
    /// A container's first process ended, and with it all others of the container.
    Ended {
        /// Which.
        index: usize,
        /// How.
        exit: ExitStatus,
        /// Which limits it had reached.
        limits: LimitsReached,
    },
    /// The kernel killed a process of a container for want of memory, and may have left others.
    OutOfMemory(usize),
    /// The stop signal would not reach a container that has no handler for it, and was not sent.
    StopUnhandled {
        /// Which.
        index: usize,
        /// The signal.
        signal: i32,
    },
    /// The whole run shall end.
    Kill {
        /// Why.
        reason: Reason,
        /// Why, for a person; may be empty.
        message: String,
        /// Instead of each container's own grace.
        grace: Option<Duration>,
    },
    /// The moment of [`super::Pod::next_deadline`] came.
    Tick,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create a container; answered by `Created` or `NotCreated`.
    Create(usize),
    /// Give up creating; still answered by `Created` or `NotCreated`.
    Abandon(usize),
    /// Start a created container; answered by `Executing`, `NotExecuting` or `Ended`.
    Start(usize),
    /// Put the cpu quota on a container that now runs its own command.
    Limit(usize),
    /// Send the stop signal to the container's first process; answered by `StopUnhandled` or, later, `Ended`.
    Stop(usize),
    /// SIGKILL to everything in the container; answered by `Ended`.
    Destroy(usize),
    /// Write an update to the journal and tell the daemon.
    Report(TaskUpdate),
    /// Every container is over: end the executor.
    Finish,
}
