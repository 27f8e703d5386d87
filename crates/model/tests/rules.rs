//! The rules for well-formed definitions: what breaks each, and what is just inside it.

use std::collections::BTreeSet;

use model::pod::{self, Feature, ReadError, Settings};
use serde_json::{Value, json};

const BRIDGE: &str = "container/bridge";

fn settings() -> Settings {
    Settings::default()
}

fn secrets() -> Settings {
    Settings {
        features: BTreeSet::from([Feature::Secrets]),
        ..settings()
    }
}

/// A pod whose members `pod` replaces and to whose only container `container` is added.
fn pod_of(pod: Value, container: Value) -> Value {
    let mut only = json!({"name": "c", "resources": {"cpus": 1, "mem": 128}});
    put_all(&mut only, container);
    let mut base = json!({"id": "/p", "containers": [only]});
    put_all(&mut base, pod);
    base
}

fn put_all(object: &mut Value, members: Value) {
    let Value::Object(members) = members else {
        panic!("{members} is no object");
    };
    for (name, value) in members {
        object[name] = value;
    }
}

fn pod(members: Value) -> Value {
    pod_of(members, json!({}))
}

fn container(members: Value) -> Value {
    pod_of(json!({}), members)
}

/// Admits `pod` and compares `path: message` of everything wrong.
fn check(settings: &Settings, pod: &Value, expected: &[&str]) {
    let found = match pod::admit(pod.to_string().as_bytes(), settings) {
        Ok(_) => Vec::new(),
        Err(ReadError::Rules { violations }) => violations
            .iter()
            .flat_map(|violation| {
                let errors = violation.errors.iter();
                errors.map(|error| format!("{}: {error}", violation.path))
            })
            .collect(),
        Err(error) => panic!("{pod}: {error}"),
    };
    assert_eq!(found, expected, "{pod}");
}

fn check_all(settings: &Settings, cases: &[(Value, &[&str])]) {
    for (pod, expected) in cases {
        check(settings, pod, expected);
    }
}

#[test]
fn ids_names_and_users() {
    let two = |one: &str, other: &str| {
        let of = |name| json!({"name": name, "resources": {}});
        pod(json!({"containers": [of(one), of(other)]}))
    };
    check_all(
        &settings(),
        &[
            (pod(json!({})), &[]),
            (pod(json!({"id": "/restart/foo"})), &[]),
            (
                pod(json!({"id": "/"})),
                &["/id: Path must contain at least one path element"],
            ),
            (
                pod(json!({"id": "some/foo"})),
                &["/id: Path needs to be absolute"],
            ),
            (
                pod(json!({"id": "/a/tasks"})),
                &[
                    "/id: must not end with any of the following reserved keywords: restart, tasks, versions, ., ..",
                ],
            ),
            (
                pod(json!({"id": "x", "user": ""})),
                &["/id: Path needs to be absolute", "/user: must not be empty"],
            ),
            (
                pod(json!({"user": "a\0b"})),
                &["/user: must not contain a NUL character"],
            ),
            (
                container(json!({"user": ""})),
                &["/containers(0)/user: must not be empty"],
            ),
            (two("a", "b"), &[]),
            (
                two("a", "a"),
                &["/containers: container names must be unique"],
            ),
        ],
    );
}

