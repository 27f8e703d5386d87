//! The journal of a run: a header line, then one [`TaskUpdate`] a line, in the run directory.
//!
//! The executor appends; the daemon reads it through the executor's socket while it lives and from the file
//! once it is dead. It need not be on disk: it is as mortal as the processes it tells of, which a reboot ends.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use model::{id::RunId, update::TaskUpdate};
use serde::{Deserialize, Serialize};

use crate::protocol::Versions;

/// The most bytes a journal may have; the run directory is in memory.
pub const LIMIT_BYTES: u64 = 1 << 20;

/// From this size on, acknowledging rewrites the file without what was acknowledged.
const REWRITE_BYTES: u64 = 64 << 10;

/// Longer than any header; what is shorter and has no end was cut while it was written.
const HEADER_LIMIT_BYTES: usize = 512;

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version in which it is written: that of the launch message, which the daemon of that time could read.
    pub version: u32,
    /// The run.
    pub run: RunId,
}

/// The header of any version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Why the journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be made, written or read.
    #[error("{action} the journal {path}")]
    File {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A whole line is no update.
    #[error("read line {line} of the journal {path}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The header is not whole, or longer than any.
    #[error("read the journal {path}: it does not begin as one")]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// It is of another run.
    #[error("read the journal {path}: it is of run {found}")]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// The run that it names.
        found: RunId,
    },
    /// It is of a version that is not spoken here.
    #[error(
        "read the journal {path}: it is of version {found}, this monopod knows {} to {}",
        Versions::OURS.oldest, Versions::OURS.newest
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is longer than any that an executor writes.
    #[error("read the journal {path}: it is longer than {LIMIT_BYTES} bytes; the rest is left out")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// [`LIMIT_BYTES`] are reached by updates that nobody acknowledged.
    #[error("append to the full journal {path}")]
    Full {
        /// The file.
        path: PathBuf,
    },
}

/// The executor's side.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    header: Header,
    file: File,
    bytes: u64,
    pending: VecDeque<TaskUpdate>,
    /// How many of the last pending ones are not in the file.
    unwritten: usize,
}

impl Journal {
    /// Makes the file with its header. From here on the run counts as launched.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub fn create(path: &Path, header: Header) -> Result<Self, JournalError> {
        let mut journal = Self {
            path: path.to_owned(),
            header,
            file: open_new(path)?,
            bytes: 0,
            pending: VecDeque::new(),
            unwritten: 0,
        };
        journal.write(&line(&header))?;
        Ok(journal)
    }

    /// Appends an update. It stays among the unacknowledged ones even if the file could not be written, and gets there
    /// with a later call: nothing is left out.
    ///
    /// # Errors
    /// If the journal is full or cannot be written.
    pub fn append(&mut self, update: &TaskUpdate) -> Result<(), JournalError> {
        self.pending.push_back(update.clone());
        self.unwritten += 1;
        self.catch_up()
    }

    /// Writes what could not be written before, if anything.
    ///
    /// # Errors
    /// If the journal is full or still cannot be written.
    pub fn catch_up(&mut self) -> Result<(), JournalError> {
        while self.unwritten > 0 {
            let text = line(&self.pending[self.pending.len() - self.unwritten]);
            if self.bytes + as_u64(text.len()) > LIMIT_BYTES {
                return Err(JournalError::Full {
                    path: self.path.clone(),
                });
            }
            self.write(&text)?;
            self.unwritten -= 1;
        }
        Ok(())
    }

    /// Whether something is known to this process alone: it would be lost with it.
    pub fn is_behind(&self) -> bool {
        self.unwritten > 0
    }

    /// Drops every update up to `sequence`.
    ///
    /// # Errors
    /// If the file had to be rewritten and could not be.
    pub fn acknowledge(&mut self, sequence: u64) -> Result<(), JournalError> {
        while self
            .pending
            .front()
            .is_some_and(|update| update.sequence <= sequence)
        {
            self.pending.pop_front();
        }
        self.unwritten = self.unwritten.min(self.pending.len());
        if self.bytes < REWRITE_BYTES {
            return Ok(());
        }
        self.rewrite()
    }

    /// The first update after `sequence` that nobody acknowledged.
    pub fn next_after(&self, sequence: u64) -> Option<&TaskUpdate> {
        self.pending
            .iter()
            .find(|update| update.sequence > sequence)
    }

    /// Whether everything was acknowledged.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    fn rewrite(&mut self) -> Result<(), JournalError> {
        let fresh = self.path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let mut text = line(&self.header);
        for update in &self.pending {
            text.extend(line(update));
        }
        let mut file = open_new(&fresh)?;
        let rewritten = file
            .write_all(&text)
            .map_err(failed("rewrite", &self.path))
            .and_then(|()| fs::rename(&fresh, &self.path).map_err(failed("replace", &self.path)));
        if rewritten.is_err() {
            // Half of it takes room where there is none.
            let _ = fs::remove_file(&fresh);
            return rewritten;
        }
        self.file = file;
        self.bytes = as_u64(text.len());
        self.unwritten = 0;
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> Result<(), JournalError> {
        if let Err(error) = self.file.write_all(text) {
            // Half a line would spoil the next one. Making a file shorter needs no room.
            let _ = self.file.set_len(self.bytes);
            return Err(failed("append to", &self.path)(error));
        }
        self.bytes += as_u64(text.len());
        Ok(())
    }
}

