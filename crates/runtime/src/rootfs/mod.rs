//! Root filesystems, mounted in the executor's own mount namespace, so that the kernel unmounts them with it.
//!
//! - An image is an overlay of its layers below a writable directory of the run.
//! - The host's own root, for containers without an image, is by default an overlay too, with the root
//!   filesystem alone as the lower layer; see [`host`] for what is shown of the host's other mounts.
//!
//! Device files of a root filesystem do not work (`nodev`): containers get theirs from the `/dev` that
//! libcontainer mounts.

pub mod host;
mod overlay;

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::{launch::Rootfs, mountinfo};

/// A root filesystem that could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// The writable layer is on a filesystem that cannot hold one.
    #[error(
        "use {path} for a writable layer: it is on an overlay filesystem itself; keep the state directory on \
         another filesystem (a volume or a tmpfs), or set host_rootfs to read-only"
    )]
    WritableOnOverlay {
        /// The directory.
        path: PathBuf,
    },
    /// A volume or sandbox cannot be mounted for want of a directory.
    #[error(
        "mount at {path}: the host's root is not to be changed and has nothing of that name to mount over"
    )]
    NoMountPoint {
        /// Path inside the container.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RootfsError {
    fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// Mounts a root filesystem at `target`, an existing directory. To be called in a mount namespace of one's
/// own whose mounts do not propagate to the host. `mount_points` are the paths inside the container at which
/// something will be mounted (sandbox, volumes): where they lie in covered directories, they are made here.
///
/// # Errors
/// The first step that failed; what was mounted stays until the namespace ends.
pub fn mount(rootfs: &Rootfs, target: &Path, mount_points: &[PathBuf]) -> Result<(), RootfsError> {
    match rootfs {
        Rootfs::Image { layers, writable } => overlay::mount(layers, writable, target),
        Rootfs::HostOverlay { writable, covered } => {
            overlay::mount(&[PathBuf::from("/")], writable, target)?;
            bind_host(host::Access::Private, target, covered, mount_points)
        }
        Rootfs::HostReadOnly { covered } => {
            host::bind_root(host::Access::ReadOnly, target)?;
            bind_host(host::Access::ReadOnly, target, covered, mount_points)
        }
        Rootfs::HostReadWrite { covered } => {
            host::bind_root(host::Access::ReadWrite, target)?;
            bind_host(host::Access::ReadWrite, target, covered, mount_points)
        }
    }
}

fn bind_host(
    access: host::Access,
    target: &Path,
    covered: &[PathBuf],
    mount_points: &[PathBuf],
) -> Result<(), RootfsError> {
    let mounts = mountinfo::read()
        .map_err(|source| RootfsError::io("read", Path::new("/proc/self/mountinfo"), source))?;
    for submount in host::submounts(&mounts, access, covered, target) {
        host::bind(&submount, target)?;
    }
    if access == host::Access::Private {
        host::carry_resolver(target)?;
    }
    for dir in host::outermost(covered) {
        host::cover(dir, target, mount_points)?;
    }
    if access == host::Access::Private {
        return Ok(());
    }
    mount_points
        .iter()
        .try_for_each(|path| require(target, path))
}

/// Checks that a path exists below `target`, with symbolic links resolved as the container will see them.
fn require(target: &Path, path: &Path) -> Result<(), RootfsError> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(target, flags, Mode::empty())
        .map_err(|source| RootfsError::io("open", target, source))?;
    match rustix::fs::openat2(&root, inside, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(RootfsError::NoMountPoint {
                path: path.to_owned(),
            })
        }
        Err(source) => Err(RootfsError::io("open", path, source)),
    }
}

#[cfg(test)]
mod tests;
