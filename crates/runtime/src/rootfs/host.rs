//! The host's own root as a container's: which of its mounts are shown, and how.
//!
//! The root filesystem alone comes first, as overlay or bind. Below it:
//!
//! - mounts of real filesystems (disks, network, images: `/home`, `/usr`, `/boot` …) are bound, read-only
//!   unless the whole root is writable;
//! - what the kernel makes up (proc, sysfs, cgroups, devices …) and other containers' overlays are left out:
//!   libcontainer mounts the container's own;
//! - a tmpfs is left out too, unless the whole root is writable: `/run` holds the sockets of the host's
//!   services, which a container must not speak to (a read-only bind would not hinder it), and `/tmp` is
//!   of use only where it can be written. The directories below show instead, private in the overlay;
//! - monopod's own directories are covered by empty ones.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    mount::{MountFlags, MountPropagationFlags},
};

use super::RootfsError;
use crate::mountinfo::MountEntry;

/// Filesystems that hold nothing of a host's own: the kernel's views, devices, other namespaces, automounters,
/// and the roots of other containers.
const LEFT_OUT: [&str; 23] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
];

/// Directories that libcontainer mounts for each container.
const OWN_OF_CONTAINERS: [&str; 3] = ["/dev", "/proc", "/sys"];

/// How the host's root is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As an overlay: writes go to a layer of the run.
    Private,
    /// Itself, read-only.
    ReadOnly,
    /// Itself, writable.
    ReadWrite,
}

/// A mount of the host to bind below the container's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submount {
    /// Where it is on the host, and in the container.
    pub path: PathBuf,
    /// Flags to bind it with; `None` keeps the host's.
    pub flags: Option<MountFlags>,
}

/// Which mounts of the host are bound, parents first. Pure. Mounts at or below `target` are the executor's own.
pub fn submounts(
    mounts: &[MountEntry],
    access: Access,
    covered: &[PathBuf],
    target: &Path,
) -> Vec<Submount> {
    let mut chosen = BTreeMap::new();
    for mount in mounts {
        let path = &mount.mount_point;
        let hidden = covered.iter().any(|dir| path.starts_with(dir));
        let own = OWN_OF_CONTAINERS.iter().any(|dir| path.starts_with(dir));
        if path == Path::new("/") || hidden || own || path.starts_with(target) {
            continue;
        }
        // The last mount at a path is the one that shows.
        if is_shown(&mount.fs_type, access) {
            chosen.insert(path.clone(), flags(mount, access));
        } else {
            chosen.remove(path);
        }
    }
    chosen
        .into_iter()
        .map(|(path, flags)| Submount { path, flags })
        .collect()
}

fn is_shown(fs_type: &str, access: Access) -> bool {
    match fs_type {
        "tmpfs" => access == Access::ReadWrite,
        other => !LEFT_OUT.contains(&other),
    }
}

fn flags(mount: &MountEntry, access: Access) -> Option<MountFlags> {
    if access == Access::ReadWrite {
        return None;
    }
    let mut flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    if mount.options.iter().any(|option| option == "noexec") {
        flags |= MountFlags::NOEXEC;
    }
    Some(flags)
}

/// The directories that are not below another one of the list, in order.
pub fn outermost(dirs: &[PathBuf]) -> Vec<&Path> {
    let below_another = |dir: &PathBuf| {
        dirs.iter()
            .any(|other| other != dir && dir.starts_with(other))
    };
    let mut dirs: Vec<_> = dirs
        .iter()
        .filter(|dir| !below_another(dir))
        .map(PathBuf::as_path)
        .collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// Binds the root filesystem itself, without what is mounted below it.
///
/// A read-only root is cut off from the host's later mounts, which would appear in it writable.
pub(super) fn bind_root(access: Access, target: &Path) -> Result<(), RootfsError> {
    let error = |source: Errno| RootfsError::io("bind the host's root at", target, source);
    rustix::mount::mount_bind("/", target).map_err(error)?;
    if access == Access::ReadWrite {
        return Ok(());
    }
    rustix::mount::mount_change(target, MountPropagationFlags::PRIVATE).map_err(error)?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    remount(target, flags).map_err(error)
}

/// Binds one mount below the container's root. One that vanished, or that even root may not look into (another
/// user's FUSE mount), is left out.
pub(super) fn bind(submount: &Submount, target: &Path) -> Result<(), RootfsError> {
    let at = below(target, &submount.path);
    match rustix::mount::mount_bind(&submount.path, &at) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::ACCESS | Errno::STALE | Errno::NOTDIR) => return Ok(()),
        Err(source) => return Err(RootfsError::io("bind", &submount.path, source)),
    }
    let Some(flags) = submount.flags else {
        return Ok(());
    };
    rustix::mount::mount_change(&at, MountPropagationFlags::PRIVATE)
        .and_then(|()| remount(&at, flags))
        .map_err(|source| RootfsError::io("make read-only", &at, source))
}