#[test]
fn endpoints_and_networks() {
    let modes = |network: Value, endpoints: Value| {
        pod_of(
            json!({"networks": network}),
            json!({"endpoints": endpoints}),
        )
    };
    let host = || json!([{"mode": "host"}]);
    let named = || json!([{"mode": "container", "name": "n"}]);
    let both = || json!([{"name": "n"}, {"name": "m"}]);
    let networks = |networks: Value| pod(json!({"networks": networks}));
    check_all(
        &settings(),
        &[
            (
                modes(
                    host(),
                    json!([{"name": "a"}, {"name": "b", "hostPort": 80}]),
                ),
                &[],
            ),
            (
                modes(host(), json!([{"name": "a", "containerPort": 80}])),
                &[
                    "/containers(0)/endpoints(0)/containerPort: is not allowed when using host-mode networking",
                ],
            ),
            (
                modes(named(), json!([{"name": "a"}])),
                &[
                    "/containers(0)/endpoints(0)/containerPort: is required when using container-mode networking",
                ],
            ),
            (
                modes(json!([{"mode": BRIDGE}]), json!([{"name": "a"}])),
                &[],
            ),
            (
                modes(json!([]), json!([{"name": "a", "containerPort": 1}])),
                &[],
            ),
            (
                modes(host(), json!([{"name": "a"}, {"name": "a"}])),
                &["/: endpoint names nust be unique across all containers"],
            ),
            (
                modes(
                    host(),
                    json!([{"name": "a", "hostPort": 123}, {"name": "b", "hostPort": 123}]),
                ),
                &["/: host ports must be unique across all containers"],
            ),
            (
                modes(
                    host(),
                    json!([{"name": "a", "hostPort": 0}, {"name": "b", "hostPort": 0}]),
                ),
                &[],
            ),
            (
                modes(
                    named(),
                    json!([{"name": "a", "containerPort": 1}, {"name": "b", "containerPort": 1}]),
                ),
                &["/: container ports must be unique across all containers"],
            ),
            (
                modes(
                    named(),
                    json!([{"name": "a", "containerPort": 0}, {"name": "b", "containerPort": 0}]),
                ),
                &[],
            ),
            (
                modes(host(), json!([{"name": "a", "protocol": ["tcp", "tcp"]}])),
                &[
                    "/containers(0)/endpoints(0)/protocol: Duplicate protocols within the same endpoint are not allowed",
                ],
            ),
            (
                modes(
                    both(),
                    json!([{"name": "a", "containerPort": 1, "hostPort": 0}]),
                ),
                &[
                    "/containers(0)/endpoints(0): networkNames must be a single item list when hostPort is \
                   specified and more than 1 container network is defined",
                ],
            ),
            (
                modes(
                    both(),
                    json!([{"name": "a", "containerPort": 1, "hostPort": 0, "networkNames": ["n", "m"]}]),
                ),
                &[
                    "/containers(0)/endpoints(0): networkNames must be a single item list when hostPort is \
                   specified and more than 1 container network is defined",
                ],
            ),
            (
                modes(
                    both(),
                    json!([{"name": "a", "containerPort": 1, "hostPort": 0, "networkNames": ["m"]}]),
                ),
                &[],
            ),
            (
                modes(both(), json!([{"name": "a", "containerPort": 1}])),
                &[],
            ),
            (
                modes(
                    both(),
                    json!([{"name": "a", "containerPort": 1, "networkNames": ["n", "x"]}]),
                ),
                &["/containers(0)/endpoints(0)/networkNames(1): got x, expected one of: [n, m]"],
            ),
            (
                networks(json!([{"mode": "host", "name": "n"}])),
                &["/networks: Host networks may not have names or labels"],
            ),
            (
                networks(json!([{"mode": "host", "labels": {"a": "b"}}])),
                &["/networks: Host networks may not have names or labels"],
            ),
            (
                networks(json!([{"mode": BRIDGE, "name": "n"}])),
                &["/networks: Bridge networks may not have names"],
            ),
            (
                networks(json!([{"name": "n"}, {"name": "n"}])),
                &["/networks: Duplicate networks are not allowed"],
            ),
            (
                networks(json!([{"mode": "host"}, {"name": "n"}])),
                &[
                    "/networks: May specify a single host network, single bridge network, or else 1-to-n container networks",
                ],
            ),
            (
                networks(json!([{"mode": "host"}, {"mode": "host"}])),
                &[
                    "/networks: May specify a single host network, single bridge network, or else 1-to-n container networks",
                ],
            ),
            (
                networks(json!([{}])),
                &["/networks: Network name must be specified when container network is selected."],
            ),
        ],
    );
    let defaulting = Settings {
        default_network_name: Some("blah".to_owned()),
        ..settings()
    };
    check_all(
        &defaulting,
        &[
            (networks(json!([{}])), &[]),
            (
                networks(json!([{}, {}])),
                &["/networks: Duplicate networks are not allowed"],
            ),
        ],
    );
}

