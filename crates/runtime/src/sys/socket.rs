//! Unix sockets at paths of any length: an address holds 107 bytes, a path may have more.
//!
//! The directory is opened and the address goes through `/proc/self/fd`, so no process changes its directory.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, open};

/// Binds and listens at `path`; only root may connect.
///
/// # Errors
/// What opening the directory or binding give.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (_directory, short) = shorten(path)?;
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(short);
    rustix::process::umask(before);
    listener
}

/// Connects to `path`.
///
/// # Errors
/// What opening the directory or connecting give.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_directory, short) = shorten(path)?;
    UnixStream::connect(short)
}

/// The directory, to be held while the short path is used, and the short path.
fn shorten(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    Ok((directory, short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_longer_than_an_address_work() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("executor.sock");
        let listener = listen(&path).unwrap();
        let _client = connect(&path).unwrap();
        assert!(listener.accept().is_ok());
        assert!(connect(&deep.join("missing.sock")).is_err());
    }
}
