//! Where images are imported from: a directory or an archive, read by the names of the files in it.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt, fs::FileExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use rustix::fs::{self as rfs, CWD, Mode, OFlags, ResolveFlags};
use serde::de::DeserializeOwned;

use super::{
    ImageError,
    digest::Digest,
    tar_stream::{Kind as MemberKind, TarStream},
    unpack::Limits,
};

/// The most bytes of an index, a manifest or a configuration.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

/// The most files of an archive of images. A hundred images of a hundred layers have a tenth of it.
const ARCHIVE_ENTRIES_MAX: usize = 100_000;

/// How often one name may lead to another in an archive.
const LINKS_MAX: usize = 8;

/// A place that holds images.
pub(super) struct Source {
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Directory(OwnedFd),
    Archive {
        file: Arc<File>,
        index: HashMap<String, Place>,
    },
}

enum Place {
    Data { offset: u64, size: u64 },
    Link(String),
}

impl Source {
    /// Opens a directory or an archive. A compressed archive is written out below `scratch` first.
    pub(super) fn open(path: &Path, scratch: &Path, limits: Limits) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Read {
            file: path.to_path_buf(),
            source,
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened =
            rfs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let file = File::from(opened);
        let metadata = file.metadata().map_err(failed)?;
        let kind = if metadata.is_dir() {
            Kind::Directory(file.into())
        } else if metadata.is_file() {
            let file = Arc::new(plain(file, scratch, limits).map_err(failed)?);
            let index = index(&file).map_err(|source| ImageError::Archive {
                file: path.to_path_buf(),
                source,
            })?;
            Kind::Archive { file, index }
        } else {
            return Err(ImageError::NotAnImage {
                path: path.to_path_buf(),
                found: "neither a directory nor a file".to_owned(),
            });
        };
        Ok(Self {
            path: path.to_path_buf(),
            kind,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of a file in it, for messages.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file's data; `None` if there is no such file.
    pub(super) fn find(&self, name: &str) -> Result<Option<Box<dyn Read>>, ImageError> {
        let failed = |source| ImageError::Read {
            file: self.file(name),
            source,
        };
        match &self.kind {
            Kind::Directory(directory) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                match rfs::openat2(directory, name, flags, Mode::empty(), resolve) {
                    Ok(file) => {
                        let file = File::from(file);
                        if !file.metadata().map_err(failed)?.is_file() {
                            return Err(failed(io::Error::other("it is no file")));
                        }
                        Ok(Some(Box::new(BufReader::with_capacity(1 << 17, file))))
                    }
                    Err(rustix::io::Errno::NOENT) => Ok(None),
                    Err(errno) => Err(failed(errno.into())),
                }
            }
            Kind::Archive { file, index } => {
                let mut name = name;
                for _ in 0..LINKS_MAX {
                    match index.get(name) {
                        None => return Ok(None),
                        Some(Place::Link(target)) => name = target,
                        Some(Place::Data { offset, size }) => {
                            return Ok(Some(Box::new(BufReader::with_capacity(
                                1 << 17,
                                Slice {
                                    file: Arc::clone(file),
                                    offset: *offset,
                                    left: *size,
                                },
                            ))));
                        }
                    }
                }
                Err(failed(io::Error::other("its links lead in a circle")))
            }
        }
    }

    /// A file's data.
    pub(super) fn open_file(&self, name: &str) -> Result<Box<dyn Read>, ImageError> {
        self.find(name)?.ok_or_else(|| ImageError::Missing {
            file: self.file(name),
        })
    }

    /// A small file, whole, checked against its digest where one is known.
    pub(super) fn document(
        &self,
        name: &str,
        expected: Option<&Digest>,
    ) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        self.open_file(name)?
            .take(DOCUMENT_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| ImageError::Read {
                file: self.file(name),
                source,
            })?;
        if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(ImageError::TooLarge {
                file: self.file(name),
                limit_bytes: DOCUMENT_BYTES_MAX,
            });
        }
        if let Some(expected) = expected {
            let found = Digest::of(&bytes);
            if found != *expected {
                return Err(ImageError::Digest {
                    file: self.file(name),
                    expected: expected.clone(),
                    found,
                });
            }
        }
        Ok(bytes)
    }

    /// Understands a document that was read from `name`.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<T, ImageError> {
        serde_json::from_slice(bytes).map_err(|source| ImageError::Json {
            file: self.file(name),
            source,
        })
    }
}

/// Undoes a stream's compression, told by its first bytes: gzip, zstd or none.
pub(super) fn decompressed<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut stream = BufReader::with_capacity(1 << 17, stream);
    let mut magic = [0; 4];
    let mut filled = 0;
    while filled < magic.len() {
        match stream.read(&mut magic[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    let stream = io::Cursor::new(magic).take(filled as u64).chain(stream);
    Ok(match magic {
        [0x1f, 0x8b, _, _] => Box::new(MultiGzDecoder::new(stream)),
        // A frame, or a skippable one, which may come first.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::stream::read::Decoder::new(stream)?)
        }
        _ => Box::new(stream),
    })
}

/// A file whose bytes are an archive's own: the file itself, or a nameless copy without the compression.
fn plain(file: File, scratch: &Path, limits: Limits) -> io::Result<File> {
    let mut magic = [0; 4];
    let read = file.read_at(&mut magic, 0)?;
    let compressed = magic[..2] == [0x1f, 0x8b] || magic == [0x28, 0xb5, 0x2f, 0xfd];
    if read < 4 || !compressed {
        return Ok(file);
    }
    let mut copy = tempfile::tempfile_in(scratch)?;
    let mut stream = decompressed(file)?.take(limits.bytes.saturating_add(1));
    if io::copy(&mut stream, &mut copy)? > limits.bytes {
        return Err(io::Error::other("more bytes than are accepted"));
    }
    Ok(copy)
}

fn index(file: &File) -> Result<HashMap<String, Place>, super::TarError> {
    let mut reader = file.try_clone()?;
    io::Seek::rewind(&mut reader)?;
    let mut stream = TarStream::seeking(reader);
    let mut index = HashMap::new();
    while let Some(member) = stream.next()? {
        let Some(name) = normal(Path::new(std::ffi::OsStr::from_bytes(&member.path))) else {
            continue;
        };
        let target = Path::new(std::ffi::OsStr::from_bytes(&member.link));
        let place = match member.kind {
            MemberKind::File => Some(Place::Data {
                offset: member.offset,
                size: member.size,
            }),
            MemberKind::HardLink => normal(target).map(Place::Link),
            // Older `docker save` writes layers that images share once and links to them.
            MemberKind::Symlink => Path::new(&name)
                .parent()
                .and_then(|parent| normal(&parent.join(target)))
                .map(Place::Link),
            MemberKind::Directory
            | MemberKind::Fifo
            | MemberKind::Device
            | MemberKind::Sparse
            | MemberKind::Unknown => None,
        };
        if let Some(place) = place {
            index.insert(name, place);
        }
        if index.len() > ARCHIVE_ENTRIES_MAX {
            return Err(io::Error::other("more than 100,000 files").into());
        }
    }
    Ok(index)
}

/// A path without `.` and `..`; `None` where it would leave the archive or is no text.
fn normal(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.to_str()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A part of a file.
struct Slice {
    file: Arc<File>,
    offset: u64,
    left: u64,
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
