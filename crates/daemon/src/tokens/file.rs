//! Small private files: replaced whole, read again only when they were replaced.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::TokenError;

/// Nobody but root reads or writes.
const PRIVATE: u32 = 0o600;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Makes a value of a file's text, empty if there is no file.
type Parse<T> = fn(&Path, &str) -> Result<T, TokenError>;

/// A file's value, read anew after each change of the file.
#[derive(Debug)]
pub(super) struct Watched<T> {
    path: PathBuf,
    parse: Parse<T>,
    /// The state that was read, `None` for a missing file, and what it said.
    last: Mutex<Option<(Option<Identity>, Arc<T>)>>,
}

impl<T> Watched<T> {
    pub(super) const fn new(path: PathBuf, parse: Parse<T>) -> Self {
        Self {
            path,
            parse,
            last: Mutex::new(None),
        }
    }

    /// The value of the file as it is now. Costs one `stat(2)` while nothing changes, and needs no descriptor then.
    ///
    /// # Errors
    /// The file cannot be read or understood; what it said before no longer counts.
    pub(super) fn current(&self) -> Result<Arc<T>, TokenError> {
        let identity = identity(&self.path)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = &*last
            && *known == identity
        {
            return Ok(Arc::clone(value));
        }
        let text = read(&self.path)?.unwrap_or_default();
        let value = Arc::new((self.parse)(&self.path, &text)?);
        *last = Some((identity, Arc::clone(&value)));
        Ok(value)
    }
}

fn identity(path: &Path) -> Result<Option<Identity>, TokenError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// The file's text; `None` if there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, TokenError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces the file at once and for good: who reads it sees the old or the new text, also after a power cut.
pub(super) fn replace(path: &Path, text: &[u8]) -> Result<(), TokenError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let options = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(PRIVATE);
        let mut file = options.open(&fresh)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(failed("write", path))
}

/// Takes a file away from everybody but its owner, should somebody have given it to them.
pub(super) fn make_private(path: &Path) -> Result<(), TokenError> {
    let mode = fs::metadata(path).map_err(failed("look at", path))?.mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "the token file could be read by others; it is private again");
    fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))
        .map_err(failed("change the mode of", path))
}

/// Holds off other processes that change tokens, until it is dropped.
pub(super) fn lock(path: &Path) -> Result<fs::File, TokenError> {
    let path = path.with_extension("lock");
    let mut options = fs::OpenOptions::new();
    let options = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE);
    let take = || {
        let file = options.open(&path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(file)
    };
    take().map_err(failed("lock", &path))
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokenError {
    let path = path.to_owned();
    move |source| TokenError::File {
        attempt,
        path,
        source,
    }
}
