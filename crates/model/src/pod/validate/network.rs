//! Rules of networks and endpoints (marathon:
//! `src/main/scala/mesosphere/marathon/api/v2/validation/NetworkValidation.scala`).

use crate::pod::{Endpoint, Network, NetworkMode, PodDefinition, Settings, Violations};

/// Checks the pod's networks and all endpoints.
pub(super) fn check(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    networks(&definition.networks, settings, violations);
    endpoints_together(definition, violations);
    for (container, endpoints) in definition
        .containers
        .iter()
        .map(|container| &container.endpoints)
        .enumerate()
    {
        for (index, endpoint) in endpoints.iter().enumerate() {
            let path = format!("/containers({container})/endpoints({index})");
            self::endpoint(endpoint, &path, definition, violations);
        }
    }
}

fn networks(networks: &[Network], settings: &Settings, violations: &mut Violations) {
    let of = |mode| networks.iter().filter(move |network| network.mode == mode);
    let mut require = |holds, error: &str| violations.require(holds, "/networks", error);
    require(
        of(NetworkMode::Host).all(|network| network.name.is_none() && network.labels.is_empty()),
        "Host networks may not have names or labels",
    );
    require(
        of(NetworkMode::Bridge).all(|network| network.name.is_none()),
        "Bridge networks may not have names",
    );
    require(
        super::all_differ(networks.iter().filter_map(|network| network.name.as_ref()))
            && of(NetworkMode::Container)
                .filter(|network| network.name.is_none())
                .count()
                < 2,
        "Duplicate networks are not allowed",
    );
    let counts = [
        NetworkMode::Host,
        NetworkMode::Bridge,
        NetworkMode::Container,
    ]
    .map(|mode| of(mode).count());
    require(
        matches!(counts, [0 | 1, 0, 0] | [0, 1, 0] | [0, 0, _]),
        "May specify a single host network, single bridge network, or else 1-to-n container networks",
    );
    require(
        settings.default_network_name.is_some()
            || of(NetworkMode::Container).all(|network| network.name.is_some()),
        "Network name must be specified when container network is selected.",
    );
}

fn endpoints_together(definition: &PodDefinition, violations: &mut Violations) {
    let endpoints = || {
        let containers = definition.containers.iter();
        containers.flat_map(|container| &container.endpoints)
    };
    let is_fixed = |port: &u16| *port != 0;
    violations.require(
        super::all_differ(endpoints().map(|endpoint| &endpoint.name)),
        "/",
        "endpoint names nust be unique across all containers",
    );
    violations.require(
        super::all_differ(
            endpoints()
                .filter_map(|endpoint| endpoint.container_port)
                .filter(is_fixed),
        ),
        "/",
        "container ports must be unique across all containers",
    );
    violations.require(
        super::all_differ(
            endpoints()
                .filter_map(|endpoint| endpoint.host_port)
                .filter(is_fixed),
        ),
        "/",
        "host ports must be unique across all containers",
    );
}

fn endpoint(
    endpoint: &Endpoint,
    path: &str,
    definition: &PodDefinition,
    violations: &mut Violations,
) {
    let container_port = format!("{path}/containerPort");
    violations.require(
        endpoint.container_port.is_none() || !definition.has_network(NetworkMode::Host),
        &container_port,
        "is not allowed when using host-mode networking",
    );
    violations.require(
        endpoint.container_port.is_some() || !definition.has_network(NetworkMode::Container),
        &container_port,
        "is required when using container-mode networking",
    );
    violations.require(
        super::all_differ(&endpoint.protocol),
        &format!("{path}/protocol"),
        "Duplicate protocols within the same endpoint are not allowed",
    );
    endpoint_networks(endpoint, path, &definition.networks, violations);
}

fn endpoint_networks(
    endpoint: &Endpoint,
    path: &str,
    networks: &[Network],
    violations: &mut Violations,
) {
    let names: Vec<_> = networks
        .iter()
        .filter_map(|network| network.name.as_deref())
        .collect();
    for (index, name) in endpoint.network_names.iter().enumerate() {
        violations.require(
            names.contains(&name.as_str()),
            &format!("{path}/networkNames({index})"),
            format!("got {name}, expected one of: [{}]", names.join(", ")),
        );
    }
    let container_networks = networks
        .iter()
        .filter(|network| network.mode == NetworkMode::Container);
    violations.require(
        container_networks.count() < 2
            || endpoint.host_port.is_none()
            || endpoint.network_names.len() == 1,
        path,
        "networkNames must be a single item list when hostPort is specified and more than 1 \
         container network is defined",
    );
}