/// What a journal still tells, however damaged it is.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// The updates up to the first damage, those of other runs left out.
    pub updates: Vec<TaskUpdate>,
    /// What is wrong with it.
    pub damage: Option<JournalError>,
}

/// Reads the journal of a run that has ended. `None` if there is none or its header is not whole: the run never
/// began. A journal that cannot be read at all means that it did.
///
/// A last line without its end is no damage: the executor died while writing it.
pub fn salvage(path: &Path, run: RunId) -> Option<Salvaged> {
    match read_limited(path) {
        Ok(None) => None,
        Ok(Some(text)) => interpret(&text, path, run),
        Err(damage) => Some(Salvaged {
            updates: Vec::new(),
            damage: Some(damage),
        }),
    }
}

/// At most one byte more than a journal may have. `None` if there is no file.
fn read_limited(path: &Path) -> Result<Option<Vec<u8>>, JournalError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let mut text = Vec::new();
    file.take(LIMIT_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(failed("read", path))?;
    Ok(Some(text))
}

fn interpret(text: &[u8], path: &Path, run: RunId) -> Option<Salvaged> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').enumerate();
    let first = lines.next().map_or(&[][..], |(_, line)| line);
    let mut salvaged = Salvaged::default();
    if !first.ends_with(b"\n") && first.len() <= HEADER_LIMIT_BYTES {
        return None;
    }
    if let Err(damage) = check_header(first, path, run) {
        salvaged.damage = Some(damage);
        return Some(salvaged);
    }
    for (number, line) in lines.filter(|(_, line)| line.ends_with(b"\n")) {
        match parse::<TaskUpdate>(number, line, path) {
            Ok(update) if update.run == run => salvaged.updates.push(update),
            Ok(update) => {
                salvaged.damage = Some(JournalError::OtherRun {
                    path: path.to_owned(),
                    found: update.run,
                });
            }
            Err(damage) => {
                salvaged.damage = Some(damage);
                return Some(salvaged);
            }
        }
    }
    if as_u64(text.len()) > LIMIT_BYTES {
        let path = path.to_owned();
        salvaged.damage = Some(JournalError::TooLong { path });
    }
    Some(salvaged)
}

fn check_header(line: &[u8], path: &Path, run: RunId) -> Result<(), JournalError> {
    let path = path.to_owned();
    let Ok(version) = serde_json::from_slice::<Versioned>(line) else {
        return Err(JournalError::Header { path });
    };
    if !Versions::OURS.contain(version.version) {
        let found = version.version;
        return Err(JournalError::Version { path, found });
    }
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.run == run => Ok(()),
        Ok(header) => Err(JournalError::OtherRun {
            path,
            found: header.run,
        }),
        Err(_) => Err(JournalError::Header { path }),
    }
}

fn parse<'a, T: Deserialize<'a>>(
    number: usize,
    line: &'a [u8],
    path: &Path,
) -> Result<T, JournalError> {
    serde_json::from_slice(line).map_err(|source| JournalError::Line {
        line: number + 1,
        path: path.to_owned(),
        source,
    })
}

fn open_new(path: &Path) -> Result<File, JournalError> {
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(0o600);
    options.open(path).map_err(failed("make", path))
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut text =
        serde_json::to_vec(value).expect("updates have no maps with other keys than texts");
    text.push(b'\n');
    text
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::File {
        action,
        path,
        source,
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
