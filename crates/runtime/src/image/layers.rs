//! The store's layers: made in scratch directories, complete under their final names, locked while in use.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock, syncfs};
use tempfile::TempDir;

use super::{
    ImageError,
    candidate::Layer,
    digest::{Digest, Hashing},
    record::failed,
    source::{Source, decompressed},
    tar_stream::TarError,
    tree::OPAQUE,
    unpack::{self, Limits, UnpackError, Unpacked},
};

/// `layers` and `scratch` of a store.
#[derive(Debug)]
pub(super) struct Layers {
    root: PathBuf,
    limits: Limits,
}

impl Layers {
    /// Makes the directories and removes what a crash left in them. `root` is absolute.
    pub(super) fn open(root: &Path, limits: Limits) -> Result<Self, ImageError> {
        make_directory(&root.join("layers"))?;
        make_directory(&root.join("scratch"))?;
        let layers = Self {
            root: root.to_path_buf(),
            limits,
        };
        layers.remove_leftovers()?;
        Ok(layers)
    }

    /// What a layer and an archive may have.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the layer is here, complete.
    pub(super) fn has(&self, diff_id: &Digest) -> bool {
        self.place(diff_id).is_dir()
    }

    /// The layer's tree, as overlayfs takes it.
    pub(super) fn tree(&self, diff_id: &Digest) -> PathBuf {
        self.place(diff_id).join("fs")
    }

    fn place(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// Bytes in the layer's files; 0 if that is not known.
    pub(super) fn bytes(&self, layer: &Digest) -> u64 {
        fs::read(self.place(layer).join("layer.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Unpacked>(&bytes).ok())
            .map_or(0, |unpacked| unpacked.bytes)
    }

    /// Unpacks a layer of a source, which is not here yet.
    pub(super) fn add(&self, source: &Source, layer: &Layer) -> Result<Unpacked, ImageError> {
        let scratch = self.scratch()?;
        let path = scratch.path();
        let broken = |source| failed("fill", path, source);
        let tree = path.join("fs");
        fs::create_dir(&tree).map_err(broken)?;
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).map_err(broken)?;
        let unpacked = unpack_checked(source, layer, &tree, self.limits)?;
        let info = serde_json::to_vec(&unpacked).expect("figures are plain data");
        fs::write(path.join("layer.json"), info).map_err(broken)?;
        syncfs(&scratch.lock).map_err(|errno| failed("flush", path, errno.into()))?;
        let place = self.place(&layer.diff_id);
        match fs::rename(path, &place) {
            Ok(()) => {
                scratch.keep();
                let parent = self.root.join("layers");
                File::open(&parent)
                    .and_then(|parent| parent.sync_all())
                    .map_err(|source| failed("flush", &parent, source))?;
            }
            // Somebody else was faster with the same content.
            Err(_) if place.is_dir() => {}
            Err(source) => return Err(failed("complete", &place, source)),
        }
        Ok(unpacked)
    }

    /// Held while scratch directories come and go, so that nobody takes a new one for a leftover.
    fn scratch_lock(&self) -> Result<File, ImageError> {
        let path = self.root.join("scratch");
        let attempt = || -> io::Result<File> {
            let directory = File::open(&path)?;
            flock(&directory, FlockOperation::LockExclusive)?;
            Ok(directory)
        };
        attempt().map_err(|source| failed("lock", &path, source))
    }

    /// A directory to work in.
    pub(super) fn scratch(&self) -> Result<Scratch, ImageError> {
        let path = self.root.join("scratch");
        let _making = self.scratch_lock()?;
        let attempt = || -> io::Result<Scratch> {
            let directory = tempfile::tempdir_in(&path)?;
            let lock = File::open(directory.path())?;
            flock(&lock, FlockOperation::LockExclusive)?;
            Ok(Scratch { directory, lock })
        };
        attempt().map_err(|source| failed("make a directory in", &path, source))
    }

    /// Removes scratch directories that nobody works in. One that cannot be removed is only space.
    fn remove_leftovers(&self) -> Result<(), ImageError> {
        let path = self.root.join("scratch");
        let _removing = self.scratch_lock()?;
        let entries = fs::read_dir(&path).map_err(|source| failed("list", &path, source))?;
        for entry in entries.flatten() {
            let Ok(directory) = File::open(entry.path()) else {
                continue;
            };
            if flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "an unfinished layer stays");
            }
        }
        Ok(())
    }
}

/// A directory for work in progress; removed unless kept.
pub(super) struct Scratch {
    directory: TempDir,
    lock: File,
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// It has another name now.
    fn keep(self) {
        let _old_name = self.directory.keep();
    }
}

/// Shared locks on layers. While they are held nobody removes the layers; the kernel drops them with the process.
#[derive(Debug)]
pub struct LayerLocks {
    _layers: Vec<OwnedFd>,
}

impl LayerLocks {
    /// Locks the layers with these directories (as in [`Image::layers`]); waits while one is being added or
    /// removed, and is an error if it is gone then.
    pub fn hold(layers: &[PathBuf]) -> Result<Self, ImageError> {
        let lock = |layer: &PathBuf| {
            let path = layer.parent().unwrap_or(layer);
            let attempt = || -> io::Result<OwnedFd> {
                let directory = File::open(path)?;
                flock(&directory, FlockOperation::LockShared)?;
                // Removal renames first: what is locked must still be what has the name.
                let (locked, named) = (directory.metadata()?, fs::metadata(path)?);
                if (locked.dev(), locked.ino()) != (named.dev(), named.ino()) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                Ok(directory.into())
            };
            attempt().map_err(|source| failed("lock", path, source))
        };
        let layers = layers.iter().map(lock).collect::<Result<_, _>>()?;
        Ok(Self { _layers: layers })
    }
}

/// Unpacks a layer and compares it with both its digests. What was unpacked from bad content is never used.
fn unpack_checked(
    source: &Source,
    layer: &Layer,
    tree: &Path,
    limits: Limits,
) -> Result<Unpacked, ImageError> {
    let file = source.file(&layer.file);
    let unreadable = |source| ImageError::Read {
        file: file.clone(),
        source,
    };
    let mut stored = Hashing::new(source.open_file(&layer.file)?, u64::MAX);
    let outcome = decompressed(&mut stored)
        .map_err(|source| UnpackError::from(TarError::from(source)))
        .and_then(|plain| unpack::unpack(Hashing::new(plain, limits.bytes), tree, limits))
        .and_then(|(unpacked, plain)| {
            let end = plain.finish().map_err(TarError::from)?;
            Ok((unpacked, end.0))
        });
    // Damage shows as nonsense in the archive first; its digest tells it for what it is.
    let (stored, _) = stored.finish().map_err(unreadable)?;
    let check = |expected: Option<&Digest>, found: Digest| match expected {
        Some(expected) if *expected != found => Err(ImageError::Digest {
            file: file.clone(),
            expected: expected.clone(),
            found,
        }),
        Some(_) | None => Ok(()),
    };
    check(layer.digest.as_ref(), stored)?;
    let (unpacked, plain) = outcome.map_err(|source| ImageError::Unpack {
        file: file.clone(),
        source,
    })?;
    check(Some(&layer.diff_id), plain)?;
    Ok(unpacked)
}

/// Whether overlayfs should take nothing below this layer.
pub(super) fn is_opaque(directory: &Path) -> bool {
    matches!(xattr::get(directory, OPAQUE), Ok(Some(value)) if value == b"y")
}

/// Makes a directory of the store. Files in layers keep their owners and set-id bits: nobody but root may come near.
pub(super) fn make_directory(path: &Path) -> Result<(), ImageError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| failed("make", path, source))
}
