//! What this kernel lets us do, found out by doing it.
//!
//! Each probe does its work in a thread of its own, whose namespaces end with it: nothing is left behind, and this
//! process is as before. They are for `monopod doctor`; the daemon finds out by itself what it needs.

mod netlink;

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

pub use netlink::{Link, create_link, use_nftables};

/// A namespace that pods need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Mounts.
    Mount,
    /// Network.
    Network,
    /// System V and POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// Process ids. It cannot be made by one thread of many, so its presence is looked at.
    Pid,
}

impl Namespace {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mount, Self::Network, Self::Ipc, Self::Uts, Self::Pid];

    /// The name as `/proc/self/ns` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
        }
    }
}

/// Makes a namespace.
///
/// # Errors
/// What the kernel says: no such namespaces (`EINVAL`), not allowed (`EPERM`), too many (`ENOSPC`).
pub fn namespace(kind: Namespace) -> io::Result<()> {
    let flag = match kind {
        Namespace::Mount => CloneFlags::CLONE_NEWNS,
        Namespace::Network => CloneFlags::CLONE_NEWNET,
        Namespace::Ipc => CloneFlags::CLONE_NEWIPC,
        Namespace::Uts => CloneFlags::CLONE_NEWUTS,
        Namespace::Pid => return fs::symlink_metadata("/proc/self/ns/pid").map(drop),
    };
    apart(flag, || Ok(()))
}

/// Mounts an overlay whose layers are in `directory`, as every image's root filesystem is, and writes to it.
///
/// # Errors
/// What the kernel says, such as a filesystem that cannot be an upper layer (`EINVAL`), or no overlayfs (`ENODEV`).
pub fn overlay(directory: &Path) -> io::Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix(".doctor-")
        .tempdir_in(directory)?;
    let path = |name: &str| scratch.path().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(path(name))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        path("lower").display(),
        path("upper").display(),
        path("work").display(),
    );
    let merged = path("merged");
    let tried = apart(CloneFlags::CLONE_NEWNS, move || {
        mount_overlay(&merged, &options)
    });
    tried.and(scratch.close())
}

fn mount_overlay(merged: &PathBuf, options: &str) -> io::Result<()> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let kind = Some("overlay");
    mount(kind, merged, kind, MsFlags::empty(), Some(options))?;
    fs::write(merged.join("written"), b"x")
}

/// Opens a descriptor of this process (`pidfd_open(2)`, Linux 5.3).
///
/// # Errors
/// What the kernel says.
pub fn pidfd() -> io::Result<()> {
    rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    )?;
    Ok(())
}

/// Makes an inotify instance.
///
/// # Errors
/// What the kernel says, such as that this user has as many as allowed (`EMFILE`).
pub fn inotify() -> io::Result<()> {
    rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC)?;
    Ok(())
}

/// Does `work` in new namespaces of a thread that then ends.
fn apart(
    flags: CloneFlags,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let inside = move || {
        unshare(flags)?;
        work()
    };
    let thread = thread::Builder::new().spawn(inside)?;
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the probe panicked")))
}

#[cfg(test)]
mod tests;
