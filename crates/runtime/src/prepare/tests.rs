use std::sync::Arc;

use model::{
    id::{InstanceId, RunId},
    offer::Claim,
    pod::PodDefinition,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

fn facts() -> HostFacts {
    HostFacts {
        host_rootfs: HostRootfs::Overlay,
        covered: vec!["/state".into()],
        etc_files: vec!["/etc/hosts".into()],
        capabilities: vec!["CAP_KILL".to_owned()],
        logs: LogLimits {
            file_bytes: 1000,
            rotated_files: 2,
        },
        cpu_quota: true,
        pids_limit: 500,
        create_timeout_ms: 20_000,
        die_with_parent: false,
    }
}

fn group(definition: Value) -> TaskGroup {
    let definition: PodDefinition = serde_json::from_value(definition).unwrap();
    let instance = InstanceId::new(&definition.id, Uuid::from_u128(0xabcd << 112));
    let tasks = definition
        .containers
        .iter()
        .map(|container| Task {
            container: container.name.clone(),
            id: format!("task-{}", container.name),
            environment: BTreeMap::from([("A".to_owned(), "task".to_owned())]),
        })
        .collect();
    TaskGroup {
        run: RunId {
            instance: instance.uuid,
            incarnation: 2,
        },
        instance,
        claim: Claim::default(),
        host_ports: vec![],
        tasks,
        definition: Arc::new(definition),
    }
}

fn image() -> ResolvedImage {
    ResolvedImage {
        layers: vec!["/layers/b".into(), "/layers/a".into()],
        config: ImageConfig {
            image: "app".to_owned(),
            entrypoint: vec!["/app".to_owned()],
            env: vec![
                ("A".to_owned(), "image".to_owned()),
                ("B".to_owned(), "image".to_owned()),
                ("PATH".to_owned(), "/app/bin".to_owned()),
            ],
            user: Some("app".to_owned()),
            working_dir: Some("/srv".to_owned()),
            stop_signal: Some(3),
            ..ImageConfig::default()
        },
    }
}

fn prepare_with(definition: Value, facts: &HostFacts) -> Result<Launch, PrepareError> {
    let layout = Layout {
        state_dir: "/state".into(),
        run_dir: "/run/m".into(),
    };
    prepare(&Preparation {
        group: &group(definition),
        layout: &layout,
        cgroup_parent: "monopod",
        seccomp_program: Path::new("/run/m/seccomp/p.bpf"),
        facts,
        images: &BTreeMap::from([("app".to_owned(), image())]),
    })
}

fn launch_of(definition: Value) -> Launch {
    prepare_with(definition, &facts()).unwrap()
}

/// A pod of one container with these members beside name, command and resources.
fn pod(members: &Value, pod_members: &Value) -> Value {
    let mut container = json!({
        "name": "web",
        "exec": {"command": {"shell": "sleep 1"}},
        "resources": {"cpus": 0.5, "mem": 64}
    });
    let mut pod = json!({"id": "/shop/web"});
    for (name, value) in members.as_object().unwrap() {
        container[name] = value.clone();
    }
    for (name, value) in pod_members.as_object().unwrap() {
        pod[name] = value.clone();
    }
    pod["containers"] = json!([container]);
    pod
}

const SANDBOX: &str = "/state/sandboxes/abcd0000-0000-0000-0000-000000000000/2";

#[test]
fn a_container_without_image_gets_the_hosts_root_and_its_sandbox_in_place() {
    let launch = launch_of(pod(&json!({}), &json!({})));
    let container = &launch.containers[0];
    let own = format!("{SANDBOX}/containers/web");
    assert_eq!(container.argv, ["/bin/sh", "-c", "sleep 1"]);
    assert_eq!(container.sandbox, Path::new(&own));
    assert_eq!(container.sandbox_mount, Path::new(&own));
    assert_eq!(container.cwd, Path::new(&own));
    assert!(!container.create_cwd && container.seccomp);
    assert_eq!(container.environment["MESOS_SANDBOX"], own);
    assert_eq!(container.environment["PATH"], DEFAULT_PATH);
    assert_eq!(container.user, None);
    assert_eq!((container.kill_grace_ms, container.stop_signal), (3000, 15));
    let expected = Rootfs::HostOverlay {
        writable: format!("{SANDBOX}/root/web").into(),
        covered: vec!["/state".into()],
    };
    assert_eq!(container.rootfs, expected);
    assert!(container.mounts.is_empty());
    assert_eq!((launch.own_network, launch.hostname), (false, None));
    assert_eq!(
        launch.cgroups.run,
        "monopod/abcd0000-0000-0000-0000-000000000000.2"
    );
    assert_eq!(launch.shm_bytes, 64 * MIB);
}

#[test]
fn an_image_says_what_the_definition_leaves_open() {
    let image = json!({"image": {"kind": "OCI", "id": "app"}, "exec": null});
    let launch = launch_of(pod(&image, &json!({})));
    let container = &launch.containers[0];
    assert_eq!(container.argv, ["/app"]);
    assert_eq!(container.cwd, Path::new("/srv"));
    assert!(container.create_cwd);
    assert_eq!(container.sandbox_mount, Path::new(IMAGE_SANDBOX));
    assert_eq!(container.user.as_deref(), Some("app"));
    assert_eq!(container.stop_signal, 3);
    let environment = &container.environment;
    let values = ["A", "B", "PATH", "MESOS_SANDBOX"].map(|name| environment[name].as_str());
    assert_eq!(values, ["task", "image", "/app/bin", IMAGE_SANDBOX]);
    assert!(matches!(&container.rootfs, Rootfs::Image { layers, .. } if layers.len() == 2));
    let hosts = &container.mounts[0];
    assert_eq!(
        (hosts.source.to_str(), hosts.read_only),
        (Some("/etc/hosts"), true)
    );
}

#[test]
fn users_are_the_containers_then_the_pods_then_the_images() {
    let image = json!({"image": {"kind": "OCI", "id": "app"}});
    let own = json!({"image": {"kind": "OCI", "id": "app"}, "user": "own"});
    let cases = [
        (&image, json!({}), "app"),
        (&image, json!({"user": "pod"}), "pod"),
        (&own, json!({"user": "pod"}), "own"),
    ];
    for (members, pod_members, expected) in cases {
        let launch = launch_of(pod(members, &pod_members));
        assert_eq!(launch.containers[0].user.as_deref(), Some(expected));
    }
}

#[test]
fn limits_are_the_request_unless_given() {
    let none = json!({"resourceLimits": {"cpus": "unlimited", "mem": "unlimited"}});
    let some = json!({"resourceLimits": {"cpus": 2, "mem": 128}});
    let cases = [
        (json!({}), true, (Some(500), Some(64 * MIB))),
        (json!({}), false, (None, Some(64 * MIB))),
        (none, true, (None, None)),
        (some, false, (Some(2000), Some(128 * MIB))),
    ];
    for (members, cpu_quota, expected) in cases {
        let facts = HostFacts {
            cpu_quota,
            ..facts()
        };
        let launch = prepare_with(pod(&members, &json!({})), &facts).unwrap();
        let container = &launch.containers[0];
        let limits = (container.cpu_quota_milli, container.memory_limit_bytes);
        assert_eq!(limits, expected, "{members}");
        let executor = Resources {
            cpus_milli: 100,
            mem_bytes: 32 * MIB,
            ..Resources::ZERO
        };
        let run = run_limits(&launch, &executor);
        assert_eq!(run.memory_bytes, expected.1.map(|bytes| bytes + 32 * MIB));
        assert_eq!((run.cpus_milli, run.pids), (600, Some(564)));
    }
}

#[test]
fn volumes_are_bound_in_an_order_that_shows_them() {
    let volumes = json!({"volumes": [
        {"name": "data"}, {"name": "abs", "host": "/srv//x/"}, {"name": "rel", "host": "conf"}
    ]});
    let mounts = json!({"volumeMounts": [
        {"name": "data", "mountPath": "/deep/inside/it"},
        {"name": "abs", "mountPath": "/deep", "readOnly": true},
        {"name": "rel", "mountPath": "./etc"}
    ]});
    let launch = launch_of(pod(&mounts, &volumes));
    let binds: Vec<_> = launch.containers[0]
        .mounts
        .iter()
        .map(|bind| {
            let text = |path: &Path| path.display().to_string().replace(SANDBOX, "SANDBOX");
            (text(&bind.source), text(&bind.destination), bind.read_only)
        })
        .collect();
    let expected = [
        ("/srv/x", "/deep", true),
        ("SANDBOX/volumes/data", "/deep/inside/it", false),
        ("SANDBOX/conf", "SANDBOX/containers/web/etc", false),
    ];
    let expected = expected.map(|(from, to, ro)| (from.to_owned(), to.to_owned(), ro));
    assert_eq!(binds, expected);
}

#[test]
fn a_network_of_its_own_brings_a_name() {
    let network = json!({"networks": [{"mode": "container", "name": "dcos"}]});
    let launch = launch_of(pod(&json!({}), &network));
    assert!(launch.own_network);
    assert_eq!(launch.hostname.as_deref(), Some("shop-web-abcd0000"));
    let destinations: Vec<_> = launch.containers[0]
        .mounts
        .iter()
        .map(|bind| bind.destination.to_str().unwrap())
        .collect();
    assert_eq!(
        destinations,
        ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
    );
    let long = "a".repeat(200);
    let mut group = group(pod(&json!({}), &network));
    group.instance.safe_path = format!("-.{long}");
    assert_eq!(hostname(&group).len(), 61);
}

#[test]
fn what_cannot_be_launched_says_why() {
    let deny = HostFacts {
        host_rootfs: HostRootfs::Deny,
        ..facts()
    };
    let absent = json!({"image": {"kind": "DOCKER", "id": "gone"}});
    let mount = |path: &str| json!({"volumeMounts": [{"name": "v", "mountPath": path}]});
    let volume = |host: &str| json!({"volumes": [{"name": "v", "host": host}]});
    let secret = json!({"volumes": [{"name": "v", "secret": "s"}]});
    let profile = json!({"linuxInfo": {"seccomp": {"profileName": "p"}}});
    let nothing = json!({"exec": null});
    let cases = [
        (absent, json!({}), "image 'gone' is not here; import it"),
        (mount("/x"), json!({}), "volume 'v' does not exist"),
        (mount("../x"), volume("/a"), "'../x'"),
        (mount("/"), volume("/a"), "'/'"),
        (mount("/x"), volume("/a/../b"), "'/a/../b'"),
        (mount("/x"), volume("/state/images"), "in /state"),
        (mount("/x"), secret, "secret"),
        (profile, json!({}), "'p'"),
        (nothing, json!({}), "prepare container 'web'"),
    ];
    for (members, pod_members, expected) in cases {
        let error = prepare_with(pod(&members, &pod_members), &facts()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = prepare_with(pod(&json!({}), &json!({})), &deny).unwrap_err();
    assert!(
        matches!(error, PrepareError::HostRootfsDenied { .. }),
        "{error}"
    );
}
