//! Host ports: which endpoints need one, and which they get.

use model::{
    pod::{Endpoint, NetworkMode, PodDefinition},
    ports::PortSet,
    task_group::PortAssignment,
};

use crate::wait_reason::WaitReason;

/// What host port an endpoint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortWish {
    /// None at all.
    None,
    /// Any that is free.
    Any,
    /// Exactly this one.
    Fixed(u16),
}

fn wish(mode: NetworkMode, endpoint: &Endpoint) -> PortWish {
    match (endpoint.host_port, mode) {
        (Some(0), _) | (None, NetworkMode::Host | NetworkMode::Bridge) => PortWish::Any,
        (Some(port), _) => PortWish::Fixed(port),
        (None, NetworkMode::Container) => PortWish::None,
    }
}

/// The fixed host ports that a definition asks for, and how many of any number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PortNeed {
    pub(crate) fixed: Vec<u16>,
    pub(crate) any: usize,
}

impl PortNeed {
    /// What one instance of `definition` needs.
    pub(crate) fn of(definition: &PodDefinition) -> Self {
        let mut need = Self::default();
        let mode = definition.network_mode();
        for endpoint in definition
            .containers
            .iter()
            .flat_map(|container| &container.endpoints)
        {
            match wish(mode, endpoint) {
                PortWish::None => {}
                PortWish::Any => need.any += 1,
                PortWish::Fixed(port) => need.fixed.push(port),
            }
        }
        need
    }

    /// Checks what no freed port could change.
    ///
    /// # Errors
    /// A reason that can never be overcome.
    pub(crate) fn check_possible(&self, total: &PortSet) -> Result<(), WaitReason> {
        if let Some(port) = self.fixed.iter().find(|port| !total.contains(**port)) {
            return Err(WaitReason::PortOutside {
                port: *port,
                ports: total.into(),
            });
        }
        let needed = self.fixed.len() + self.any;
        if needed > total.len() {
            return Err(WaitReason::TooManyPorts {
                needed,
                total: total.len(),
            });
        }
        Ok(())
    }
}

/// Gives every endpoint that needs a host port one out of `free`.
///
/// Fixed ports are taken first. Any other endpoint gets the lowest free port that no pod claims as a fixed
/// one (`reserved`), or the lowest free port if there is no such.
///
/// # Errors
/// Why the ports do not suffice; who holds a taken port is for the caller to add.
pub(crate) fn assign(
    definition: &PodDefinition,
    free: &PortSet,
    reserved: &PortSet,
) -> Result<Vec<PortAssignment>, WaitReason> {
    let need = PortNeed::of(definition);
    let mut left = free.clone();
    for port in &need.fixed {
        if !left.remove(*port) {
            return Err(WaitReason::PortTaken {
                port: *port,
                holder: None,
            });
        }
    }
    if left.len() < need.any {
        return Err(WaitReason::PortsLacking {
            needed: need.fixed.len() + need.any,
            free: left.len() + need.fixed.len(),
        });
    }
    let unreserved = left.iter().filter(|port| !reserved.contains(*port));
    let fallback = left.iter().filter(|port| reserved.contains(*port));
    let mut any = unreserved.chain(fallback);
    let mode = definition.network_mode();
    let endpoints = definition.containers.iter().flat_map(|container| {
        container
            .endpoints
            .iter()
            .map(move |endpoint| (container, endpoint))
    });
    Ok(endpoints
        .filter_map(|(container, endpoint)| {
            let host_port = match wish(mode, endpoint) {
                PortWish::None => None,
                PortWish::Any => any.next(),
                PortWish::Fixed(port) => Some(port),
            }?;
            Some(PortAssignment {
                container: container.name.clone(),
                endpoint: endpoint.name.clone(),
                host_port,
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::definition;

    fn pod(network: &str, endpoints: &str) -> PodDefinition {
        definition(&format!(
            r#"{{"id":"/p","networks":[{network}],"containers":[{{"name":"c",
                "resources":{{"cpus":0.1,"mem":32}},"endpoints":[{endpoints}]}}]}}"#
        ))
    }

    #[test]
    fn assigns_lowest_free_ports_around_fixed_and_reserved_ones() {
        let host = r#"{"mode":"host"}"#;
        let dcos = r#"{"mode":"container","name":"dcos"}"#;
        let cases: [(&str, &str, &[u16]); 6] = [
            (
                host,
                r#"{"name":"a","hostPort":0},{"name":"b","hostPort":31000}"#,
                &[31001, 31000],
            ),
            (
                host,
                r#"{"name":"a"},{"name":"b","hostPort":0}"#,
                &[31000, 31001],
            ),
            (dcos, r#"{"name":"a","containerPort":80}"#, &[]),
            (
                dcos,
                r#"{"name":"a","containerPort":80,"hostPort":31004}"#,
                &[31004],
            ),
            (
                host,
                r#"{"name":"a","hostPort":0},{"name":"b","hostPort":0},{"name":"c","hostPort":0},{"name":"d","hostPort":0}"#,
                &[31000, 31001, 31003, 31004],
            ),
            (
                host,
                r#"{"name":"a","hostPort":0},{"name":"b","hostPort":0},{"name":"c","hostPort":0},{"name":"d","hostPort":0},{"name":"e","hostPort":0}"#,
                &[31000, 31001, 31003, 31004, 31002],
            ),
        ];
        let reserved = PortSet::range(31002, 31002);
        for (network, endpoints, expected) in cases {
            let given = assign(
                &pod(network, endpoints),
                &PortSet::range(31000, 31004),
                &reserved,
            );
            let ports: Vec<u16> = given.unwrap().iter().map(|given| given.host_port).collect();
            assert_eq!(ports, expected, "{endpoints}");
        }
    }

    #[test]
    fn tells_which_port_is_missing() {
        let two = pod(
            r#"{"mode":"host"}"#,
            r#"{"name":"a","hostPort":31001},{"name":"b"}"#,
        );
        let none = PortSet::default();
        assert_eq!(
            assign(&two, &PortSet::range(31002, 31003), &none),
            Err(WaitReason::PortTaken {
                port: 31001,
                holder: None
            })
        );
        assert_eq!(
            assign(&two, &PortSet::range(31001, 31001), &none),
            Err(WaitReason::PortsLacking { needed: 2, free: 1 })
        );
        let need = PortNeed::of(&two);
        assert!(
            need.check_possible(&PortSet::range(80, 81))
                .unwrap_err()
                .can_never_fit()
        );
        assert!(
            need.check_possible(&PortSet::range(31001, 31001))
                .unwrap_err()
                .can_never_fit()
        );
        assert_eq!(need.check_possible(&PortSet::range(31001, 31002)), Ok(()));
    }
}
