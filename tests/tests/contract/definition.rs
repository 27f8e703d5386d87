//! Validation of definitions: checks 18 to 71. Each is asked of the real daemon; the rules alone are tested in `model`.

use e2e::{host::Host, needs_root};
use serde_json::{Value, json};

use crate::{accepted, post, refused, simple, sleeper, tells, with, with_all};

/// Tests of pods that are refused: what is said where.
macro_rules! refusals {
    ($($name:ident: $pod:expr => $($path:literal, $message:literal);+.)+) => {
        $(
            #[test]
            fn $name() {
                needs_root!();
                let host = Host::start();
                let pod: Value = $pod;
                $(refused(&host, &pod, $path, $message);)+
            }
        )+
    };
}

/// Two containers, with one endpoint each.
fn endpoints(mode: &str, first: Value, second: Value) -> Value {
    let network = match mode {
        "container" => json!({"mode": mode, "name": "n"}),
        _ => json!({"mode": mode}),
    };
    with_all(
        simple("/p"),
        &[
            ("/networks", json!([network])),
            ("/containers", json!([sleeper("a"), sleeper("b")])),
            ("/containers/0/endpoints", json!([first])),
            ("/containers/1/endpoints", json!([second])),
        ],
    )
}

fn endpoint(endpoint: Value) -> Value {
    with(simple("/p"), "/containers/0/endpoints", json!([endpoint]))
}

fn constrained(constraint: Value) -> Value {
    let pointer = "/scheduling/placement/constraints";
    with(simple("/p"), pointer, json!([constraint]))
}

fn checked(check: Value) -> Value {
    with(
        endpoint(json!({"name": "web", "hostPort": 0})),
        "/containers/0/healthCheck",
        check,
    )
}

refusals! {
    check_018_the_root_is_no_id: simple("/") => "/id", "Path must contain at least one path element".
    check_019_a_relative_id: simple("some/foo") => "/id", "Path needs to be absolute".
    check_022_an_empty_user: with(simple("/p"), "/user", json!("")) => "/user", "must not be empty".
    check_024_containers_named_alike: with(simple("/p"), "/containers", json!([sleeper("c"), sleeper("c")]))
        => "/containers", "container names must be unique".
    check_026_endpoints_named_alike: endpoints("host", json!({"name": "e"}), json!({"name": "e"}))
        => "/", "endpoint names nust be unique across all containers".
    check_027_a_host_port_twice: endpoints("host", json!({"name": "e", "hostPort": 123}), json!({"name": "f", "hostPort": 123}))
        => "/", "host ports must be unique across all containers".
    check_029_a_container_port_twice:
        endpoints("container", json!({"name": "e", "containerPort": 123}), json!({"name": "f", "containerPort": 123}))
        => "/", "container ports must be unique across all containers".
    check_031_volumes_named_alike: with_all(simple("/p"), &[
            ("/volumes", json!([{"name": "v"}, {"name": "v"}])),
            ("/containers/0/volumeMounts", json!([{"name": "v", "mountPath": "v"}])),
        ]) => "/volumes", "volume names must be unique".
    check_032_a_volume_that_nobody_mounts: with(simple("/p"), "/volumes", json!([{"name": "v"}]))
        => "/volumes(0)", "volume must be referenced by at least one container".
    check_033_a_mount_of_an_unknown_volume:
        with(simple("/p"), "/containers/0/volumeMounts", json!([{"name": "v", "mountPath": "v"}]))
        => "/containers(0)/volumeMounts(0)/name", "Referenced Volume in VolumeMount should exist".
    check_034_a_container_network_needs_container_ports:
        with(endpoint(json!({"name": "e"})), "/networks", json!([{"mode": "container", "name": "n"}]))
        => "/containers(0)/endpoints(0)/containerPort", "is required when using container-mode networking".
    check_035_the_hosts_network_has_no_container_ports: endpoint(json!({"name": "e", "containerPort": 80}))
        => "/containers(0)/endpoints(0)/containerPort", "is not allowed when using host-mode networking".
    check_042_the_hosts_network_has_no_name: with(simple("/p"), "/networks", json!([{"mode": "host", "name": "n"}]))
        => "/networks", "Host networks may not have names or labels".
    check_043_host_and_container_network:
        with(simple("/p"), "/networks", json!([{"mode": "host"}, {"mode": "container", "name": "n"}]))
        => "/networks", "May specify a single host network, single bridge network, or else 1-to-n container networks".
    check_044_a_bad_name_of_a_variable:
        with(simple("/p"), "/containers/0/environment", json!({"bad variable name": "x"}))
        => "/containers(0)/environment/bad variable name", "error.pattern".
    check_049_an_undeclared_secret:
        with(simple("/p"), "/containers/0/environment", json!({"PASSWORD": {"secret": "unknown"}}))
        => "/containers(0)/environment/PASSWORD/secret", "references an undefined secret".
    check_050_pull_config_of_an_unknown_secret: with_all(simple("/p"), &[
            ("/containers/0/image", json!({"kind": "DOCKER", "id": "a", "pullConfig": {"secret": "unknown"}})),
        ]) => "/containers(0)/image/pullConfig", "pullConfig.secret must refer to an existing secret".
    check_055_a_timeout_longer_than_the_interval:
        checked(json!({"http": {"endpoint": "web"}, "intervalSeconds": 2}))
        => "/containers(0)/healthCheck/timeoutSeconds", "got 20, expected less than 2".
    check_057_a_check_of_another_containers_endpoint: with(
            endpoints("host", json!({"name": "e"}), json!({"name": "f"})), "/containers/0/healthCheck", json!({"tcp": {"endpoint": "f"}}))
        => "/containers(0)/healthCheck/tcp/endpoint", "contained in the container endpoints".
    check_059_a_limit_of_memory_below_the_request: with_all(simple("/p"), &[
            ("/containers/0/resources", json!({"cpus": 1, "mem": 128})), ("/containers/0/resourceLimits", json!({"mem": 100})),
        ]) => "/containers(0)/resourceLimits/mem", "resource limit must be greater than or equal to requested resource (128.0)".
    check_060_a_limit_of_cpus_below_the_request: with_all(simple("/p"), &[
            ("/containers/0/resources", json!({"cpus": 1, "mem": 128})), ("/containers/0/resourceLimits", json!({"cpus": 0.5})),
        ]) => "/containers(0)/resourceLimits/cpus", "resource limit must be greater than or equal to requested resource (1.0)".
    check_061_limits_in_a_shared_cgroup: with_all(simple("/p"), &[
            ("/legacySharedCgroups", json!(true)), ("/containers/0/resourceLimits", json!({"cpus": "unlimited"})),
        ]) => "/containers(0)/resourceLimits", "resourceLimits cannot be defined if legacySharedCgroups is enabled".
    check_067_an_unknown_role: with(simple("/p"), "/role", json!("anotherRole"))
        => "/role", "got anotherRole, expected one of: [*]".
}

