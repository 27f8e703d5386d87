//! Advisory locks on files (`flock(2)`). They belong to the open file, so a process that inherits the descriptor
//! holds the lock on, and the kernel drops it with the last one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

/// Opens the file, made if missing, and takes its lock. `None` if somebody else holds it.
pub(crate) fn try_take(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    Ok(try_lock(&file)?.then_some(file))
}

/// Takes the lock of an open file or directory; tells whether it could be had.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether somebody holds the file's lock. A file that is not there is held by nobody.
pub(super) fn is_held(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => Ok(!try_lock(&file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes this process's id into a lock file, for whoever finds the lock held.
pub(super) fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

/// The process id that the holder wrote; empty if it did not.
pub(crate) fn signature(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}
