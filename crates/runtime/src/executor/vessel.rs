//! What the executor holds of one container: processes, descriptors, streams.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open},
    io::fcntl_dupfd_cloexec,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use crate::{
    container::{
        create::{self, Ends, Order},
        report::Reports,
    },
    executor::loss::Losses,
    launch::LogLimits,
    stream::{Pump, StreamFile},
    sys::{fork, signals},
};

/// Longest reason that is read from a status pipe, in bytes.
const REASON_BYTES: u64 = 2048;

/// A container as far as it exists.
#[derive(Debug, Default)]
pub(super) struct Vessel {
    /// The forked child that creates it.
    pub(super) creation: Option<Creation>,
    /// Its first process.
    pub(super) init: Option<Init>,
    /// Closed by the exec of its command.
    pub(super) status: Option<File>,
    pub(super) stdout: Option<Pump>,
    pub(super) stderr: Option<Pump>,
    /// What tells that its memory is used up, where somebody has to watch it.
    pub(super) memory: Option<MemoryWatch>,
    /// What could not be kept of what it wrote.
    pub(super) losses: Losses,
}

/// The kernel's notice on version 1 that memory is used up. It comes before the kernel kills, to every cgroup below the
/// one without memory; only the count of kills, a moment later, says whom it hit.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    notices: File,
    /// Until when a kill may follow the last notice.
    pub(super) look_until: Option<Instant>,
}

/// A creation under way.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) pid: Pid,
    pub(super) reports: Reports,
}

/// A container's first process, not yet waited for.
#[derive(Debug)]
pub(super) struct Init {
    pub(super) pid: Pid,
    pidfd: OwnedFd,
}

/// What a status pipe says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Nothing yet.
    Open,
    /// The command was executed, or its process ended.
    Executed,
    /// It was not.
    Refused(String),
}

impl MemoryWatch {
    /// How long after a notice the kernel is expected to have killed.
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) const fn new(notices: File) -> Self {
        Self {
            notices,
            look_until: None,
        }
    }

    pub(super) fn noticed(&mut self, now: Instant) {
        // The number of notices does not matter; reading makes it quiet again.
        let _ = self.notices.read(&mut [0; 8]);
        self.look_until = Some(now + Self::PATIENCE);
    }
}

impl AsFd for MemoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

impl Creation {
    /// Ends the creating child. What it made so far is found in the run's cgroups.
    pub(super) fn abandon(&self) {
        // The child is not waited for, so its number is still its own.
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

impl Init {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, pidfd })
    }

    /// Asks it to stop. `false` if the signal would not reach it: the first process of a PID namespace gets
    /// only signals it has handlers for.
    pub(super) fn ask_to_stop(&self, signal: i32) -> io::Result<bool> {
        let pid = self.pid.as_raw_nonzero().get();
        if signals::ends_by_default(signal) && signals::is_unhandled(pid, signal)? {
            return Ok(false);
        }
        signals::send(&self.pidfd, signal)?;
        Ok(true)
    }

    /// Ends it, and with it every process of its namespace.
    pub(super) fn kill(&self) {
        let _ = signals::send(&self.pidfd, libc::SIGKILL);
    }
}

impl Vessel {
    /// Forks the child that creates a container; its streams go to its sandbox.
    ///
    /// # Errors
    /// If a pipe, a file or the child cannot be made.
    pub(super) fn create(
        &mut self,
        order: &Order<'_>,
        executor: impl AsFd,
        logs: LogLimits,
        proof: &fork::SingleThreaded,
    ) -> io::Result<()> {
        let sandbox = &order.container.sandbox;
        let (stdout, stdout_end) = stream(sandbox, "stdout", logs)?;
        let (stderr, stderr_end) = stream(sandbox, "stderr", logs)?;
        let (status, status_end) = pipe()?;
        let (report, report_end) = pipe()?;
        let ends = Ends {
            stdout: stdout_end,
            stderr: stderr_end,
            status: status_end,
            report: report_end,
            executor: fcntl_dupfd_cloexec(executor, 3)?,
        };
        let Some(child) = fork::fork(proof)? else {
            create::run(order, ends)
        };
        // The writing ends are closed before the next fork, whose child would keep them open.
        drop(ends);
        self.creation = Pid::from_raw(child.as_raw()).map(|pid| Creation {
            pid,
            reports: Reports::new(report),
        });
        self.status = Some(status.into());
        self.stdout = Some(stdout);
        self.stderr = Some(stderr);
        Ok(())
    }

    /// Reads the status pipe; to be asked until it is no longer open.
    pub(super) fn read_status(&mut self) -> Status {
        let Some(pipe) = &mut self.status else {
            return Status::Open;
        };
        let mut reason = Vec::new();
        match pipe.take(REASON_BYTES).read_to_end(&mut reason) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && reason.is_empty() => {
                Status::Open
            }
            Ok(0) => {
                self.status = None;
                Status::Executed
            }
            Ok(_) | Err(_) => {
                self.status = None;
                Status::Refused(String::from_utf8_lossy(&reason).into_owned())
            }
        }
    }
}

/// A pump into the sandbox, and the end that the container writes to.
fn stream(sandbox: &Path, name: &str, logs: LogLimits) -> io::Result<(Pump, OwnedFd)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = open(sandbox, flags, Mode::empty())?;
    let file = StreamFile::create(directory, name, logs)?;
    let (reader, writer) = pipe()?;
    Ok((Pump::new(reader, file), writer))
}

/// A pipe whose reading end does not block.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setfl(&reader, fcntl_getfl(&reader)? | OFlags::NONBLOCK)?;
    Ok((reader, writer))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_status_pipe_tells_exec_from_failure() {
        let (reader, writer) = pipe().unwrap();
        let mut vessel = Vessel {
            status: Some(reader.into()),
            ..Vessel::default()
        };
        assert_eq!(vessel.read_status(), Status::Open);
        drop(writer);
        assert_eq!(vessel.read_status(), Status::Executed);
        assert_eq!(vessel.read_status(), Status::Open, "it is told once");
        let (reader, writer) = pipe().unwrap();
        vessel.status = Some(reader.into());
        File::from(writer).write_all(b"no").unwrap();
        assert_eq!(vessel.read_status(), Status::Refused("no".to_owned()));
    }
}
