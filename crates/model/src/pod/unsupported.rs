//! What definitions may say but this release does not do.

use super::{
    Container, EnvironmentValue, NetworkMode, PodDefinition, Violation, Violations, VolumeSource,
};

/// The members of a valid definition that this release does not run yet, each with a message.
///
/// None of them is silently ignored: whoever accepts definitions refuses these or warns of them.
#[must_use]
pub fn unsupported(definition: &PodDefinition) -> Vec<Violation> {
    let mut found = Violations::default();
    let supported = !definition.legacy_shared_cgroups;
    found.require(
        supported,
        "/legacySharedCgroups",
        "one cgroup for all containers is not run yet",
    );
    environment(&definition.environment, "", &mut found);
    volumes(definition, &mut found);
    networks(definition, &mut found);
    for (index, container) in definition.containers.iter().enumerate() {
        let path = format!("/containers({index})");
        environment(&container.environment, &path, &mut found);
        self::container(container, &path, &mut found);
        published_ports(container, &path, definition, &mut found);
    }
    found.into_vec()
}

fn environment(
    environment: &std::collections::BTreeMap<String, EnvironmentValue>,
    parent: &str,
    found: &mut Violations,
) {
    for (name, value) in environment {
        found.require(
            matches!(value, EnvironmentValue::Text(_)),
            &format!("{parent}/environment/{name}"),
            "secrets are not given to containers yet",
        );
    }
}

fn volumes(definition: &PodDefinition, found: &mut Violations) {
    for (index, volume) in definition.volumes.iter().enumerate() {
        let (name, error) = match volume.source {
            VolumeSource::Persistent { .. } => ("persistent", "persistent volumes are not run yet"),
            VolumeSource::Secret { .. } => ("secret", "secret volumes are not run yet"),
            VolumeSource::Host { .. } | VolumeSource::Ephemeral {} => continue,
        };
        found.add(&format!("/volumes({index})/{name}"), error);
    }
}

fn networks(definition: &PodDefinition, found: &mut Violations) {
    for (index, network) in definition.networks.iter().enumerate() {
        let path = format!("/networks({index})");
        found.require(
            network.mode != NetworkMode::Bridge,
            &path,
            "bridge networks are not run yet",
        );
        found.require(index == 0, &path, "more than one network is not run yet");
    }
}

fn container(container: &Container, path: &str, found: &mut Violations) {
    let image = container.image.as_ref();
    let linux_info = container.linux_info.as_ref();
    let seccomp = linux_info.and_then(|linux_info| linux_info.seccomp.as_ref());
    let members = [
        (
            container.health_check.is_some(),
            "healthCheck",
            "health checks are not run yet",
        ),
        (container.check.is_some(), "check", "checks are not run yet"),
        (
            !container.artifacts.is_empty(),
            "artifacts",
            "artifacts are not fetched yet",
        ),
        (
            container.tty == Some(true),
            "tty",
            "terminals are not allocated yet",
        ),
        (
            image.is_some_and(|image| image.pull_config.is_some()),
            "image/pullConfig",
            "images are not pulled from registries yet",
        ),
        (
            image.is_some_and(|image| image.force_pull == Some(true)),
            "image/forcePull",
            "images are not pulled from registries yet",
        ),
        (
            seccomp.is_some_and(|seccomp| seccomp.profile_name.is_some()),
            "linuxInfo/seccomp/profileName",
            "seccomp profiles other than the default are not loaded yet",
        ),
        (
            linux_info.is_some_and(|linux_info| linux_info.ipc_info.is_some()),
            "linuxInfo/ipcInfo",
            "IPC settings of single containers are not run yet",
        ),
    ];
    for (used, member, error) in members {
        found.require(!used, &format!("{path}/{member}"), error);
    }
}

fn published_ports(
    container: &Container,
    path: &str,
    definition: &PodDefinition,
    found: &mut Violations,
) {
    if !definition.has_network(NetworkMode::Container) {
        return;
    }
    for (index, endpoint) in container.endpoints.iter().enumerate() {
        found.require(
            endpoint.host_port.is_none(),
            &format!("{path}/endpoints({index})/hostPort"),
            "ports of container networks are not published yet",
        );
    }
}
