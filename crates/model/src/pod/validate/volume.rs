//! Rules of volumes and mounts.

use std::collections::BTreeSet;

use super::{SECRETS_OFF, path};
use crate::pod::{Feature, PodDefinition, Settings, Violations, VolumeSource};

/// Checks the pod's volumes and all mounts.
pub(super) fn check(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    violations.require(
        super::all_differ(definition.volumes.iter().map(|volume| &volume.name)),
        "/volumes",
        "volume names must be unique",
    );
    let containers = definition.containers.iter();
    let mounted: BTreeSet<_> = containers
        .flat_map(|container| &container.volume_mounts)
        .map(|mount| &mount.name)
        .collect();
    for (index, volume) in definition.volumes.iter().enumerate() {
        let path = format!("/volumes({index})");
        violations.require(
            mounted.contains(&volume.name),
            &path,
            "volume must be referenced by at least one container",
        );
        source(&volume.source, &path, definition, settings, violations);
    }
    mounts(definition, violations);
}

fn source(
    source: &VolumeSource,
    path: &str,
    definition: &PodDefinition,
    settings: &Settings,
    violations: &mut Violations,
) {
    match source {
        VolumeSource::Host { host } => path::check(host, &format!("{path}/host"), violations),
        VolumeSource::Secret { secret } => {
            let path = format!("{path}/secret");
            let enabled = settings.features.contains(&Feature::Secrets);
            violations.require(enabled, &path, SECRETS_OFF);
            violations.require(
                definition.secrets.contains_key(secret),
                &path,
                "volume.secret must refer to an existing secret",
            );
        }
        VolumeSource::Persistent { .. } | VolumeSource::Ephemeral {} => {}
    }
}

fn mounts(definition: &PodDefinition, violations: &mut Violations) {
    let volumes: BTreeSet<_> = definition
        .volumes
        .iter()
        .map(|volume| &volume.name)
        .collect();
    for (container, mounts) in definition
        .containers
        .iter()
        .map(|container| &container.volume_mounts)
        .enumerate()
    {
        for (index, mount) in mounts.iter().enumerate() {
            let path = format!("/containers({container})/volumeMounts({index})");
            violations.require(
                volumes.contains(&mount.name),
                &format!("{path}/name"),
                "Referenced Volume in VolumeMount should exist",
            );
            path::check(&mount.mount_path, &format!("{path}/mountPath"), violations);
        }
    }
}
