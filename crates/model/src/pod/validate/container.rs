//! Rules of containers.

use super::{SECRETS_OFF, all_differ, no_nul, user};
use crate::{
    pod::{
        Command, Container, Feature, HealthCheck, Image, IpcMode, Limit, LinuxInfo, PodDefinition,
        Probe, Settings, Violations,
    },
    resources::{cpus_decimal, mib_decimal},
};

/// Checks the pod's containers, but for what concerns networks, volumes and environments.
pub(super) fn check(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    let containers = &definition.containers;
    violations.require(!containers.is_empty(), "/containers", "must not be empty");
    violations.require(
        all_differ(containers.iter().map(|container| &container.name)),
        "/containers",
        "container names must be unique",
    );
    for (index, container) in containers.iter().enumerate() {
        let path = format!("/containers({index})");
        user(container.user.as_deref(), &path, violations);
        if let Some(exec) = &container.exec {
            command(&exec.command, &format!("{path}/exec"), violations);
        }
        if let Some(image) = &container.image {
            self::image(
                image,
                &format!("{path}/image"),
                definition,
                settings,
                violations,
            );
        }
        resource_limits(container, &path, definition, violations);
        checks(container, &path, violations);
        artifacts(container, &path, violations);
        if let Some(linux_info) = &container.linux_info {
            let path = format!("{path}/linuxInfo");
            seccomp(linux_info, &path, violations);
            ipc_info(linux_info, &path, violations);
        }
    }
}

fn command(command: &Command, parent: &str, violations: &mut Violations) {
    match command {
        Command::Shell(text) => no_nul(text, &format!("{parent}/command/shell"), violations),
        Command::Argv(arguments) => {
            for (index, argument) in arguments.iter().enumerate() {
                let path = format!("{parent}/command/argv({index})");
                no_nul(argument, &path, violations);
            }
        }
    }
}

fn image(
    image: &Image,
    path: &str,
    definition: &PodDefinition,
    settings: &Settings,
    violations: &mut Violations,
) {
    no_nul(&image.id, &format!("{path}/id"), violations);
    let Some(pull_config) = &image.pull_config else {
        return;
    };
    let path = format!("{path}/pullConfig");
    let enabled = settings.features.contains(&Feature::Secrets);
    violations.require(enabled, &path, SECRETS_OFF);
    violations.require(
        definition.secrets.contains_key(&pull_config.secret),
        &path,
        "pullConfig.secret must refer to an existing secret",
    );
}

fn resource_limits(
    container: &Container,
    path: &str,
    definition: &PodDefinition,
    violations: &mut Violations,
) {
    let Some(limits) = &container.resource_limits else {
        return;
    };
    let path = format!("{path}/resourceLimits");
    violations.require(
        !definition.legacy_shared_cgroups,
        &path,
        "resourceLimits cannot be defined if legacySharedCgroups is enabled",
    );
    let resources = &container.resources;
    let (cpus, mem) = (resources.cpus_milli, resources.mem_bytes);
    let limits = [
        ("cpus", limits.cpus, cpus, cpus_decimal(cpus)),
        ("mem", limits.mem, mem, mib_decimal(mem)),
    ];
    for (name, limit, requested, decimal) in limits {
        let enough = match limit {
            Some(Limit::Amount(amount)) => amount >= requested,
            Some(Limit::Unlimited) | None => true,
        };
        violations.require(
            enough,
            &format!("{path}/{name}"),
            format!(
                "resource limit must be greater than or equal to requested resource ({decimal:?})"
            ),
        );
    }
}

fn checks(container: &Container, path: &str, violations: &mut Violations) {
    if let Some(health_check) = &container.health_check {
        let path = format!("{path}/healthCheck");
        let HealthCheck {
            timeout_seconds,
            interval_seconds,
            probe,
            ..
        } = health_check;
        timing(*timeout_seconds, *interval_seconds, &path, violations);
        self::probe(probe, container, &path, violations);
    }
    if let Some(check) = &container.check {
        let path = format!("{path}/check");
        timing(
            check.timeout_seconds,
            check.interval_seconds,
            &path,
            violations,
        );
        probe(&check.probe, container, &path, violations);
    }
}

fn timing(timeout: u32, interval: u32, path: &str, violations: &mut Violations) {
    violations.require(
        timeout < interval,
        &format!("{path}/timeoutSeconds"),
        format!("got {timeout}, expected less than {interval}"),
    );
}

fn probe(probe: &Probe, container: &Container, path: &str, violations: &mut Violations) {
    let (kind, endpoint) = match probe {
        Probe::Http(http) => ("http", &http.endpoint),
        Probe::Tcp(tcp) => ("tcp", &tcp.endpoint),
        Probe::Exec(exec) => {
            return command(&exec.command, &format!("{path}/exec"), violations);
        }
    };
    let mut endpoints = container.endpoints.iter();
    violations.require(
        endpoints.any(|known| known.name == *endpoint),
        &format!("{path}/{kind}/endpoint"),
        "contained in the container endpoints",
    );
}

fn artifacts(container: &Container, path: &str, violations: &mut Violations) {
    for (index, artifact) in container.artifacts.iter().enumerate() {
        let path = format!("{path}/artifacts({index})");
        no_nul(&artifact.uri, &format!("{path}/uri"), violations);
        if let Some(dest_path) = &artifact.dest_path {
            super::path::check(dest_path, &format!("{path}/destPath"), violations);
        }
    }
}

fn seccomp(linux_info: &LinuxInfo, path: &str, violations: &mut Violations) {
    let Some(seccomp) = &linux_info.seccomp else {
        return;
    };
    let path = format!("{path}/seccomp");
    violations.require(
        seccomp.profile_name.is_none() || !seccomp.unconfined,
        &path,
        "Seccomp unconfined can NOT be true when Profile is defined",
    );
    violations.require(
        seccomp.profile_name.is_some() || seccomp.unconfined,
        &path,
        "Seccomp unconfined must be true when Profile is NOT defined",
    );
}

/// Checks the IPC settings of a pod or a container.
pub(super) fn ipc_info(linux_info: &LinuxInfo, path: &str, violations: &mut Violations) {
    let Some(ipc_info) = &linux_info.ipc_info else {
        return;
    };
    violations.require(
        ipc_info.mode == IpcMode::Private || ipc_info.shm_size.is_none(),
        &format!("{path}/ipcInfo"),
        "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT",
    );
}
