//! A directory that is filled with what strangers name, and that nothing of it can leave.
//!
//! Every path is taken apart here: `..` is refused, a leading slash means the tree's root. Directories on the way are
//! opened by `openat2` with RESOLVE_IN_ROOT, so a symbolic link that was planted earlier leads to a place inside the
//! tree or nowhere. The last component is only ever used with calls that do not follow links.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::{self as rfs, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timestamps, XattrFlags},
    io::Errno,
};

use super::entry::{Components, EntryError, Metadata, refused, system};

/// The attribute by which overlayfs hides what lower layers have in a directory.
pub(super) const OPAQUE: &str = "trusted.overlay.opaque";

/// What an entry's place holds already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Present {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

/// The tree.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    /// The directory used last: archives list a directory's entries one after another.
    last: Option<(PathBuf, Rc<OwnedFd>)>,
}

impl Tree {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = rfs::openat(CWD, root, directory_flags(), Mode::empty())?;
        Ok(Self {
            root: Rc::new(root),
            last: None,
        })
    }

    /// The directory at this path. Missing ones on the way are made, root's and 0755.
    pub(super) fn directory(&mut self, path: &Path) -> Result<Rc<OwnedFd>, EntryError> {
        if path.as_os_str().is_empty() {
            return Ok(Rc::clone(&self.root));
        }
        if let Some((last, directory)) = &self.last
            && last == path
        {
            return Ok(Rc::clone(directory));
        }
        let directory = match self.existing(path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => self.make_on_the_way(path)?,
            Err(errno) => return Err(system("open its directory")(errno)),
        };
        self.last = Some((path.to_path_buf(), Rc::clone(&directory)));
        Ok(directory)
    }

    fn existing(&self, path: &Path) -> Result<Rc<OwnedFd>, Errno> {
        resolve(self.root.as_fd(), path, directory_flags()).map(Rc::new)
    }

    fn make_on_the_way(&self, path: &Path) -> Result<Rc<OwnedFd>, EntryError> {
        let mut directory = Rc::clone(&self.root);
        let mut reached = PathBuf::new();
        for name in path {
            reached.push(name);
            directory = match self.existing(&reached) {
                Ok(next) => next,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    if present(&directory, name)? == Present::Other {
                        return Err(refused(
                            "its path leads through something that is no directory",
                        ));
                    }
                    let made = make_directory(&directory, name)?;
                    rfs::fchmod(&made, Mode::from_raw_mode(0o755))
                        .map_err(system("make its directory"))?;
                    Rc::new(made)
                }
                Err(errno) => return Err(system("open its directory")(errno)),
            };
        }
        Ok(directory)
    }

    /// Makes a directory, or takes the one that is there, and sets its owner and permissions (not its times).
    pub(super) fn put_directory(
        &mut self,
        path: &Components,
        metadata: &Metadata,
    ) -> Result<OwnedFd, EntryError> {
        let directory = match path.split() {
            None => resolve(self.root.as_fd(), Path::new("."), directory_flags())
                .map_err(system("open the root"))?,
            Some((parent, name)) => {
                let parent = self.directory(&parent)?;
                match present(&parent, name)? {
                    Present::Directory => {
                        rfs::openat(&parent, name, directory_flags(), Mode::empty())
                            .map_err(system("open the directory"))?
                    }
                    Present::Nothing | Present::Whiteout => make_directory(&parent, name)?,
                    Present::Other => {
                        self.remove(&parent, name)?;
                        make_directory(&parent, name)?
                    }
                }
            }
        };
        own(&directory, metadata)?;
        Ok(directory)
    }

    /// Writes a file of at most `limit_bytes`. Returns it and its size.
    pub(super) fn put_file(
        &mut self,
        path: &Components,
        metadata: &Metadata,
        data: &mut dyn Read,
        limit_bytes: u64,
    ) -> Result<(File, u64), EntryError> {
        let (parent, name) = self.cleared(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rfs::openat(&parent, name, flags, Mode::from_raw_mode(0o600))
            .map_err(system("make the file"))?;
        let mut file = File::from(file);
        let size = io::copy(&mut data.take(limit_bytes.saturating_add(1)), &mut file).map_err(
            |source| EntryError::System {
                action: "write the file",
                source,
            },
        )?;
        if size > limit_bytes {
            return Err(refused("the layer holds more data than is accepted"));
        }
        own(&file, metadata)?;
        Ok((file, size))
    }

    /// Makes a symbolic link whose target is kept as it is.
    pub(super) fn put_symlink(
        &mut self,
        path: &Components,
        metadata: &Metadata,
        target: &[u8],
    ) -> Result<(), EntryError> {
        let (parent, name) = self.cleared(path)?;
        rfs::symlinkat(OsStr::from_bytes(target), &parent, name)
            .map_err(system("make the symbolic link"))?;
        own_unopened(&parent, name, metadata)
    }

    /// Makes a named pipe.
    pub(super) fn put_fifo(
        &mut self,
        path: &Components,
        metadata: &Metadata,
    ) -> Result<(), EntryError> {
        let (parent, name) = self.cleared(path)?;
        rfs::mknodat(&parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .map_err(system("make the pipe"))?;
        own_unopened(&parent, name, metadata)?;
        // No link to follow: it was just made here.
        rfs::chmodat(&parent, name, metadata.mode, AtFlags::empty())
            .map_err(system("set its permissions"))?;
        // Changing owner and permissions leaves the modification time.
        Ok(())
    }

    /// Makes another name for something that this tree has already.
    pub(super) fn put_hard_link(
        &mut self,
        path: &Components,
        target: &Components,
    ) -> Result<(), EntryError> {
        let missing = "its hard link's target is not in this layer";
        let (target_parent, target_name) = target
            .split()
            .ok_or(refused("its hard link's target is the root"))?;
        let target_parent = if target_parent.as_os_str().is_empty() {
            Rc::clone(&self.root)
        } else {
            self.existing(&target_parent)
                .map_err(|_| refused(missing))?
        };
        match present(&target_parent, target_name)? {
            Present::Other => {}
            Present::Nothing | Present::Whiteout => return Err(refused(missing)),
            Present::Directory => return Err(refused("its hard link's target is a directory")),
        }
        let (parent, name) = path.split().ok_or(refused("it would replace the root"))?;
        let parent = self.directory(&parent)?;
        if same_file(&parent, name, &target_parent, target_name) {
            return Ok(());
        }
        self.clear(&parent, name)?;
        rfs::linkat(&target_parent, target_name, &parent, name, AtFlags::empty())
            .map_err(system("make the hard link"))
    }

    /// Hides what lower layers have at this path. What this layer itself has there stays (OCI image specification,
    /// "Whiteouts").
    pub(super) fn put_whiteout(&mut self, parent: &Path, name: &OsStr) -> Result<(), EntryError> {
        let parent = self.directory(parent)?;
        match present(&parent, name)? {
            Present::Nothing => make_whiteout(&parent, name),
            Present::Directory => {
                let directory = rfs::openat(&parent, name, directory_flags(), Mode::empty())
                    .map_err(system("open the directory"))?;
                make_opaque(&directory)
            }
            Present::Whiteout | Present::Other => Ok(()),
        }
    }

    /// Hides everything lower layers have in this directory.
    pub(super) fn put_opaque(&mut self, directory: &Path) -> Result<(), EntryError> {
        make_opaque(self.directory(directory)?)
    }

    /// Sets a directory's times, if it is still there.
    pub(super) fn touch_directory(
        &self,
        path: &Path,
        times: &Timestamps,
    ) -> Result<(), EntryError> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        match resolve(self.root.as_fd(), path, directory_flags()) {
            Ok(directory) => rfs::futimens(directory, times).map_err(system("set its times")),
            Err(_) => Ok(()),
        }
    }

    fn cleared<'a>(
        &mut self,
        path: &'a Components,
    ) -> Result<(Rc<OwnedFd>, &'a OsStr), EntryError> {
        let (parent, name) = path.split().ok_or(refused("it would replace the root"))?;
        let parent = self.directory(&parent)?;
        self.clear(&parent, name)?;
        Ok((parent, name))
    }

    fn clear(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), EntryError> {
        match present(parent, name)? {
            Present::Nothing => Ok(()),
            Present::Directory | Present::Whiteout | Present::Other => self.remove(parent, name),
        }
    }

    /// Removes what is there, a directory with everything in it.
    fn remove(&mut self, parent: &OwnedFd, name: &OsStr) -> Result<(), EntryError> {
        self.last = None;
        match rfs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::ISDIR) => {
                std::fs::remove_dir_all(through_descriptor(parent, name)).map_err(|source| {
                    EntryError::System {
                        action: "remove what it replaces",
                        source,
                    }
                })
            }
            Err(errno) => Err(system("remove what it replaces")(errno)),
        }
    }
}

