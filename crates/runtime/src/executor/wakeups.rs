//! What can wake the executor, and waiting for it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

/// Events taken at a time.
const BATCH: usize = 16;

/// A descriptor that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A daemon wants to connect.
    Listener,
    /// The connected daemon.
    Daemon,
    /// SIGTERM or SIGCHLD came.
    Signals,
    /// The launching process, where the executor shall not outlive it.
    Parent,
    /// A creating child told something.
    Report(usize),
    /// A container's command was executed, or not.
    Status(usize),
    /// A container wrote.
    Stdout(usize),
    /// A container wrote.
    Stderr(usize),
    /// A container's memory, or that of its pod or host, is used up (version 1 of cgroups).
    Memory(usize),
}

/// Kinds of sources that a number has room for.
const KINDS: u64 = 16;

impl Source {
    fn to_number(self) -> u64 {
        let (kind, index) = match self {
            Self::Listener => (0, 0),
            Self::Daemon => (1, 0),
            Self::Signals => (2, 0),
            Self::Parent => (3, 0),
            Self::Report(index) => (4, index),
            Self::Status(index) => (5, index),
            Self::Stdout(index) => (6, index),
            Self::Stderr(index) => (7, index),
            Self::Memory(index) => (8, index),
        };
        u64::try_from(index).unwrap_or(0) * KINDS + kind
    }

    fn from_number(number: u64) -> Self {
        let index = usize::try_from(number / KINDS).unwrap_or(usize::MAX);
        match number % KINDS {
            0 => Self::Listener,
            1 => Self::Daemon,
            2 => Self::Signals,
            3 => Self::Parent,
            4 => Self::Report(index),
            5 => Self::Status(index),
            6 => Self::Stdout(index),
            7 => Self::Stderr(index),
            _ => Self::Memory(index),
        }
    }
}

/// An epoll instance.
#[derive(Debug)]
pub(super) struct Wakeups {
    epoll: OwnedFd,
}

impl Wakeups {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        })
    }

    /// Wakes when `fd` can be read, or has ended. Closing it ends the registration, as long as no other
    /// process holds the same open file.
    pub(super) fn add(&self, fd: impl AsFd, source: Source) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.to_number());
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    /// Wakes, or no longer, when `fd` can be written, too.
    pub(super) fn set_writable(
        &self,
        fd: impl AsFd,
        source: Source,
        wanted: bool,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(source.to_number());
        let mut flags = epoll::EventFlags::IN;
        flags.set(epoll::EventFlags::OUT, wanted);
        Ok(epoll::modify(&self.epoll, fd, data, flags)?)
    }

    /// Ends a registration.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // One that is not registered is removed already.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for something, or for this long at most.
    pub(super) fn wait(&self, patience: Option<Duration>) -> io::Result<Vec<Source>> {
        let timeout = patience.map(|patience| Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(patience.subsec_nanos()),
        });
        let mut events = Vec::with_capacity(BATCH);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let sources = events
            .iter()
            .map(|event: &epoll::Event| Source::from_number(event.data.u64()));
        Ok(sources.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_keep_their_numbers() {
        let sources = [
            Source::Listener,
            Source::Daemon,
            Source::Signals,
            Source::Parent,
            Source::Report(0),
            Source::Status(3),
            Source::Stdout(40),
            Source::Stderr(1_000_000),
            Source::Memory(2),
        ];
        for source in sources {
            assert_eq!(Source::from_number(source.to_number()), source);
        }
    }
}
