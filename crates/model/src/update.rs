//! What executors report, and how runs end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::RunId,
    state::{Reason, TaskState},
    time::Timestamp,
};

/// How a process ended, as `waitid(2)` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It exited with this status, 0 to 255.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// Whether it exited with status 0.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// The status as a shell tells it: a signal counts 128 and its number.
    pub const fn shell_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for ExitStatus {
    /// Writes the executor's message, such as `Command exited with status 2` (mesos: `default_executor.cpp`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "Command exited with status {code}"),
            Self::Signaled(signal) => {
                write!(f, "Command terminated with signal {}", signal_name(*signal))
            }
        }
    }
}

/// The signal's name as `strsignal(3)` has it, for those that end processes; else `signal N`.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "Hangup",
        2 => "Interrupt",
        3 => "Quit",
        4 => "Illegal instruction",
        6 => "Aborted",
        7 => "Bus error",
        8 => "Floating point exception",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        13 => "Broken pipe",
        14 => "Alarm clock",
        15 => "Terminated",
        31 => "Bad system call",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

/// One change of one task, as its executor saw it. Numbered from 1 within the run; applied exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUpdate {
    /// The run.
    pub run: RunId,
    /// Place in the run's journal, from 1 without gaps.
    pub sequence: u64,
    /// When it was seen.
    pub at: Timestamp,
    /// The container's name.
    pub container: String,
    /// The state it is in now.
    pub state: TaskState,
    /// Why, where more is known than the state says.
    pub reason: Option<Reason>,
    /// For a person; empty if there is nothing to say.
    pub message: String,
    /// How the process ended, once it has.
    pub exit: Option<ExitStatus>,
    /// The last health result, if any came.
    pub healthy: Option<bool>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// The executor ended after all its tasks; every update was delivered before this.
    Completed,
    /// The executor is gone without having finished: what ran is killed.
    ExecutorDied {
        /// What is known, for a person.
        message: String,
    },
    /// No executor came to be.
    NotLaunched {
        /// Why, for a person.
        message: String,
    },
    /// The host restarted meanwhile.
    HostRebooted,
}

/// The end of a run: no process of it is left, its cgroup is gone, its resources are free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOver {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
}