#[test]
fn volumes_mounts_and_paths() {
    let mounted = |volume: Value, path: &str| {
        pod_of(
            json!({"volumes": [volume]}),
            json!({"volumeMounts": [{"name": "v", "mountPath": path}]}),
        )
    };
    let host = |path: &str| mounted(json!({"name": "v", "host": path}), "etc");
    let dots = "must not contain '..' as a path component";
    check_all(
        &settings(),
        &[
            (mounted(json!({"name": "v"}), "data"), &[]),
            (
                pod(json!({"volumes": [{"name": "v"}]})),
                &["/volumes(0): volume must be referenced by at least one container"],
            ),
            (
                pod_of(
                    json!({"volumes": [{"name": "v"}, {"name": "v", "host": "/a"}]}),
                    json!({"volumeMounts": [{"name": "v", "mountPath": "a"}]}),
                ),
                &["/volumes: volume names must be unique"],
            ),
            (
                container(json!({"volumeMounts": [{"name": "v", "mountPath": "a"}]})),
                &[
                    "/containers(0)/volumeMounts(0)/name: Referenced Volume in VolumeMount should exist",
                ],
            ),
            (host("/a..b/..c"), &[]),
            (host("../etc"), &[&format!("/volumes(0)/host: {dots}")]),
            (host("/var/../etc"), &[&format!("/volumes(0)/host: {dots}")]),
            (host("/var/.."), &[&format!("/volumes(0)/host: {dots}")]),
            (
                host("/a\0"),
                &["/volumes(0)/host: must not contain a NUL character"],
            ),
            (
                mounted(json!({"name": "v"}), "a/../../b"),
                &[&format!("/containers(0)/volumeMounts(0)/mountPath: {dots}")],
            ),
            (
                mounted(json!({"name": "v"}), "a\0"),
                &["/containers(0)/volumeMounts(0)/mountPath: must not contain a NUL character"],
            ),
        ],
    );
}

#[test]
fn commands_and_environments() {
    let nul = "must not contain a NUL character";
    check_all(
        &settings(),
        &[
            (
                container(json!({"exec": {"command": {"shell": "a\0"}}})),
                &[&format!("/containers(0)/exec/command/shell: {nul}")],
            ),
            (
                container(json!({"exec": {"command": {"argv": ["a", "\0"]}}})),
                &[&format!("/containers(0)/exec/command/argv(1): {nul}")],
            ),
            (
                container(json!({"image": {"kind": "OCI", "id": "\0"}})),
                &[&format!("/containers(0)/image/id: {nul}")],
            ),
            (
                pod(json!({"environment": {"A": "\0"}})),
                &[&format!("/environment/A: {nul}")],
            ),
            (
                container(json!({"environment": {"A": "\0", "mixedCase_1": "x"}})),
                &[&format!("/containers(0)/environment/A: {nul}")],
            ),
        ],
    );
}

#[test]
fn secrets_need_their_feature() {
    let declared = json!({"s": {"source": "path"}});
    let off = "Feature secrets is not enabled. Enable with --enable_features secrets)";
    let all = pod_of(
        json!({
            "secrets": declared,
            "environment": {"A": {"secret": "s"}},
            "volumes": [{"name": "v", "secret": "s"}]
        }),
        json!({
            "environment": {"B": {"secret": "s"}},
            "volumeMounts": [{"name": "v", "mountPath": "a"}],
            "image": {"kind": "docker", "id": "i", "pullConfig": {"secret": "s"}}
        }),
    );
    let reference =
        "use of secret-references in the environment requires the secrets feature to be enabled";
    check(
        &settings(),
        &all,
        &[
            &format!("/environment: {reference}"),
            &format!("/containers(0)/environment: {reference}"),
            "/secrets: must be empty",
            &format!("/secrets: {off}"),
            &format!("/volumes(0)/secret: {off}"),
            &format!("/containers(0)/image/pullConfig: {off}"),
        ],
    );
    check(&secrets(), &all, &[]);
    let mut undeclared = all;
    undeclared["secrets"] = json!({});
    check(
        &secrets(),
        &undeclared,
        &[
            "/environment/A/secret: references an undefined secret",
            "/containers(0)/environment/B/secret: references an undefined secret",
            "/volumes(0)/secret: volume.secret must refer to an existing secret",
            "/containers(0)/image/pullConfig: pullConfig.secret must refer to an existing secret",
        ],
    );
}

