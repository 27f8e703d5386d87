//! The environment that every container is given (marathon: `src/main/scala/mesosphere/mesos/{TaskGroupBuilder,EnvironmentHelper}.scala`).

use std::collections::BTreeMap;

use model::{
    id::{InstanceId, task_id},
    pod::{Container, Endpoint, EnvironmentValue, NetworkMode, PodDefinition},
    resources::{cpus_decimal, mib_decimal},
    task_group::PortAssignment,
    time::Timestamp,
};

/// Label keys from this length on are left out.
const MAX_LABEL_KEY: usize = 493;

/// Label values from this length on are left out.
const MAX_LABEL_VALUE: usize = 512;

/// One launch of an instance, as far as environments depend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) instance: &'a InstanceId,
    pub(crate) incarnation: u32,
    pub(crate) version: Timestamp,
    pub(crate) definition: &'a PodDefinition,
    pub(crate) host_ports: &'a [PortAssignment],
    /// Host name of the agent.
    pub(crate) host: &'a str,
    /// Put before the names of endpoint variables.
    pub(crate) prefix: &'a str,
}

/// The environment of one container. Secrets are left out: they travel another way.
pub(crate) fn environment(launch: &Launch<'_>, container: &Container) -> BTreeMap<String, String> {
    let pod = launch.definition;
    let mut variables = BTreeMap::new();
    for (name, value) in pod.environment.iter().chain(&container.environment) {
        match value {
            EnvironmentValue::Text(text) => variables.insert(name.clone(), text.clone()),
            // A secret of the container hides a text of the pod.
            EnvironmentValue::Secret { .. } => variables.remove(name),
        };
    }
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    let role = pod.role.clone().unwrap_or_else(|| "*".to_owned());
    let InstanceId { safe_path, uuid } = launch.instance;
    set("HOST", launch.host.to_owned());
    set(
        "MESOS_TASK_ID",
        task_id(launch.instance, &container.name, launch.incarnation),
    );
    set("MESOS_EXECUTOR_ID", format!("instance-{safe_path}.{uuid}"));
    set("MESOS_ALLOCATION_ROLE", role);
    set("MARATHON_APP_ID", pod.id.to_string());
    set("MARATHON_APP_VERSION", launch.version.to_string());
    set("MARATHON_APP_ENFORCE_GROUP_ROLE", "FALSE".to_owned());
    set("MARATHON_CONTAINER_ID", container.name.clone());
    let needs = container.resources;
    set(
        "MARATHON_CONTAINER_RESOURCE_CPUS",
        format!("{:?}", cpus_decimal(needs.cpus_milli)),
    );
    set(
        "MARATHON_CONTAINER_RESOURCE_MEM",
        format!("{:?}", mib_decimal(needs.mem_bytes)),
    );
    set(
        "MARATHON_CONTAINER_RESOURCE_DISK",
        format!("{:?}", mib_decimal(needs.disk_bytes)),
    );
    set("MARATHON_CONTAINER_RESOURCE_GPUS", needs.gpus.to_string());
    add_labels(&mut variables, pod, container);
    add_endpoints(&mut variables, launch);
    variables
}

fn add_labels(
    variables: &mut BTreeMap<String, String>,
    pod: &PodDefinition,
    container: &Container,
) {
    let labels: BTreeMap<_, _> = pod.labels.iter().chain(&container.labels).collect();
    let mut names = Vec::new();
    for (key, value) in labels {
        if key.len() >= MAX_LABEL_KEY || value.len() >= MAX_LABEL_VALUE {
            continue;
        }
        let name = variable_name(key);
        variables.insert(format!("MARATHON_APP_LABEL_{name}"), value.clone());
        names.push(name);
    }
    variables.insert("MARATHON_APP_LABELS".to_owned(), names.join(" "));
}

fn add_endpoints(variables: &mut BTreeMap<String, String>, launch: &Launch<'_>) {
    let mode = launch.definition.network_mode();
    for container in &launch.definition.containers {
        for endpoint in &container.endpoints {
            let ports = EndpointPorts::of(mode, endpoint, launch.host_ports);
            let name = variable_name(&endpoint.name);
            let prefix = launch.prefix;
            let mut set = |start: &str, port: Option<u16>| {
                if let Some(port) = port {
                    variables.insert(format!("{prefix}{start}_{name}"), port.to_string());
                }
            };
            set("ENDPOINT", ports.listen);
            set("EP_HOST", ports.host);
            set("EP_CONTAINER", ports.container);
        }
    }
}

/// The ports of an endpoint once it is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndpointPorts {
    /// The one that the process listens on.
    listen: Option<u16>,
    /// The one on the host.
    host: Option<u16>,
    /// The one inside the pod's network.
    container: Option<u16>,
}

impl EndpointPorts {
    /// A container port that is absent or 0 is the allocated host port; Marathon leaves such variables out
    /// or writes `0`.
    fn of(mode: NetworkMode, endpoint: &Endpoint, host_ports: &[PortAssignment]) -> Self {
        let host = host_ports
            .iter()
            .find(|given| given.endpoint == endpoint.name)
            .map(|given| given.host_port);
        let fixed = endpoint.container_port.filter(|port| *port != 0);
        match mode {
            NetworkMode::Host => Self {
                listen: host,
                host,
                container: endpoint.container_port.and(fixed.or(host)),
            },
            NetworkMode::Container | NetworkMode::Bridge => Self {
                listen: fixed.or(host),
                host,
                container: fixed.or(host),
            },
        }
    }
}

