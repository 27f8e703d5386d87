//! What a run has on disk, made before its launch.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

use super::LaunchError;
use crate::{
    launch::{Launch, Rootfs, VolumeBind},
    prepare::{etc_directory, writable_layer},
};

/// Mode of a directory that only root enters. Containers reach what is in it by mounts.
pub(super) const ROOT_ONLY: u32 = 0o700;

/// Mode of a container's sandbox (mesos: `slave/paths.cpp`); the executor gives it to the container's user.
const SANDBOX: u32 = 0o750;

/// Mode of a volume: every container of the pod may write, as whoever.
const VOLUME: u32 = 0o777;

/// Makes the run's sandbox: a directory for each container, ephemeral volumes, files of `/etc`, and directories for
/// writable layers. What is there already, of an attempt that was cut short, is used.
///
/// # Errors
/// The first step that failed, or a host volume that does not exist.
pub(super) fn make(launch: &Launch) -> Result<(), LaunchError> {
    let failed = |path: &Path, source| LaunchError::Io {
        action: "make",
        path: path.to_owned(),
        source,
    };
    let directory = |path: &Path, mode| make_directory(path, mode).map_err(|e| failed(path, e));
    directory(&launch.sandbox, ROOT_ONLY)?;
    for container in &launch.containers {
        directory(&container.sandbox, SANDBOX)?;
        match &container.rootfs {
            Rootfs::Image { writable, .. } | Rootfs::HostOverlay { writable, .. } => {
                debug_assert_eq!(*writable, writable_layer(&launch.sandbox, &container.name));
                directory(writable, ROOT_ONLY)?;
            }
            Rootfs::HostReadOnly { .. } | Rootfs::HostReadWrite { .. } => {}
        }
        for volume in &container.mounts {
            make_source(launch, volume).map_err(|error| match error {
                Some(source) => failed(&volume.source, source),
                None => LaunchError::HostVolumeMissing {
                    container: container.name.clone(),
                    path: volume.source.clone(),
                },
            })?;
        }
    }
    if let Some(hostname) = launch.hostname.as_ref().filter(|_| launch.own_network) {
        let etc = etc_directory(&launch.sandbox);
        write_etc(&etc, hostname).map_err(|source| failed(&etc, source))?;
    }
    Ok(())
}

/// Volumes below the sandbox are made, others must be there: `Err(None)` if not.
fn make_source(launch: &Launch, volume: &VolumeBind) -> Result<(), Option<io::Error>> {
    if volume.source.starts_with(etc_directory(&launch.sandbox)) {
        return Ok(());
    }
    if volume.source.starts_with(&launch.sandbox) {
        return make_directory(&volume.source, VOLUME).map_err(Some);
    }
    match fs::metadata(&volume.source) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(None),
        Err(error) => Err(Some(error)),
    }
}

/// Makes a directory of this mode, whatever the umask, and parents for root only.
pub(super) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(ROOT_ONLY).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The files that a pod with a network of its own gets (mesos: `network/cni`). Its address is not known yet, so
/// that its name leads to itself.
fn write_etc(etc: &Path, hostname: &str) -> io::Result<()> {
    make_directory(etc, ROOT_ONLY)?;
    let hosts = format!(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n"
    );
    let resolver = fs::read("/etc/resolv.conf").unwrap_or_default();
    let files = [
        ("hosts", hosts.into_bytes()),
        ("hostname", format!("{hostname}\n").into_bytes()),
        ("resolv.conf", resolver),
    ];
    for (name, content) in files {
        let path = etc.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}