#[test]
fn scheduling_and_roles() {
    let constraint = |operator: &str, value: Value| {
        let constraint = json!({"fieldName": "f", "operator": operator, "value": value});
        pod(json!({"scheduling": {"placement": {"constraints": [constraint]}}}))
    };
    let at = "/scheduling/placement/constraints(0): ";
    let accepted = |roles: Value| json!({"placement": {"acceptedResourceRoles": roles}});
    let expected = |message: &str| format!("{at}{message}");
    let group_by = expected("GROUP BY must define an integer value or else no value at all");
    let max_per = expected("MAX_PER requires an integer value");
    let like = expected("LIKE and UNLIKE require a non-empty, regular expression value");
    let regex = expected("is not a valid regular expression");
    let is = expected(
        "IS only supports Mesos text and float values (see \
         http://mesos.apache.org/documentation/latest/attributes-resources/)",
    );
    check_all(
        &settings(),
        &[
            (constraint("UNIQUE", json!(null)), &[]),
            (
                constraint("UNIQUE", json!("a")),
                &[&expected("UNIQUE does not accept a value")],
            ),
            (constraint("CLUSTER", json!("a")), &[]),
            (constraint("GROUP_BY", json!("3")), &[]),
            (constraint("GROUP_BY", json!("three")), &[&group_by]),
            (constraint("MAX_PER", json!("3")), &[]),
            (constraint("MAX_PER", json!(null)), &[&max_per]),
            (constraint("LIKE", json!("a.*")), &[]),
            (constraint("UNLIKE", json!(null)), &[&like]),
            (constraint("LIKE", json!("(")), &[&regex]),
            (constraint("IS", json!("a/1.5")), &[]),
            (constraint("IS", json!("a b")), &[&is]),
            (
                pod(
                    json!({"scheduling": {"placement": {"constraints": [{"fieldName": "", "operator": "IS"}]}}}),
                ),
                &[&expected("missing field for constraint declaration")],
            ),
            (
                pod(json!({"scheduling": accepted(json!(["*", "dev"]))})),
                &["/acceptedResourceRoles: acceptedResourceRoles can only contain *"],
            ),
            (
                pod(json!({"role": "dev"})),
                &["/role: got dev, expected one of: [*]"],
            ),
            (
                pod(
                    json!({"id": "/dev/p", "role": "dev", "scheduling": accepted(json!(["*", "dev"]))}),
                ),
                &[],
            ),
            (
                pod(json!({"id": "/dev/p", "role": "dev", "scheduling": accepted(json!(["x"]))})),
                &["/acceptedResourceRoles: acceptedResourceRoles can only contain * and dev"],
            ),
        ],
    );
    let dev = Settings {
        default_role: "dev".to_owned(),
        ..settings()
    };
    let foreign = pod(json!({"role": "anotherRole"}));
    check(
        &dev,
        &foreign,
        &["/role: got anotherRole, expected one of: [dev]"],
    );
}