#[test]
fn check_041_a_container_network_needs_a_name() {
    needs_root!();
    let host = Host::start_configured("[marathon]\n", &[]);
    let pod = with(simple("/p"), "/networks", json!([{"mode": "container"}]));
    let message = "Network name must be specified when container network is selected.";
    refused(&host, &pod, "/networks", message);
}

#[test]
fn check_020_reserved_last_segments() {
    needs_root!();
    let host = Host::start();
    let message =
        "must not end with any of the following reserved keywords: restart, tasks, versions, ., ..";
    for id in ["/a/restart", "/a/tasks", "/versions"] {
        refused(&host, &simple(id), "/id", message);
    }
    accepted(&host, &simple("/restart/foo"));
}

#[test]
fn check_021_capitals_and_spaces_in_ids() {
    needs_root!();
    let host = Host::start();
    for id in ["/Upper", "/with space"] {
        assert_eq!(post(&host, &simple(id)).status, 422, "{id}");
    }
}

#[test]
fn check_023_no_containers() {
    needs_root!();
    let answer = post(
        &Host::start(),
        &with(simple("/p"), "/containers", json!([])),
    );
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["details"][0]["path"], "/containers");
}

#[test]
fn check_025_names_of_containers() {
    needs_root!();
    let host = Host::start();
    for name in ["_app", "Web", &"a".repeat(64)] {
        let answer = post(
            &host,
            &with(simple("/p"), "/containers", json!([sleeper(name)])),
        );
        assert_eq!(answer.status, 422, "{name}");
        assert_eq!(answer.json()["details"][0]["path"], "/containers(0)/name");
    }
}

#[test]
fn check_028_any_host_port_twice() {
    needs_root!();
    let any = |name: &str| json!({"name": name, "hostPort": 0});
    accepted(&Host::start(), &endpoints("host", any("e"), any("f")));
}