/// Hides a directory of the host below an empty read-only one, in which only `mount_points` are.
pub(super) fn cover(
    dir: &Path,
    target: &Path,
    mount_points: &[PathBuf],
) -> Result<(), RootfsError> {
    let at = below(target, dir);
    let inside: Vec<_> = mount_points
        .iter()
        .filter(|path| path.starts_with(dir))
        .collect();
    if !at.is_dir() {
        if inside.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&at).map_err(|source| RootfsError::io("create", &at, source))?;
    }
    let flags = MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("monopod", &at, "tmpfs", flags, c"mode=755,size=64k")
        .map_err(|source| RootfsError::io("cover", &at, source))?;
    for path in inside {
        let made = below(target, path);
        fs::create_dir_all(&made).map_err(|source| RootfsError::io("create", &made, source))?;
    }
    remount(&at, flags | MountFlags::RDONLY)
        .map_err(|source| RootfsError::io("make read-only", &at, source))
}

/// Carries over the file behind a symbolic link `/etc/resolv.conf` where it lies in a mount that is left out,
/// as systemd-resolved's below `/run`: else names would not resolve.
pub(super) fn carry_resolver(target: &Path) -> Result<(), RootfsError> {
    let Ok(real) = fs::canonicalize("/etc/resolv.conf") else {
        return Ok(());
    };
    let at = below(target, &real);
    if at.exists() {
        return Ok(());
    }
    let create = |at: &Path| {
        fs::create_dir_all(at.parent().unwrap_or(target))?;
        fs::File::create(at)?;
        rustix::mount::mount_bind(&real, at)?;
        remount(at, MountFlags::RDONLY | MountFlags::NODEV)?;
        io::Result::Ok(())
    };
    create(&at).map_err(|source| RootfsError::io("carry over", &real, source))
}

fn remount(at: &Path, flags: MountFlags) -> rustix::io::Result<()> {
    rustix::mount::mount_remount(at, MountFlags::BIND | flags, c"")
}

fn below(target: &Path, path: &Path) -> PathBuf {
    target.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;

    const HOST: &str = "27 1 254:0 / / rw - ext4 /dev/vda rw
22 27 0:21 / /proc rw - proc proc rw
26 24 0:24 / /dev/pts rw - devpts devpts rw
30 27 0:30 / /run rw - tmpfs tmpfs rw
31 27 8:1 / /home rw,noexec - ext4 /dev/sda1 rw
32 31 8:2 / /home/x rw - xfs /dev/sda2 rw
33 27 8:3 / /srv rw - ext4 /dev/sda3 rw
34 33 0:40 / /srv rw - tmpfs tmpfs rw
35 27 8:4 / /var/lib/monopod rw - ext4 /dev/sda4 rw
36 27 0:41 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw
37 27 0:42 / /srv/target/c rw - ext4 overlay rw
";

    #[test]
    fn real_mounts_are_bound_and_others_left_out() {
        let mounts = mountinfo::parse(HOST.as_bytes());
        let covered = [PathBuf::from("/var/lib/monopod")];
        let read_only = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
        let cases = [
            (
                Access::Private,
                vec![
                    ("/home", Some(read_only | MountFlags::NOEXEC)),
                    ("/home/x", Some(read_only)),
                ],
            ),
            (
                Access::ReadWrite,
                vec![
                    ("/home", None),
                    ("/home/x", None),
                    ("/run", None),
                    ("/srv", None),
                ],
            ),
        ];
        for (access, expected) in cases {
            let planned = submounts(&mounts, access, &covered, Path::new("/srv/target"));
            let planned: Vec<_> = planned
                .iter()
                .map(|submount| (submount.path.to_str().unwrap(), submount.flags))
                .collect();
            assert_eq!(planned, expected, "{access:?}");
        }
    }

    #[test]
    fn covering_one_directory_covers_those_below() {
        let dirs = ["/run/m", "/var/lib/m", "/run/m/state", "/run/m"].map(PathBuf::from);
        assert_eq!(
            outermost(&dirs),
            [Path::new("/run/m"), Path::new("/var/lib/m")]
        );
    }
}