#[test]
fn checks_limits_and_linux() {
    let checked =
        |check: Value| container(json!({"endpoints": [{"name": "web"}], "healthCheck": check}));
    let limited = |limits: Value| container(json!({"resourceLimits": limits}));
    let linux = |info: Value| container(json!({"linuxInfo": info}));
    let one = "Only one of http, tcp, or command may be specified";
    let limit = "resource limit must be greater than or equal to requested resource";
    let web = json!({"endpoint": "web"});
    let shared = "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT";
    check_all(
        &settings(),
        &[
            (checked(json!({"http": web})), &[]),
            (
                checked(json!({"tcp": web, "intervalSeconds": 2})),
                &["/containers(0)/healthCheck/timeoutSeconds: got 20, expected less than 2"],
            ),
            (
                checked(json!({"http": web, "tcp": web})),
                &[&format!("/containers(0)/healthCheck: {one}")],
            ),
            (
                checked(json!({})),
                &[&format!("/containers(0)/healthCheck: {one}")],
            ),
            (
                container(json!({"check": {}})),
                &[&format!("/containers(0)/check: {one}")],
            ),
            (
                checked(json!({"http": {"endpoint": "other"}})),
                &["/containers(0)/healthCheck/http/endpoint: contained in the container endpoints"],
            ),
            (
                checked(json!({"exec": {"command": {"shell": "true"}}})),
                &[],
            ),
            (limited(json!({"cpus": 1, "mem": 128})), &[]),
            (limited(json!({"cpus": "unlimited"})), &[]),
            (
                limited(json!({"mem": 100})),
                &[&format!(
                    "/containers(0)/resourceLimits/mem: {limit} (128.0)"
                )],
            ),
            (
                limited(json!({"cpus": 0.5})),
                &[&format!(
                    "/containers(0)/resourceLimits/cpus: {limit} (1.0)"
                )],
            ),
            (
                pod_of(
                    json!({"legacySharedCgroups": true}),
                    json!({"resourceLimits": {"cpus": "unlimited"}}),
                ),
                &[
                    "/containers(0)/resourceLimits: resourceLimits cannot be defined if legacySharedCgroups is enabled",
                ],
            ),
            (linux(json!({"seccomp": {"unconfined": true}})), &[]),
            (linux(json!({"seccomp": {"profileName": "p"}})), &[]),
            (
                linux(json!({"seccomp": {"profileName": "p", "unconfined": true}})),
                &[
                    "/containers(0)/linuxInfo/seccomp: Seccomp unconfined can NOT be true when Profile is defined",
                ],
            ),
            (
                linux(json!({"seccomp": {}})),
                &[
                    "/containers(0)/linuxInfo/seccomp: Seccomp unconfined must be true when Profile is NOT defined",
                ],
            ),
            (
                pod(json!({"linuxInfo": {"seccomp": {"unconfined": true}}})),
                &["/linuxInfo/seccomp: Seccomp configuration on executor level is not supported"],
            ),
            (
                linux(json!({"ipcInfo": {"mode": "PRIVATE", "shmSize": 1}})),
                &[],
            ),
            (linux(json!({"ipcInfo": {"mode": "share_parent"}})), &[]),
            (
                linux(json!({"ipcInfo": {"mode": "SHARE_PARENT", "shmSize": 1}})),
                &[&format!("/containers(0)/linuxInfo/ipcInfo: {shared}")],
            ),
            (
                pod(json!({"linuxInfo": {"ipcInfo": {"mode": "SHARE_PARENT", "shmSize": 1}}})),
                &[&format!("/linuxInfo/ipcInfo: {shared}")],
            ),
        ],
    );
}

#[test]
fn completes() {
    let settings = Settings {
        default_network_name: Some("blah".to_owned()),
        default_role: "dev".to_owned(),
        ..secrets()
    };
    let complete = |pod: Value| {
        let reading = pod::admit(pod.to_string().as_bytes(), &settings).unwrap();
        serde_json::to_value(reading.definition).unwrap()
    };
    let port = |networks: Value, container_port: Value| {
        let endpoint = json!({"name": "a", "containerPort": container_port});
        let pod = pod_of(
            json!({"networks": networks}),
            json!({"endpoints": [endpoint]}),
        );
        complete(pod)
    };
    let cases = [
        (
            port(json!([{"mode": "host"}]), json!(null)),
            "/containers/0/endpoints/0/hostPort",
            json!(0),
        ),
        (
            port(json!([{"mode": BRIDGE}]), json!(1)),
            "/containers/0/endpoints/0/hostPort",
            json!(0),
        ),
        (
            port(json!([]), json!(1)),
            "/containers/0/endpoints/0/hostPort",
            json!(0),
        ),
        (
            port(json!([{}]), json!(1)),
            "/containers/0/endpoints/0/hostPort",
            Value::Null,
        ),
        (
            port(json!([{}]), json!(1)),
            "/networks/0/name",
            json!("blah"),
        ),
        (
            port(json!([{"mode": "host"}]), json!(null)),
            "/networks/0/name",
            Value::Null,
        ),
        (complete(pod(json!({}))), "/role", json!("dev")),
        (
            complete(pod(json!({"version": "2000-01-01T00:00:00.000Z"}))),
            "/version",
            Value::Null,
        ),
    ];
    for (written, pointer, expected) in cases {
        let found = written.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, expected, "{pointer} in {written}");
    }
}

