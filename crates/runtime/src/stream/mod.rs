//! A container's stdout or stderr on disk: raw bytes, rotated by size, with an index of when they came.
//!
//! The directory is the container's sandbox, in which the container may write: every file is opened relative
//! to the directory's descriptor, never through a symbolic link, and replaced rather than trusted.

mod index;

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

pub use index::{Entry, read_index};

use crate::launch::LogLimits;
use index::Index;

/// The most that is taken from a pipe at a time, so that a flood delays nobody else.
pub const CHUNK_BYTES: usize = 16 << 10;

/// What is left in a pipe when its writers are gone: its default capacity (`pipe(7)`).
const PIPE_BYTES: usize = 64 << 10;

/// When and in which order a chunk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Grows with every chunk of any stream of the pod, so that streams can be merged.
    pub sequence: u64,
}

/// What could not be kept of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Bytes lost so far.
    pub bytes: u64,
    /// Whether the last write failed, so that more may follow.
    pub lasting: bool,
}

/// One stream's file, its rotated predecessors and its index.
#[derive(Debug)]
pub struct StreamFile {
    directory: OwnedFd,
    name: String,
    limits: LogLimits,
    file: File,
    bytes: u64,
    rotations: u64,
    index: Index,
    /// Bytes that could not be written, as on a full disk.
    lost_bytes: u64,
    /// Those of them that the file does not tell of yet.
    untold_bytes: u64,
}

impl StreamFile {
    /// Makes `name` and `name.index` in `directory`.
    ///
    /// # Errors
    /// What opening them gives.
    pub fn create(directory: OwnedFd, name: &str, limits: LogLimits) -> io::Result<Self> {
        let file = open_fresh(directory.as_fd(), name)?;
        let index = Index::create(directory.as_fd(), name, limits)?;
        Ok(Self {
            directory,
            name: name.to_owned(),
            limits,
            file,
            bytes: 0,
            rotations: 0,
            index,
            lost_bytes: 0,
            untold_bytes: 0,
        })
    }

    /// Appends a chunk, rotating where a file is full; a line is kept whole where it can be.
    ///
    /// A disk that takes nothing loses the chunk, and never stops the container: the file tells of it once it can be
    /// written again, see [`Self::loss`].
    pub fn append(&mut self, mut chunk: &[u8], stamp: Stamp) {
        while !chunk.is_empty() {
            let room = self.limits.file_bytes.saturating_sub(self.bytes);
            let part = cut(
                chunk,
                usize::try_from(room).unwrap_or(usize::MAX),
                self.bytes == 0,
            );
            if part == 0 {
                if let Err(error) = self.rotate() {
                    self.lose(chunk.len(), Some(&error));
                    return;
                }
                continue;
            }
            let (now, rest) = chunk.split_at(part);
            self.write(now, stamp);
            chunk = rest;
        }
    }

    /// What could not be written so far.
    pub const fn loss(&self) -> Loss {
        Loss {
            bytes: self.lost_bytes,
            lasting: self.untold_bytes > 0,
        }
    }

    fn write(&mut self, bytes: &[u8], stamp: Stamp) {
        if self.untold_bytes > 0 && !self.tell_loss(stamp) {
            return self.lose(bytes.len(), None);
        }
        self.index.note(stamp, self.rotations, self.bytes);
        let (written, result) = self.put(bytes);
        if let Err(error) = result {
            self.lose(bytes.len() - written, Some(&error));
        }
    }

    /// Writes in the place of what was lost how much that is; whether it could.
    fn tell_loss(&mut self, stamp: Stamp) -> bool {
        let note = format!(
            "\nmonopod: {} bytes that were written here are lost, the disk took none\n",
            self.untold_bytes
        );
        self.index.note(stamp, self.rotations, self.bytes);
        let before = self.bytes;
        let (_, result) = self.put(note.as_bytes());
        if result.is_ok() {
            self.untold_bytes = 0;
            return true;
        }
        // Making a file shorter needs no room; half a note would tell a wrong number.
        if self.file.set_len(before).is_ok() {
            self.bytes = before;
        }
        false
    }

