//! What is bound into a container: volumes, and files of `/etc`. Pure.

use std::path::{Component, Path, PathBuf};

use model::pod::{Container, Volume, VolumeSource};

use super::{Preparation, PrepareError, etc_directory};
use crate::{launch::VolumeBind, layout::ephemeral_volume};

/// Files that a pod with a network of its own gets made for it.
pub(super) const ETC_FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Everything bound into the container beside its sandbox. A mount below another comes after it.
pub(super) fn binds(
    preparation: &Preparation<'_>,
    container: &Container,
    sandbox: &Path,
    sandbox_mount: &Path,
) -> Result<Vec<VolumeBind>, PrepareError> {
    let mut binds = etc_binds(preparation, container, sandbox);
    for mount in &container.volume_mounts {
        let volumes = &preparation.group.definition.volumes;
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        let volume = volume.ok_or_else(|| PrepareError::UnknownVolume {
            container: container.name.clone(),
            volume: mount.name.clone(),
        })?;
        binds.push(VolumeBind {
            source: source(preparation, container, volume, sandbox)?,
            destination: sandbox_mount.join(plain(container, &mount.mount_path)?),
            read_only: mount.read_only.unwrap_or(false),
        });
    }
    binds.sort_by_key(|bind| bind.destination.components().count());
    Ok(binds)
}

/// A pod with a network of its own has its own names; a container with an image in the host's network has the
/// host's (mesos: `network/cni`). One with the host's root has them anyway.
fn etc_binds(
    preparation: &Preparation<'_>,
    container: &Container,
    sandbox: &Path,
) -> Vec<VolumeBind> {
    let own_network = preparation.group.definition.network_mode() != model::pod::NetworkMode::Host;
    if own_network {
        let made = etc_directory(sandbox);
        let bind = |name: &&str| VolumeBind {
            source: made.join(name),
            destination: Path::new("/etc").join(name),
            read_only: false,
        };
        return ETC_FILES.iter().map(bind).collect();
    }
    if container.image.is_none() {
        return Vec::new();
    }
    let bind = |file: &PathBuf| VolumeBind {
        source: file.clone(),
        destination: file.clone(),
        read_only: true,
    };
    preparation.facts.etc_files.iter().map(bind).collect()
}

fn source(
    preparation: &Preparation<'_>,
    container: &Container,
    volume: &Volume,
    sandbox: &Path,
) -> Result<PathBuf, PrepareError> {
    let unsupported = |kind| {
        Err(PrepareError::UnsupportedVolume {
            container: container.name.clone(),
            volume: volume.name.clone(),
            kind,
        })
    };
    match &volume.source {
        VolumeSource::Ephemeral {} => Ok(ephemeral_volume(sandbox, &volume.name)),
        VolumeSource::Host { host } => {
            let host = plain(container, host)?;
            let covered = &preparation.facts.covered;
            match covered.iter().find(|dir| host.starts_with(dir)) {
                Some(dir) => Err(PrepareError::CoveredVolume {
                    container: container.name.clone(),
                    volume: volume.name.clone(),
                    path: dir.clone(),
                }),
                None => Ok(sandbox.join(host)),
            }
        }
        VolumeSource::Persistent { .. } => unsupported("persistent"),
        VolumeSource::Secret { .. } => unsupported("secret"),
    }
}

/// The path without `.` and doubled slashes; refused if it is empty, `/`, or has `..`.
fn plain(container: &Container, path: &str) -> Result<PathBuf, PrepareError> {
    let components = || Path::new(path).components();
    let leaves = components().any(|component| component == Component::ParentDir);
    let names = components().any(|component| matches!(component, Component::Normal(_)));
    if leaves || !names {
        return Err(PrepareError::Path {
            container: container.name.clone(),
            path: path.to_owned(),
        });
    }
    Ok(components().filter(|c| *c != Component::CurDir).collect())
}
