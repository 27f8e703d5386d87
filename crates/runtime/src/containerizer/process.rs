//! An executor as a process: found again after a restart without mistaking another process for it.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::boot;

/// What is recorded of an executor in its run directory. Within one boot the start time makes the process
/// unmistakable; the directory may survive a reboot, where `/run` is on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Process id.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub(crate) start_ticks: u64,
    /// The boot that counts the ticks; records of older versions have none, and run directories in memory.
    #[serde(default)]
    pub(crate) boot: Option<Uuid>,
}

impl Identity {
    /// Reads who a process is; `None` if it is gone, or cannot be looked at.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Self::read(pid).ok().flatten()
    }

    /// Reads who a process is; `None` if it is gone.
    ///
    /// # Errors
    /// It cannot be looked at, as where no descriptor is free: nothing is known of it then.
    pub(super) fn read(pid: i32) -> io::Result<Option<Self>> {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let start_ticks = parse_start_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let boot = boot::id().ok();
        Ok(Some(Self {
            pid,
            start_ticks,
            boot,
        }))
    }

    /// Reads what [`Identity::record`] wrote; `None` if it did not, or not wholly.
    pub(crate) fn recorded(path: &Path) -> Option<Self> {
        Self::read_record(path).ok().flatten()
    }

    /// As [`Identity::recorded`].
    ///
    /// # Errors
    /// The record cannot be read, as where no descriptor is free: nothing is known of it then.
    pub(super) fn read_record(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(record) => Ok(serde_json::from_slice(&record).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it down, whole or not at all.
    pub(super) fn record(self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec(&self)?)?;
        fs::rename(&fresh, path)
    }

    /// Whether the process is there, ended and not yet waited for included.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid).is_some_and(|found| self.is(found))
    }

    fn is(self, found: Self) -> bool {
        found.start_ticks == self.start_ticks && (self.boot.is_none() || self.boot == found.boot)
    }

    /// The process, if it is still the same one.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        self.look().ok().flatten()
    }

    /// The process, if it is still the same one; `None` if it is gone.
    ///
    /// # Errors
    /// It cannot be looked at, as where no descriptor is free: nothing is known of it then.
    pub(crate) fn look(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let same = Self::read(self.pid)?.is_some_and(|found| self.is(found));
        Ok(same.then_some(pidfd))
    }
}

/// A process ends before its file is opened, or after.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || Errno::from_io_error(error).is_some_and(|errno| errno == Errno::SRCH)
}

/// Field 22 counts behind the command's closing parenthesis; the command itself may contain anything.
fn parse_start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

/// Watches a child that was just spawned and not waited for, so that the id is still its own. One that cannot be
/// watched is killed.
pub(super) fn watch_child(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        errno.into()
    })
}

/// Sends SIGKILL; a process that is gone needs none.
pub(crate) fn kill(pidfd: &impl AsFd) {
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}

/// Waits for the end of a process and collects it if it is our child; tells whether it ended in time.
pub(crate) fn reap(pidfd: &impl AsFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left.min(Duration::from_secs(3600))).ok();
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let ended = matches!(poll(&mut fds, timeout.as_ref()), Ok(ready) if ready > 0);
    if ended {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // Not our child: init, or whoever adopted it, collects it.
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), options);
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_found_behind_any_name() {
        let fields: Vec<String> = (3..=30).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) b (c) {}", fields.join(" "));
        assert_eq!(parse_start_ticks(&stat), Some(22));
        assert_eq!(parse_start_ticks("7 (a"), None);
    }

    /// See `tests/golden`; what it has more today is ignored by those who wrote that.
    #[test]
    fn an_identity_of_version_1_is_read_and_written() {
        let recorded = include_str!("../../tests/golden/v1/executor.pid");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, recorded).unwrap();
        let identity = Identity::recorded(&path).unwrap();
        let boot = "0c7c2b11-2f7d-4f39-9a0e-6f7f3a1e5d1c".parse().unwrap();
        let expected = Identity {
            pid: 4242,
            start_ticks: 123_456,
            boot: Some(boot),
        };
        assert_eq!(identity, expected);
        identity.record(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), recorded);
    }

    #[test]
    fn another_process_of_the_same_id_is_not_taken_for_it() {
        let own = Identity::of(std::process::id().try_into().unwrap()).unwrap();
        assert!(own.open().is_some());
        let other = Identity {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(other.open().is_none());
        let of_another_boot = Identity {
            boot: Some(Uuid::from_u128(1)),
            ..own
        };
        assert!(of_another_boot.open().is_none() && !of_another_boot.is_alive());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        own.record(&path).unwrap();
        assert_eq!(Identity::recorded(&path), Some(own));
        let of_an_older_version =
            format!(r#"{{"pid":{},"start_ticks":{}}}"#, own.pid, own.start_ticks);
        fs::write(&path, of_an_older_version).unwrap();
        assert!(Identity::recorded(&path).unwrap().is_alive());
        fs::write(&path, "{\"pid\":").unwrap();
        assert_eq!(Identity::recorded(&path), None);
    }
}
