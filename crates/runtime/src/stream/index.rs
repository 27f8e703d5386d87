//! The index of a stream: when which byte came, `<name>.index` beside it.
//!
//! Entries are 32 bytes, four little-endian numbers, in the order of time: they can be searched by halves.
//! The file is only appended to, but for rotations: then entries of files that are gone are dropped.

use std::{
    fs::File,
    io::{self, Write as _},
    os::{fd::BorrowedFd, unix::fs::FileExt as _},
    path::Path,
};

use rustix::fs::renameat;

use super::{Stamp, as_u64, open_fresh};
use crate::launch::LogLimits;

/// Bytes of an entry.
const ENTRY_BYTES: usize = 32;

/// A chunk that came this soon after the last entry, and this few bytes further, shares it.
const SHARE_MS: u64 = 100;
const SHARE_BYTES: u64 = 256;

/// The index may have this part of the bytes that the stream's files may have together, and at least 64 KiB.
const PART_OF_FILES: u64 = 8;
const LEAST_BYTES: u64 = 64 << 10;

/// One entry: from this byte on, until the next entry's, the stream came at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Order among all streams of the pod.
    pub sequence: u64,
    /// Which file of the stream, counted from 0: the current one has the highest number, `<name>.1` one less.
    pub file: u64,
    /// Offset in that file, in bytes.
    pub offset: u64,
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let numbers = [self.time_ms, self.sequence, self.file, self.offset];
        for (to, number) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *to = number.to_le_bytes();
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut numbers = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|part| u64::from_le_bytes(*part));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            time_ms: next(),
            sequence: next(),
            file: next(),
            offset: next(),
        }
    }
}

/// Reads an index file; a last entry that is not whole is left out.
///
/// # Errors
/// What reading the file gives.
pub fn read_index(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = std::fs::read(path)?;
    let (entries, _cut) = bytes.as_chunks::<ENTRY_BYTES>();
    Ok(entries.iter().map(Entry::from_bytes).collect())
}

/// The writer.
#[derive(Debug)]
pub(super) struct Index {
    name: String,
    file: File,
    bytes: u64,
    limit_bytes: u64,
    last: Option<Entry>,
}

impl Index {
    pub(super) fn create(
        directory: BorrowedFd<'_>,
        stream: &str,
        limits: LogLimits,
    ) -> io::Result<Self> {
        let name = format!("{stream}.index");
        let files = limits
            .file_bytes
            .saturating_mul(u64::from(limits.rotated_files) + 1);
        Ok(Self {
            file: open_fresh(directory, &name)?,
            name,
            bytes: 0,
            limit_bytes: (files / PART_OF_FILES).max(LEAST_BYTES),
            last: None,
        })
    }

    /// Notes that bytes written now go to `offset` of the file. A full disk costs precision, nothing else.
    pub(super) fn note(&mut self, stamp: Stamp, file: u64, offset: u64) {
        let entry = Entry {
            time_ms: stamp.time_ms,
            sequence: stamp.sequence,
            file,
            offset,
        };
        let full = self.bytes + as_u64(ENTRY_BYTES) > self.limit_bytes;
        let shared = self.last.is_some_and(|last| shares(last, entry));
        let same_file = self.last.is_some_and(|last| last.file == file);
        if shared || (full && same_file) {
            return;
        }
        if self.file.write_all(&entry.to_bytes()).is_ok() {
            self.bytes += as_u64(ENTRY_BYTES);
            self.last = Some(entry);
        }
    }

    /// Drops the entries of files before number `oldest`.
    pub(super) fn forget_before(
        &mut self,
        directory: BorrowedFd<'_>,
        oldest: u64,
    ) -> io::Result<()> {
        let length = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        let (entries, _cut) = bytes.as_chunks::<ENTRY_BYTES>();
        let keep = |entry: &&[u8; ENTRY_BYTES]| Entry::from_bytes(entry).file >= oldest;
        let kept: Vec<u8> = entries.iter().filter(keep).flatten().copied().collect();
        if kept.len() == bytes.len() {
            return Ok(());
        }
        let fresh = format!("{}.new", self.name);
        let mut file = open_fresh(directory, &fresh)?;
        file.write_all(&kept)?;
        renameat(directory, &fresh, directory, &self.name)?;
        self.file = file;
        self.bytes = as_u64(kept.len());
        Ok(())
    }
}

/// Whether a chunk need not have an entry of its own.
fn shares(last: Entry, entry: Entry) -> bool {
    last.file == entry.file
        && entry.time_ms.saturating_sub(last.time_ms) < SHARE_MS
        && entry.offset.saturating_sub(last.offset) < SHARE_BYTES
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn entries_read_back() {
        let entry = Entry {
            time_ms: 1,
            sequence: 2,
            file: 3,
            offset: u64::MAX,
        };
        assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
    }

    #[test]
    fn close_chunks_share_an_entry_and_the_size_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let directory = File::open(dir.path()).unwrap();
        let limits = LogLimits {
            file_bytes: 1,
            rotated_files: 0,
        };
        let mut index = Index::create(directory.as_fd(), "stdout", limits).unwrap();
        let mut note = |time_ms, offset| {
            let stamp = Stamp {
                time_ms,
                sequence: 0,
            };
            index.note(stamp, 0, offset);
            index.bytes / 32
        };
        let cases = [
            (0, 0, 1),
            (99, 255, 1),
            (100, 256, 2),
            (101, 600, 3),
            (300, 601, 4),
        ];
        for (time_ms, offset, entries) in cases {
            assert_eq!(note(time_ms, offset), entries, "{time_ms} {offset}");
        }
        let many = (1..100_000)
            .map(|number| note(1000 * number, 1000 * number))
            .max();
        assert_eq!(many, Some(LEAST_BYTES / 32));
    }
}