    /// Writes as much as the disk takes, and counts it.
    fn put(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(length) => {
                    written += length;
                    self.bytes += as_u64(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    fn lose(&mut self, bytes: usize, error: Option<&io::Error>) {
        if let (0, Some(error)) = (self.lost_bytes, error) {
            eprintln!("failed to write {}: {error}", self.name);
        }
        self.lost_bytes += as_u64(bytes);
        self.untold_bytes += as_u64(bytes);
    }

    /// Renames `name` to `name.1`, `name.1` to `name.2` and so on, and begins a new file.
    fn rotate(&mut self) -> io::Result<()> {
        let directory = self.directory.as_fd();
        for number in (1..self.limits.rotated_files).rev() {
            let from = format!("{}.{number}", self.name);
            let to = format!("{}.{}", self.name, number + 1);
            accept_missing(renameat(directory, from, directory, to))?;
        }
        if self.limits.rotated_files > 0 {
            let to = format!("{}.1", self.name);
            accept_missing(renameat(directory, &self.name, directory, to))?;
        }
        self.file = open_fresh(directory, &self.name)?;
        self.bytes = 0;
        self.rotations += 1;
        let oldest = self
            .rotations
            .saturating_sub(u64::from(self.limits.rotated_files));
        self.index.forget_before(directory, oldest)
    }
}

/// How much of `chunk` goes into the current file: all that fits, up to the last line end in it if there is
/// one, and at least something if the file is empty.
fn cut(chunk: &[u8], room: usize, file_is_empty: bool) -> usize {
    if chunk.len() <= room {
        return chunk.len();
    }
    let fits = &chunk[..room];
    match fits.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => end + 1,
        None if file_is_empty => room.max(1),
        None => 0,
    }
}

/// A pipe and the file its bytes go to.
#[derive(Debug)]
pub struct Pump {
    pipe: File,
    file: StreamFile,
}

impl Pump {
    /// Joins the reading end of a pipe, which must not block, with a file.
    pub fn new(pipe: OwnedFd, file: StreamFile) -> Self {
        Self {
            pipe: pipe.into(),
            file,
        }
    }

    /// Moves one chunk. `false` once every writer is gone and the pipe is empty.
    pub fn turn(&mut self, stamp: Stamp) -> bool {
        let mut buffer = [0; CHUNK_BYTES];
        match self.pipe.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.file.append(&buffer[..length], stamp);
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    /// What could not be kept so far.
    pub const fn loss(&self) -> Loss {
        self.file.loss()
    }

    /// Moves what is left after the container's end.
    pub fn drain(&mut self, stamp: Stamp) {
        for _ in 0..=PIPE_BYTES / CHUNK_BYTES {
            if !self.turn(stamp) {
                return;
            }
        }
    }
}

impl AsFd for Pump {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Makes an empty file in place of whatever has the name.
fn open_fresh(directory: BorrowedFd<'_>, name: &str) -> io::Result<File> {
    accept_missing(unlinkat(directory, name, AtFlags::empty()))?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o644);
    Ok(openat(directory, name, flags | OFlags::CLOEXEC, mode)?.into())
}

fn accept_missing(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    const LIMITS: LogLimits = LogLimits {
        file_bytes: 10,
        rotated_files: 2,
    };

    fn stream(dir: &Path, limits: LogLimits) -> StreamFile {
        let directory = File::open(dir).unwrap().into();
        StreamFile::create(directory, "stdout", limits).unwrap()
    }

    fn stamp(number: u64) -> Stamp {
        Stamp {
            time_ms: 1000 * number,
            sequence: number,
        }
    }

    fn contents(dir: &Path) -> Vec<String> {
        let names = ["stdout.2", "stdout.1", "stdout"];
        let read = |name: &&str| fs::read_to_string(dir.join(name)).ok();
        names.iter().filter_map(read).collect()
    }

    #[test]
    fn rotates_by_size_and_keeps_lines_whole() {
        let cases: [(&[&str], &[&str]); 5] = [
            (&["12345\n"], &["12345\n"]),
            (&["12345\n", "6789\n"], &["12345\n", "6789\n"]),
            (&["1\n2\n3\n4\n5\n6\n7\n"], &["1\n2\n3\n4\n5\n", "6\n7\n"]),
            (
                &["0123456789abcdefghijklm"],
                &["0123456789", "abcdefghij", "klm"],
            ),
            (
                &["aaaaaaaaa\n", "bbbbbbbbb\n", "ccccccccc\n", "d"],
                &["bbbbbbbbb\n", "ccccccccc\n", "d"],
            ),
        ];
        for (chunks, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let mut stream = stream(dir.path(), LIMITS);
            for (number, chunk) in (1..).zip(chunks) {
                stream.append(chunk.as_bytes(), stamp(number));
            }
            assert_eq!(contents(dir.path()), expected, "{chunks:?}");
        }
    }

    #[test]
    fn without_rotated_files_the_file_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            rotated_files: 0,
            ..LIMITS
        };
        let mut stream = stream(dir.path(), limits);
        stream.append(b"aaaaaaaaa\nbbb\n", stamp(1));
        assert_eq!(contents(dir.path()), ["bbb\n"]);
    }

    #[test]
    fn the_index_tells_times_across_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let mut stream = stream(dir.path(), LIMITS);
        for number in 1..=4 {
            stream.append(b"12345678\n", stamp(number));
        }
        let entries = read_index(&dir.path().join("stdout.index")).unwrap();
        let expected = (2..=4).map(|number| Entry {
            time_ms: 1000 * number,
            sequence: number,
            file: number - 1,
            offset: 0,
        });
        assert_eq!(
            entries,
            expected.collect::<Vec<_>>(),
            "the first file is gone, and so its entry"
        );
    }

