//! Looking into a stack of layers without mounting it, as overlayfs would show it.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::{self as rfs, AtFlags, CWD, FileType, Mode, OFlags},
    io::Errno,
};
use thiserror::Error;

use super::tree::{OPAQUE, directory_flags, is_whiteout};

/// How many symbolic links a path may lead through (linux: `MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// A root filesystem made of directories, topmost first. One directory is a stack too.
///
/// Every path is resolved inside: absolute links and `..` never lead out of the stack, and no file of it is opened
/// in a way that could block or act.
#[derive(Debug)]
pub struct LayeredRoot {
    layers: Merged,
}

/// The directories that overlayfs merges into one, topmost first.
type Merged = Vec<Rc<OwnedFd>>;

/// What a path leads to.
#[derive(Debug)]
pub enum Entry {
    /// A regular file.
    File {
        /// The file, open for reading.
        file: File,
        /// The twelve permission bits.
        mode: u32,
    },
    /// A directory.
    Directory,
    /// A device, pipe or socket.
    Other,
}

/// Why a path could not be followed.
#[derive(Debug, Error)]
pub enum LookupError {
    /// A layer could not be opened.
    #[error("open the layer {path}")]
    Layer {
        /// The layer.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Something on the way could not be read.
    #[error("look up {path} in the root filesystem")]
    System {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Links lead in a circle.
    #[error("look up {path} in the root filesystem: too many symbolic links")]
    Links {
        /// The path.
        path: PathBuf,
    },
    /// The file is beyond any real one.
    #[error("read {path} in the root filesystem: it has more than {limit_bytes} bytes")]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
}

impl LayeredRoot {
    /// Opens the layers, topmost first (as in [`super::Image::layers`]).
    pub fn open(layers: &[PathBuf]) -> Result<Self, LookupError> {
        let open = |path: &PathBuf| {
            rfs::openat(
                CWD,
                path,
                directory_flags() - OFlags::NOFOLLOW,
                Mode::empty(),
            )
            .map(Rc::new)
            .map_err(|errno| LookupError::Layer {
                path: path.clone(),
                source: errno.into(),
            })
        };
        Ok(Self {
            layers: layers.iter().map(open).collect::<Result<_, _>>()?,
        })
    }

    /// What is at this path, through symbolic links; `None` for nothing.
    pub fn entry(&self, path: &Path) -> Result<Option<Entry>, LookupError> {
        let failed = |errno: Errno| LookupError::System {
            path: path.to_path_buf(),
            source: errno.into(),
        };
        let mut stack: Vec<Merged> = vec![self.layers.clone()];
        let mut left: Vec<OsString> = components(path);
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                stack.truncate(stack.len().saturating_sub(1).max(1));
                continue;
            }
            let merged = stack.last().expect("the root is never popped");
            match find(merged, &name).map_err(failed)? {
                Found::Nothing => return Ok(None),
                Found::Directory(merged) => stack.push(merged),
                Found::Link(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(LookupError::Links {
                            path: path.to_path_buf(),
                        });
                    }
                    if target.is_absolute() {
                        stack.truncate(1);
                    }
                    left.extend(components(&target));
                }
                Found::File(_) | Found::Other if !left.is_empty() => return Ok(None),
                Found::File(parent) => return open_file(&parent, &name).map(Some).map_err(failed),
                Found::Other => return Ok(Some(Entry::Other)),
            }
        }
        Ok(Some(Entry::Directory))
    }

    /// A file's content; `None` where there is no such file.
    pub fn read(&self, path: &Path, limit_bytes: u64) -> Result<Option<Vec<u8>>, LookupError> {
        let Some(Entry::File { file, .. }) = self.entry(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| LookupError::System {
                path: path.to_path_buf(),
                source,
            })?;
        if bytes.len() as u64 > limit_bytes {
            return Err(LookupError::TooLarge {
                path: path.to_path_buf(),
                limit_bytes,
            });
        }
        Ok(Some(bytes))
    }
}

enum Found {
    Nothing,
    Directory(Merged),
    Link(PathBuf),
    /// With the directory it is in.
    File(Rc<OwnedFd>),
    Other,
}

/// Finds a name in a merged directory (linux: `Documentation/filesystems/overlayfs.rst`).
fn find(merged: &Merged, name: &OsStr) -> Result<Found, Errno> {
    let mut directories = Merged::new();
    for layer in merged {
        let stat = match rfs::statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let directory = rfs::openat(layer, name, directory_flags(), Mode::empty())?;
            let opaque = is_opaque(&directory);
            directories.push(Rc::new(directory));
            if opaque {
                break;
            }
            continue;
        }
        // Below a directory a file or a whiteout only ends what is merged.
        if !directories.is_empty() || is_whiteout(&stat) {
            break;
        }
        return Ok(if kind == FileType::Symlink {
            let target = rfs::readlinkat(layer, name, Vec::new())?;
            Found::Link(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
        } else if kind == FileType::RegularFile {
            Found::File(Rc::clone(layer))
        } else {
            Found::Other
        });
    }
    if directories.is_empty() {
        return Ok(Found::Nothing);
    }
    Ok(Found::Directory(directories))
}

fn open_file(parent: &OwnedFd, name: &OsStr) -> Result<Entry, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rfs::openat(parent, name, flags, Mode::empty())?;
    let stat = rfs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Entry::Other);
    }
    Ok(Entry::File {
        file: file.into(),
        mode: stat.st_mode & 0o7777,
    })
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 2];
    matches!(rfs::fgetxattr(directory, OPAQUE, &mut value), Ok(1) if value[0] == b'y')
}

/// Components in the order in which they are popped.
fn components(path: &Path) -> Vec<OsString> {
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    let named = parts.filter(|part| !part.is_empty() && *part != b".");
    let mut components: Vec<_> = named
        .map(|part| OsStr::from_bytes(part).to_owned())
        .collect();
    components.reverse();
    components
}