#[test]
fn names_what_does_not_run_yet() {
    let check = |settings: &Settings, pod: Value, expected: &[&str]| {
        let reading = pod::admit(pod.to_string().as_bytes(), settings).unwrap();
        let found = pod::unsupported(&reading.definition);
        let paths: Vec<_> = found
            .iter()
            .map(|violation| violation.path.as_str())
            .collect();
        assert_eq!(paths, expected, "{pod}");
    };
    let runs = pod_of(
        json!({
            "networks": [{"mode": "host"}],
            "volumes": [{"name": "v"}, {"name": "h", "host": "/h"}],
            "linuxInfo": {"ipcInfo": {"mode": "PRIVATE"}}
        }),
        json!({
            "endpoints": [{"name": "a", "hostPort": 80}],
            "volumeMounts": [{"name": "v", "mountPath": "v"}, {"name": "h", "mountPath": "h"}],
            "lifecycle": {"killGracePeriodSeconds": 5},
            "linuxInfo": {"seccomp": {"unconfined": true}},
            "tty": false
        }),
    );
    check(&settings(), runs, &[]);
    let waits = pod_of(
        json!({
            "legacySharedCgroups": true,
            "secrets": {"s": {"source": "path"}},
            "environment": {"A": {"secret": "s"}},
            "volumes": [{"name": "v", "persistent": {"size": 1}}, {"name": "s", "secret": "s"}],
            "networks": [{"name": "n"}]
        }),
        json!({
            "endpoints": [{"name": "a", "containerPort": 80, "hostPort": 0}],
            "volumeMounts": [{"name": "v", "mountPath": "v"}, {"name": "s", "mountPath": "s"}],
            "image": {"kind": "docker", "id": "i", "forcePull": true, "pullConfig": {"secret": "s"}},
            "healthCheck": {"tcp": {"endpoint": "a"}},
            "check": {"tcp": {"endpoint": "a"}},
            "artifacts": [{"uri": "u"}],
            "tty": true,
            "linuxInfo": {"seccomp": {"profileName": "p"}, "ipcInfo": {"mode": "PRIVATE"}}
        }),
    );
    check(
        &secrets(),
        waits,
        &[
            "/legacySharedCgroups",
            "/environment/A",
            "/volumes(0)/persistent",
            "/volumes(1)/secret",
            "/containers(0)/healthCheck",
            "/containers(0)/check",
            "/containers(0)/artifacts",
            "/containers(0)/tty",
            "/containers(0)/image/pullConfig",
            "/containers(0)/image/forcePull",
            "/containers(0)/linuxInfo/seccomp/profileName",
            "/containers(0)/linuxInfo/ipcInfo",
            "/containers(0)/endpoints(0)/hostPort",
        ],
    );
    check(
        &settings(),
        pod(json!({"networks": [{"mode": BRIDGE}]})),
        &["/networks(0)"],
    );
    check(
        &settings(),
        pod(json!({"networks": [{"name": "a"}, {"name": "b"}]})),
        &["/networks(1)"],
    );
}

#[test]
fn restart_policies_of_containers_are_refused() {
    let text = pod_of(json!({}), json!({"restartPolicy": "NEVER"})).to_string();
    let error = pod::admit(text.as_bytes(), &settings()).unwrap_err();
    let told = format!("{error:?}");
    assert!(
        told.contains("restartPolicy") && told.contains("no restart policy of their own"),
        "{told}"
    );
}

#[test]
fn advises() {
    let long = format!("/{}", "a".repeat(55));
    let text = pod_of(
        json!({"id": long}),
        json!({"type": "MESOS", "dependsOn": []}),
    )
    .to_string();
    let reading = pod::admit(text.as_bytes(), &settings()).unwrap();
    let advice = pod::lint(&reading);
    let paths: Vec<_> = advice.iter().map(|advice| advice.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/containers(0)/type",
            "/containers(0)/dependsOn",
            "/id",
            "/containers(0)"
        ]
    );
}