#[test]
fn check_030_any_container_port_twice() {
    needs_root!();
    let any = |name: &str| json!({"name": name, "containerPort": 0});
    accepted(&Host::start(), &endpoints("container", any("e"), any("f")));
}

#[test]
fn check_036_a_host_port_is_chosen() {
    needs_root!();
    let pod = accepted(&Host::start(), &endpoint(json!({"name": "e"})));
    assert_eq!(pod["containers"][0]["endpoints"][0]["hostPort"], 0);
}

/// Two container networks, and an endpoint.
fn two_networks(endpoint: Value) -> Value {
    let networks = json!([{"mode": "container", "name": "m"}, {"mode": "container", "name": "n"}]);
    with_all(
        simple("/p"),
        &[
            ("/networks", networks),
            ("/containers/0/endpoints", json!([endpoint])),
        ],
    )
}

#[test]
fn check_037_to_040_endpoints_of_several_networks() {
    needs_root!();
    let host = Host::start();
    let path = "/containers(0)/endpoints(0)";
    let message = "networkNames must be a single item list when hostPort is specified and more than 1 container network is defined";
    let endpoint = |names: Value| json!({"name": "e", "containerPort": 80, "hostPort": 0, "networkNames": names});
    refused(&host, &two_networks(endpoint(json!([]))), path, message);
    refused(
        &host,
        &two_networks(endpoint(json!(["m", "n"]))),
        path,
        message,
    );
    // Several networks are not run yet: no rule of Marathon's is broken.
    for fine in [
        endpoint(json!(["n"])),
        json!({"name": "e", "containerPort": 80}),
    ] {
        let answer = post(&host, &two_networks(fine));
        assert!(
            !answer.body.contains("networkNames must be"),
            "{}",
            answer.body
        );
    }
    let answer = post(&host, &two_networks(endpoint(json!(["elsewhere"]))));
    assert_eq!(answer.status, 422);
    assert!(
        answer
            .body
            .contains("/containers(0)/endpoints(0)/networkNames(0)"),
        "{}",
        answer.body
    );
}

#[test]
fn check_045_names_of_variables_that_are_refused() {
    needs_root!();
    let host = Host::start();
    for name in ["1ST", "", &"A".repeat(256)] {
        let pod = with(simple("/p"), "/environment", json!({name: "x"}));
        assert_eq!(post(&host, &pod).status, 422, "{name}");
    }
}

#[test]
fn check_046_names_of_variables_in_any_case() {
    needs_root!();
    let environment = json!({"lower": "1", "Mixed_Case": "2", "_under": "3"});
    let pod = accepted(
        &Host::start(),
        &with(simple("/p"), "/environment", environment.clone()),
    );
    assert_eq!(pod["environment"], environment);
}

#[test]
fn check_047_secrets_without_the_feature() {
    needs_root!();
    let host = Host::start_configured("[marathon]\nenable_features = []\n", &[]);
    let secrets = ("/secrets", json!({"s": {"source": "/path"}}));
    let reference = json!({"PASSWORD": {"secret": "s"}});
    let uses = [
        ("/environment", reference.clone()),
        ("/containers/0/environment", reference),
        ("/volumes", json!([{"name": "v", "secret": "s"}])),
    ];
    for used in uses {
        let answer = post(&host, &with_all(simple("/p"), &[secrets.clone(), used]));
        assert_eq!(answer.status, 422);
        assert!(
            answer.body.contains("Feature secrets is not enabled"),
            "{}",
            answer.body
        );
    }
}

#[test]
fn check_051_pull_config_without_the_feature() {
    needs_root!();
    let host = Host::start_configured("[marathon]\nenable_features = []\n", &[]);
    let image = json!({"kind": "DOCKER", "id": "a", "pullConfig": {"secret": "s"}});
    let pod = with_all(
        simple("/p"),
        &[
            ("/secrets", json!({"s": {"source": "/path"}})),
            ("/containers/0/image", image),
        ],
    );
    assert_eq!(post(&host, &pod).status, 422);
}