    #[test]
    fn links_planted_by_the_container_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let mut stream = stream(dir.path(), LIMITS);
        stream.append(b"123456789\n", stamp(1));
        fs::remove_file(dir.path().join("stdout")).unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("stdout")).unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("stdout.index.new")).unwrap();
        for number in 2..=5 {
            stream.append(b"abcdefghi\n", stamp(number));
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(
            fs::read_to_string(dir.path().join("stdout")).unwrap(),
            "abcdefghi\n"
        );
    }

    #[test]
    fn what_is_lost_is_told_where_it_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            file_bytes: 1000,
            ..LIMITS
        };
        let mut stream = stream(dir.path(), limits);
        stream.append(b"before\n", stamp(1));
        let full = File::options().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut stream.file, full);
        stream.append(b"lost\n", stamp(2));
        stream.append(b"lost, too\n", stamp(3));
        let loss = |lasting| Loss { bytes: 15, lasting };
        assert_eq!(stream.loss(), loss(true));
        stream.file = file;
        stream.append(b"after\n", stamp(4));
        assert_eq!(stream.loss(), loss(false));
        let told = "before\n\nmonopod: 15 bytes that were written here are lost, the disk took none\nafter\n";
        assert_eq!(contents(dir.path()), [told]);
    }

    #[test]
    fn a_pipe_is_moved_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let limits = LogLimits {
            file_bytes: 1 << 20,
            rotated_files: 1,
        };
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let mut pump = Pump::new(reader, stream(dir.path(), limits));
        assert!(pump.turn(stamp(1)), "nothing there yet");
        let mut writer = File::from(writer);
        let flood = vec![b'x'; CHUNK_BYTES + 100];
        writer.write_all(&flood).unwrap();
        assert!(pump.turn(stamp(2)));
        let written = fs::metadata(dir.path().join("stdout")).unwrap().len();
        assert_eq!(written, as_u64(CHUNK_BYTES), "one chunk a turn");
        drop(writer);
        pump.drain(stamp(3));
        assert_eq!(fs::read(dir.path().join("stdout")).unwrap(), flood);
        assert!(!pump.turn(stamp(4)), "the end");
    }
}