/// Sets an attribute of something open.
pub(super) fn set_attribute(file: impl AsFd, name: &str, value: &[u8]) -> Result<(), Errno> {
    rfs::fsetxattr(file, name, value, XattrFlags::empty())
}

/// Whether these are the properties of an overlayfs whiteout.
pub(super) fn is_whiteout(stat: &rfs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Flags to open a directory for working in it.
pub(super) fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens a path as if `root` were the root directory. The last component may be a link here.
fn resolve(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags - OFlags::NOFOLLOW;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    loop {
        match rfs::openat2(root, path, flags, Mode::empty(), resolve) {
            // The kernel asks to try again when something was renamed anywhere meanwhile.
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

fn present(parent: &OwnedFd, name: &OsStr) -> Result<Present, EntryError> {
    match rfs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(Present::Nothing),
        Err(errno) => Err(system("look at its place")(errno)),
        Ok(stat) if is_whiteout(&stat) => Ok(Present::Whiteout),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Ok(Present::Directory)
        }
        Ok(_) => Ok(Present::Other),
    }
}

/// Makes a directory where nothing or a whiteout is. After a whiteout it hides the lower layers' entries.
fn make_directory(parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd, EntryError> {
    let hides = present(parent, name)? == Present::Whiteout;
    if hides {
        rfs::unlinkat(parent, name, AtFlags::empty()).map_err(system("replace a whiteout"))?;
    }
    rfs::mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(system("make the directory"))?;
    let directory = rfs::openat(parent, name, directory_flags(), Mode::empty())
        .map_err(system("open the directory"))?;
    if hides {
        make_opaque(&directory)?;
    }
    Ok(directory)
}

fn make_whiteout(parent: &OwnedFd, name: &OsStr) -> Result<(), EntryError> {
    rfs::mknodat(parent, name, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(system("make the whiteout"))
}

fn make_opaque(directory: impl AsFd) -> Result<(), EntryError> {
    set_attribute(directory, OPAQUE, b"y").map_err(system("mark the directory opaque"))
}

/// Owner first: changing it takes the set-id bits away.
fn own(file: impl AsFd, metadata: &Metadata) -> Result<(), EntryError> {
    rfs::fchown(&file, Some(metadata.uid), Some(metadata.gid)).map_err(system("set its owner"))?;
    rfs::fchmod(&file, metadata.mode).map_err(system("set its permissions"))
}

fn own_unopened(parent: &OwnedFd, name: &OsStr, metadata: &Metadata) -> Result<(), EntryError> {
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    rfs::chownat(
        parent,
        name,
        Some(metadata.uid),
        Some(metadata.gid),
        nofollow,
    )
    .map_err(system("set its owner"))?;
    rfs::utimensat(parent, name, &metadata.times, nofollow).map_err(system("set its times"))
}

fn same_file(parent: &OwnedFd, name: &OsStr, other: &OwnedFd, other_name: &OsStr) -> bool {
    let stat = |parent: &OwnedFd, name: &OsStr| {
        rfs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| (stat.st_dev, stat.st_ino))
    };
    match (stat(parent, name), stat(other, other_name)) {
        (Ok(one), Ok(two)) => one == two,
        (_, _) => false,
    }
}

/// A path to an entry that depends on no other entry's name.
fn through_descriptor(parent: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd")
        .join(parent.as_raw_fd().to_string())
        .join(name)
}