#[test]
fn check_052_to_054_constraints() {
    needs_root!();
    let host = Host::start();
    let constraint = |operator: &str, value: Option<&str>| {
        let mut constraint = json!({"fieldName": "hostname", "operator": operator});
        if let Some(value) = value {
            constraint["value"] = json!(value);
        }
        constrained(constraint)
    };
    let path = "/scheduling/placement/constraints(0)";
    let cases = [
        ("MAX_PER", None, "MAX_PER requires an integer value"),
        ("UNIQUE", Some("x"), "UNIQUE does not accept a value"),
        (
            "GROUP_BY",
            Some("x"),
            "GROUP BY must define an integer value or else no value at all",
        ),
        ("LIKE", Some("["), "is not a valid regular expression"),
        (
            "IS",
            Some("a b"),
            "IS only supports Mesos text and float values",
        ),
    ];
    for (operator, value, message) in cases {
        refused(&host, &constraint(operator, value), path, message);
    }
    accepted(&host, &constraint("MAX_PER", Some("3")));
}

#[test]
fn check_056_one_kind_of_check() {
    needs_root!();
    let host = Host::start();
    let message = "Only one of http, tcp, or command may be specified";
    let both = json!({"http": {"endpoint": "web"}, "tcp": {"endpoint": "web"}});
    for check in [both, json!({})] {
        let answer = post(&host, &checked(check));
        assert_eq!(answer.status, 422);
        assert!(
            tells(&answer, "/containers(0)/healthCheck", message),
            "{}",
            answer.body
        );
    }
}

#[test]
fn check_058_a_protocol_twice() {
    needs_root!();
    let pod = endpoint(json!({"name": "e", "protocol": ["tcp", "tcp"]}));
    let message = "Duplicate protocols within the same endpoint are not allowed";
    refused(
        &Host::start(),
        &pod,
        "/containers(0)/endpoints(0)/protocol",
        message,
    );
}

#[test]
fn check_068_foreign_resource_roles() {
    needs_root!();
    let pod = with(
        simple("/p"),
        "/scheduling/placement/acceptedResourceRoles",
        json!(["foreign"]),
    );
    let message = "acceptedResourceRoles can only contain *";
    refused(&Host::start(), &pod, "/acceptedResourceRoles", message);
}

#[test]
fn check_069_seccomp() {
    needs_root!();
    let host = Host::start();
    let seccomp = |value: Value| with(simple("/p"), "/containers/0/linuxInfo/seccomp", value);
    let both = seccomp(json!({"profileName": "default", "unconfined": true}));
    let answer = post(&host, &both);
    assert!(
        answer
            .body
            .contains("Seccomp unconfined can NOT be true when Profile is defined"),
        "{}",
        answer.body
    );
    let neither = seccomp(json!({"unconfined": false}));
    let answer = post(&host, &neither);
    assert!(
        answer
            .body
            .contains("Seccomp unconfined must be true when Profile is NOT defined"),
        "{}",
        answer.body
    );
    let pod_level = with(
        simple("/p"),
        "/linuxInfo/seccomp",
        json!({"unconfined": true}),
    );
    let answer = post(&host, &pod_level);
    assert!(
        answer
            .body
            .contains("Seccomp configuration on executor level is not supported"),
        "{}",
        answer.body
    );
    accepted(&host, &seccomp(json!({"unconfined": true})));
}

#[test]
fn check_070_shared_memory() {
    needs_root!();
    let host = Host::start();
    let message = "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT";
    let shared = json!({"mode": "SHARE_PARENT", "shmSize": 16});
    for pointer in ["/linuxInfo/ipcInfo", "/containers/0/linuxInfo/ipcInfo"] {
        let answer = post(&host, &with(simple("/p"), pointer, shared.clone()));
        assert_eq!(answer.status, 422);
        assert!(answer.body.contains(message), "{}", answer.body);
    }
    for (index, fine) in [
        json!({"mode": "PRIVATE", "shmSize": 16}),
        json!({"mode": "PRIVATE"}),
        json!({"mode": "SHARE_PARENT"}),
    ]
    .into_iter()
    .enumerate()
    {
        accepted(
            &host,
            &with(simple(&format!("/fine{index}")), "/linuxInfo/ipcInfo", fine),
        );
    }
}

#[test]
fn check_071_groups_and_pods_do_not_share_ids() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &simple("/a/b/c"));
    let message = "Groups and Pods may not have the same identifier.";
    for id in ["/a/b", "/a", "/a/b/c/d"] {
        let answer = post(&host, &simple(id));
        assert_eq!(answer.status, 422, "{id}");
        assert!(answer.body.contains(message), "{}", answer.body);
    }
    accepted(&host, &simple("/a/b/other"));
}
