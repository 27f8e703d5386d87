//! Waking up when a descriptor is readable or something in a directory changes.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

/// Tells when a descriptor becomes readable.
pub(crate) fn readiness(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may change their descriptor; an OwnedFd never does"
    )]
    AsyncFd::new(fd)
}

/// Watches the entries of one directory: made, written, renamed.
#[derive(Debug)]
pub(crate) struct DirectoryWatch(AsyncFd<OwnedFd>);

impl DirectoryWatch {
    /// Watches from now on: what changed before is not told.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let flags = inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC;
        let fd = inotify::init(flags)?;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::MOVED_FROM;
        inotify::add_watch(&fd, directory, events)?;
        Ok(Self(readiness(fd)?))
    }

    /// Waits until something changed since the last call.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut buffer = [0; 4096];
        // The events themselves do not matter, only that there were some.
        while rustix::io::read(self.0.get_ref(), &mut buffer).is_ok_and(|read| read > 0) {}
        ready.clear_ready();
        Ok(())
    }
}
