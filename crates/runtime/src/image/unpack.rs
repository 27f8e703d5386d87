//! A layer's archive, applied to an empty directory.
//!
//! What is taken over: files, directories, symbolic links (targets verbatim), hard links within the layer, named
//! pipes; owners, permissions with set-id and sticky bits, modification times; `user.*` attributes and
//! `security.capability`. Whiteouts become what overlayfs understands. What is left out, and counted: device nodes
//! (the runtime makes the few a container gets), other attributes (`trusted.overlay.*` would let an image redirect
//! the overlay, `security.*` and ACLs belong to the host they came from). What is refused: paths with `..`, hard
//! links to what this layer does not have, sparse files, kinds of member that tar does not define.
//!
//! Directories that the archive does not list are made: root's, 0755. overlayfs shows a directory as its topmost layer
//! has it, so such a layer changes what a lower one said of the directory (Docker's overlay2 does the same). A layer
//! cannot know better, because it is stored once for every image that has it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Timestamps, futimens},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    entry::{self, Components, EntryError, refused, system},
    tar_stream::{Kind, Member, TarError, TarStream},
    tree::{self, Tree},
};

/// The most a layer may have. Far beyond real images; a guard against bombs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members of the archive.
    pub entries: u64,
    /// Bytes of the uncompressed archive and of the files in it.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            bytes: 128 << 30,
        }
    }
}

/// What a layer had that was not taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Device nodes.
    pub devices: u64,
    /// Extended attributes.
    pub attributes: u64,
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unpacked {
    pub(super) entries: u64,
    /// Bytes in files.
    pub(super) bytes: u64,
    pub(super) left_out: LeftOut,
}

/// Why a layer could not be unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The archive could not be read.
    #[error("read the layer")]
    Archive {
        /// The reason.
        #[from]
        source: TarError,
    },
    /// One of its entries cannot be applied.
    #[error("apply the layer's entry '{entry}'")]
    Entry {
        /// Its path in the archive.
        entry: String,
        /// The reason.
        source: EntryError,
    },
    /// It has too many entries.
    #[error("accept a layer of more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// The directory to fill could not be opened.
    #[error("open the layer's directory")]
    Root {
        /// The reason.
        source: std::io::Error,
    },
}

/// Applies every member of `archive` below `root`. Reads to the archive's last member; the stream comes back.
pub(super) fn unpack<R: Read>(
    archive: R,
    root: &Path,
    limits: Limits,
) -> Result<(Unpacked, R), UnpackError> {
    let tree = Tree::open(root).map_err(|source| UnpackError::Root { source })?;
    let mut work = Work {
        tree,
        limits,
        unpacked: Unpacked::default(),
        directories: BTreeMap::new(),
    };
    let mut stream = TarStream::new(archive);
    while let Some(member) = stream.next()? {
        work.unpacked.entries += 1;
        if work.unpacked.entries > limits.entries {
            return Err(UnpackError::TooMany {
                limit: limits.entries,
            });
        }
        work.apply(&member, &mut stream)
            .map_err(|source| entry_error(&member.path, source))?;
    }
    for (path, times) in &work.directories {
        work.tree
            .touch_directory(path, times)
            .map_err(|source| entry_error(path.as_os_str().as_bytes(), source))?;
    }
    Ok((work.unpacked, stream.into_inner()))
}

struct Work {
    tree: Tree,
    limits: Limits,
    unpacked: Unpacked,
    /// Times of directories, set at the end because filling a directory changes them.
    directories: BTreeMap<PathBuf, Timestamps>,
}

impl Work {
    fn apply(&mut self, member: &Member, data: &mut dyn Read) -> Result<(), EntryError> {
        let path = Components::new(&member.path)?;
        if path.iter().any(|name| name.as_bytes().starts_with(b".wh.")) {
            return self.whiteout(&path);
        }
        let metadata = entry::metadata(member.mode, member.uid, member.gid, member.mtime)?;
        match member.kind {
            Kind::Directory => {
                let directory = self.tree.put_directory(&path, &metadata)?;
                self.attributes(&directory, member)?;
                self.directories.insert(path.path(), metadata.times);
                Ok(())
            }
            Kind::File => {
                let left = self.limits.bytes - self.unpacked.bytes;
                let (file, size) = self.tree.put_file(&path, &metadata, data, left)?;
                self.unpacked.bytes += size;
                self.attributes(&file, member)?;
                futimens(&file, &metadata.times).map_err(system("set its times"))
            }
            Kind::Symlink => {
                self.unpacked.left_out.attributes += member.attributes.len() as u64;
                self.tree.put_symlink(&path, &metadata, &member.link)
            }
            Kind::HardLink => self
                .tree
                .put_hard_link(&path, &Components::new(&member.link)?),
            Kind::Fifo => {
                self.unpacked.left_out.attributes += member.attributes.len() as u64;
                self.tree.put_fifo(&path, &metadata)
            }
            Kind::Device => {
                self.unpacked.left_out.devices += 1;
                Ok(())
            }
            Kind::Sparse => Err(refused("it is a sparse file in GNU tar's own format")),
            Kind::Unknown => Err(refused("its kind is unknown")),
        }
    }

    /// `.wh.<name>` hides a lower layer's `<name>`, `.wh..wh.opq` everything in its directory (AUFS; OCI image
    /// specification, "Whiteouts"). Other names with `.wh..wh.` are AUFS's own and mean nothing here.
    fn whiteout(&mut self, path: &Components) -> Result<(), EntryError> {
        let own = |name: &OsStr| name.as_bytes().starts_with(b".wh..wh.");
        let (parent, name) = path
            .split()
            .ok_or(refused("it is a whiteout of the root"))?;
        if name.as_bytes() == b".wh..wh.opq" {
            return self.tree.put_opaque(&parent);
        }
        if path.iter().any(own) {
            return Ok(());
        }
        match name.as_bytes().strip_prefix(b".wh.") {
            Some(b"" | b"." | b"..") => Err(refused("it is a whiteout without a name")),
            Some(hidden) => self.tree.put_whiteout(&parent, OsStr::from_bytes(hidden)),
            None => Err(refused("it is inside a whiteout")),
        }
    }

    fn attributes(
        &mut self,
        file: impl std::os::fd::AsFd,
        member: &Member,
    ) -> Result<(), EntryError> {
        for (name, value) in &member.attributes {
            let taken = name == "security.capability"
                || (name.starts_with("user.") && !name.starts_with("user.overlay."));
            if !taken {
                self.unpacked.left_out.attributes += 1;
                continue;
            }
            match tree::set_attribute(&file, name, value) {
                Ok(()) => {}
                // Some filesystems have no attributes for users; a program works without them.
                Err(Errno::OPNOTSUPP | Errno::PERM) if name != "security.capability" => {
                    self.unpacked.left_out.attributes += 1;
                }
                Err(errno) => return Err(system("set its attributes")(errno)),
            }
        }
        Ok(())
    }
}

fn entry_error(path: &[u8], source: EntryError) -> UnpackError {
    UnpackError::Entry {
        entry: String::from_utf8_lossy(path).chars().take(300).collect(),
        source,
    }
}