/// Upper case, every run of other characters than letters, digits and `_` being one `_`.
fn variable_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || character == '_' {
            name.push(character.to_ascii_uppercase());
        } else if !name.ends_with('_') || name.is_empty() {
            name.push('_');
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::definition;

    fn variables(pod: &PodDefinition, ports: &[(&str, u16)]) -> BTreeMap<String, String> {
        let instance = InstanceId::new(&pod.id, uuid::Uuid::from_u128(1));
        let host_ports: Vec<_> = ports
            .iter()
            .map(|(endpoint, host_port)| PortAssignment {
                container: "c".to_owned(),
                endpoint: (*endpoint).to_owned(),
                host_port: *host_port,
            })
            .collect();
        let launch = Launch {
            instance: &instance,
            incarnation: 2,
            version: Timestamp::from_millis(0),
            definition: pod,
            host_ports: &host_ports,
            host: "node1",
            prefix: "",
        };
        environment(&launch, &pod.containers[0])
    }

    #[test]
    fn common_variables() {
        let pod = definition(
            r#"{"id":"/a/b","environment":{"A":"pod","B":"pod","HOST":"mine","S":"text"},
                "labels":{"my-key":"1","other":"2"},"secrets":{"s":{"source":"x"}},
                "containers":[{"name":"c","resources":{"cpus":0.1,"mem":32},"labels":{"other":"3"},
                "environment":{"B":"container","S":{"secret":"s"}}}]}"#,
        );
        let uuid = "00000000-0000-0000-0000-000000000001";
        let expected = [
            ("A", "pod".to_owned()),
            ("B", "container".to_owned()),
            ("HOST", "node1".to_owned()),
            ("MARATHON_APP_ENFORCE_GROUP_ROLE", "FALSE".to_owned()),
            ("MARATHON_APP_ID", "/a/b".to_owned()),
            ("MARATHON_APP_LABELS", "MY_KEY OTHER".to_owned()),
            ("MARATHON_APP_LABEL_MY_KEY", "1".to_owned()),
            ("MARATHON_APP_LABEL_OTHER", "3".to_owned()),
            (
                "MARATHON_APP_VERSION",
                "1970-01-01T00:00:00.000Z".to_owned(),
            ),
            ("MARATHON_CONTAINER_ID", "c".to_owned()),
            ("MARATHON_CONTAINER_RESOURCE_CPUS", "0.1".to_owned()),
            ("MARATHON_CONTAINER_RESOURCE_DISK", "0.0".to_owned()),
            ("MARATHON_CONTAINER_RESOURCE_GPUS", "0".to_owned()),
            ("MARATHON_CONTAINER_RESOURCE_MEM", "32.0".to_owned()),
            ("MESOS_ALLOCATION_ROLE", "*".to_owned()),
            ("MESOS_EXECUTOR_ID", format!("instance-a_b.{uuid}")),
            ("MESOS_TASK_ID", format!("a_b.instance-{uuid}.c.2")),
        ];
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(variables(&pod, &[]), expected);
    }

    #[test]
    fn endpoint_variables() {
        let cases = [
            // network, endpoint, host port, ENDPOINT_, EP_HOST_, EP_CONTAINER_
            (
                r#"{"mode":"host"}"#,
                r#""hostPort":0"#,
                Some(31007),
                Some(31007),
                Some(31007),
                None,
            ),
            (
                "",
                r#""hostPort":0,"containerPort":80"#,
                Some(31007),
                Some(31007),
                Some(31007),
                Some(80),
            ),
            (
                r#"{"mode":"container/bridge"}"#,
                r#""containerPort":80"#,
                Some(31007),
                Some(80),
                Some(31007),
                Some(80),
            ),
            (
                r#"{"mode":"container/bridge"}"#,
                r#""containerPort":0"#,
                Some(31007),
                Some(31007),
                Some(31007),
                Some(31007),
            ),
            (
                r#"{"mode":"container","name":"n"}"#,
                r#""containerPort":80"#,
                None,
                Some(80),
                None,
                Some(80),
            ),
        ];
        for (network, endpoint, port, listen, host, container) in cases {
            let pod = definition(&format!(
                r#"{{"id":"/p","networks":[{network}],"containers":[{{"name":"c",
                    "resources":{{"cpus":0.1,"mem":32}},"endpoints":[{{"name":"my-web",{endpoint}}}]}}]}}"#
            ));
            let ports: Vec<_> = port.iter().map(|port| ("my-web", *port)).collect();
            let variables = variables(&pod, &ports);
            let found = |name: &str| variables.get(name).map(|port| port.parse::<u16>().unwrap());
            assert_eq!(
                (
                    found("ENDPOINT_MY_WEB"),
                    found("EP_HOST_MY_WEB"),
                    found("EP_CONTAINER_MY_WEB")
                ),
                (listen, host, container),
                "{network} {endpoint}"
            );
        }
    }
}
