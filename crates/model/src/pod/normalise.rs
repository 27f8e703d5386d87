//! Completes definitions with what the server decides.

use super::{Endpoint, Network, NetworkMode, PodDefinition, Settings};

/// Completes a definition: the default network's name for container networks without one, host port 0
/// for endpoints without one outside container mode, the default role.
///
/// A `version` is dropped: the server stamps its own. What needs to know that a member was absent from
/// the text (executor resources, health check timings, the strategies of pods with persistent volumes) is
/// completed when it is read. Completing twice changes nothing more
/// (marathon: `src/main/scala/mesosphere/marathon/api/v2/PodNormalization.scala`).
#[must_use]
pub fn normalise(mut definition: PodDefinition, settings: &Settings) -> PodDefinition {
    definition.version = None;
    let role = &settings.default_role;
    definition.role.get_or_insert_with(|| role.clone());
    for network in &mut definition.networks {
        complete_network(network, settings);
    }
    if !definition.has_network(NetworkMode::Container) {
        let containers = definition.containers.iter_mut();
        for endpoint in containers.flat_map(|container| &mut container.endpoints) {
            complete_endpoint(endpoint);
        }
    }
    definition
}

fn complete_network(network: &mut Network, settings: &Settings) {
    if network.mode == NetworkMode::Container && network.name.is_none() {
        network.name.clone_from(&settings.default_network_name);
    }
}

fn complete_endpoint(endpoint: &mut Endpoint) {
    endpoint.host_port.get_or_insert(0);
}
