//! Pod definitions for tests.

use serde_json::{Value, json};

/// The image that [`crate::host::Host::import_probe`] imports.
pub const IMAGE: &str = "probe:latest";

/// A container that runs the probe from its image. Actions are separated by the word `,`.
pub fn probe_container(name: &str, actions: &str) -> Value {
    let mut argv = vec!["/probe"];
    argv.extend(actions.split(' '));
    json!({
        "name": name,
        "image": {"kind": "DOCKER", "id": IMAGE},
        "exec": {"command": {"argv": argv}, "overrideEntrypoint": true},
        "resources": {"cpus": 0.01, "mem": 32},
        "lifecycle": {"killGracePeriodSeconds": 1},
    })
}

/// A container on the host's root filesystem that runs a shell command.
pub fn shell_container(name: &str, command: &str) -> Value {
    json!({
        "name": name,
        "exec": {"command": {"shell": command}},
        "resources": {"cpus": 0.01, "mem": 32},
        "lifecycle": {"killGracePeriodSeconds": 1},
    })
}

/// A pod in the host's network whose failed launches are soon repeated.
pub fn pod(id: &str, containers: &[Value]) -> Value {
    json!({
        "id": id,
        "containers": containers,
        "networks": [{"mode": "host"}],
        "scaling": {"kind": "fixed", "instances": 1},
        "scheduling": {"backoff": {"backoff": 0.1, "backoffFactor": 1.0, "maxLaunchDelay": 1}},
    })
}

/// The pod, so many times.
pub fn scaled(mut pod: Value, instances: usize) -> Value {
    pod["scaling"]["instances"] = json!(instances);
    pod
}

/// The pod in a network namespace of its own.
pub fn with_own_network(mut pod: Value) -> Value {
    pod["networks"] = json!([{"mode": "container", "name": "test"}]);
    pod
}
