//! Ports, volumes, environment: checks 116 to 130.

use std::time::{Duration, Instant};

use e2e::{
    host::{Host, SOON},
    kernel::{cgroup_file, has_cgroup_v2},
    needs_root, wait_for,
};
use serde_json::{Value, json};

use crate::{simple, sleeper, with, with_all};

fn container(name: &str, command: &str) -> Value {
    with(sleeper(name), "/exec/command/shell", json!(command))
}

/// What a container printed, once it has a line with this word.
fn printed(host: &Host, id: &str, name: &str, word: &str) -> String {
    wait_for(&format!("{name} prints {word}"), SOON, || {
        let log = host.log_of(id, name, "stdout");
        log.contains(word).then_some(log)
    })
}

#[test]
fn check_116_ports_are_given_out() {
    needs_root!();
    let host = Host::start();
    let with_port = |name: &str| {
        let endpoint = json!([{"name": format!("{name}-port"), "hostPort": 0}]);
        with(sleeper(name), "/endpoints", endpoint)
    };
    let status = host.launch(&with(
        simple("/p"),
        "/containers",
        json!([with_port("a"), with_port("b")]),
    ));
    let port = |container: usize| {
        status["instances"][0]["containers"][container]["endpoints"][0]["allocatedHostPort"]
            .as_u64()
    };
    assert!(
        port(0).is_some() && port(1).is_some() && port(0) != port(1),
        "{status}"
    );
}

#[test]
fn check_120_a_shared_volume() {
    needs_root!();
    let host = Host::start();
    let mount = json!([{"name": "v", "mountPath": "shared"}]);
    let writer = container("writer", "while :; do date > shared/now; sleep 0.1; done");
    let reader = container(
        "reader",
        "until [ -s shared/now ]; do sleep 0.1; done; echo read it; exec sleep 1000",
    );
    let pod = with_all(
        simple("/p"),
        &[
            ("/volumes", json!([{"name": "v"}])),
            (
                "/containers",
                json!([
                    with(writer, "/volumeMounts", mount.clone()),
                    with(reader, "/volumeMounts", mount)
                ]),
            ),
        ],
    );
    host.launch(&pod);
    printed(&host, "/p", "reader", "read it");
    let status = host.status("/p");
    for container in status["instances"][0]["containers"].as_array().unwrap() {
        assert_eq!(container["status"], "TASK_RUNNING");
    }
}

#[test]
fn check_121_and_122_the_environment() {
    needs_root!();
    let host = Host::start();
    let pod = with_all(
        simple("/product/frontend"),
        &[
            ("/environment", json!({"K": "pod", "ONLY": "pod"})),
            ("/labels", json!({"some-label": "value"})),
            ("/containers/0/environment", json!({"K": "ctr"})),
            (
                "/containers/0/exec/command/shell",
                json!("env | sort; echo END; exec sleep 1000"),
            ),
        ],
    );
    let status = host.launch(&pod);
    let log = printed(&host, "/product/frontend", "c", "END");
    let has = |line: &str| assert!(log.lines().any(|found| found == line), "{line} in {log}");
    let task = status["instances"][0]["containers"][0]["containerId"]
        .as_str()
        .unwrap();
    let version = status["spec"]["version"].as_str().unwrap();
    has("K=ctr");
    has("ONLY=pod");
    has("MARATHON_APP_ID=/product/frontend");
    has("MARATHON_CONTAINER_ID=c");
    has(&format!("MESOS_TASK_ID={task}"));
    has(&format!("MARATHON_APP_VERSION={version}"));
    has("MARATHON_APP_LABELS=SOME_LABEL");
    has("MARATHON_APP_LABEL_SOME_LABEL=value");
    assert!(
        log.contains("MESOS_EXECUTOR_ID=instance-product_frontend."),
        "{log}"
    );
    assert!(log.contains("MESOS_SANDBOX="), "{log}");
}

#[test]
fn check_124_users() {
    needs_root!();
    let host = Host::start();
    let who = "id -un; echo END; exec sleep 1000";
    let pod = with_all(
        simple("/p"),
        &[
            ("/user", json!("nobody")),
            (
                "/containers",
                json!([
                    container("pods", who),
                    with(container("own", who), "/user", json!("root"))
                ]),
            ),
        ],
    );
    host.launch(&pod);
    assert!(printed(&host, "/p", "pods", "END").starts_with("nobody\n"));
    assert!(printed(&host, "/p", "own", "END").starts_with("root\n"));
}

#[test]
fn check_125_commands() {
    needs_root!();
    let host = Host::start();
    let argv = json!({"command": {"argv": ["/bin/sh", "-c", "echo argv $0; echo END; exec sleep 1000", "zero"]}});
    let pod = with(
        simple("/p"),
        "/containers",
        json!([
            container("shell", "echo shell $0; echo END; exec sleep 1000"),
            with(sleeper("argv"), "/exec", argv)
        ]),
    );
    host.launch(&pod);
    assert!(printed(&host, "/p", "shell", "END").starts_with("shell /bin/sh\n"));
    assert!(printed(&host, "/p", "argv", "END").starts_with("argv zero\n"));
}

#[test]
fn check_126_volumes_that_may_not_be_written() {
    needs_root!();
    let host = Host::start();
    let directory = host.directory().join("shared");
    std::fs::create_dir(&directory).unwrap();
    let command =
        "touch ro/x && echo wrote ro; touch rw/x && echo wrote rw; echo END; exec sleep 1000";
    let pod = with_all(
        simple("/p"),
        &[
            (
                "/volumes",
                json!([{"name": "h", "host": directory}, {"name": "e"}]),
            ),
            ("/containers/0/exec/command/shell", json!(command)),
            (
                "/containers/0/volumeMounts",
                json!([{"name": "h", "mountPath": "ro", "readOnly": true}, {"name": "e", "mountPath": "rw"}]),
            ),
        ],
    );
    host.launch(&pod);
    let log = printed(&host, "/p", "c", "END");
    assert!(
        !log.contains("wrote ro") && log.contains("wrote rw"),
        "{log}"
    );
}

#[test]
fn check_127_the_grace_of_a_kill() {
    needs_root!();
    let host = Host::start();
    let stubborn = "trap : TERM; echo ready; while :; do sleep 0.1; done";
    let obedient = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let mut took = Vec::new();
    for (id, command) in [("/stubborn", stubborn), ("/obedient", obedient)] {
        let pod = with_all(
            simple(id),
            &[
                ("/containers/0/exec/command/shell", json!(command)),
                ("/containers/0/lifecycle/killGracePeriodSeconds", json!(3)),
            ],
        );
        host.launch(&pod);
        printed(&host, id, "c", "ready");
        let asked = Instant::now();
        host.remove(id);
        took.push(asked.elapsed());
    }
    assert!(took[0] >= Duration::from_secs(3), "{took:?}");
    assert!(took[1] < Duration::from_secs(3), "{took:?}");
}

/// A number out of a file of a container's cgroup; the highest there is where there is no limit.
fn limit(host: &Host, name: &str, (controller, v1, v2): (&str, &str, &str)) -> u64 {
    let processes = host.container_processes();
    let is_its = |cgroup: &str| cgroup.rsplit('/').next() == Some(name);
    let process = processes.iter().find(|process| is_its(&process.cgroup));
    let cgroup = format!("{}/{}", host.cgroup_parent(), process.unwrap().cgroup);
    let file = if has_cgroup_v2() { v2 } else { v1 };
    let content = cgroup_file(controller, &cgroup, file);
    let first = content.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or(u64::MAX)
}

#[test]
fn check_128_limits_are_none_larger_or_what_is_asked_for() {
    needs_root!();
    let host = Host::start_configured(
        "[runtime]\ncpu_quota = true\n",
        &["--resources", "cpus:64;mem:65536;disk:65536"],
    );
    let limited = |name: &str, limits: Value| with(sleeper(name), "/resourceLimits", limits);
    let containers = json!([
        limited(
            "unlimited",
            json!({"cpus": "unlimited", "mem": "unlimited"})
        ),
        limited("larger", json!({"cpus": 1, "mem": 128})),
        sleeper("unset"),
    ]);
    host.launch(&with(simple("/p"), "/containers", containers));
    let cpus = ("cpu", "cpu.cfs_quota_us", "cpu.max");
    let memory = ("memory", "memory.limit_in_bytes", "memory.max");
    for file in [cpus, memory] {
        let of = |name: &str| limit(&host, name, file);
        let (unlimited, larger, unset) = (of("unlimited"), of("larger"), of("unset"));
        // Without a limit the kernel says -1, max, or a number beyond any memory.
        assert!(unlimited > 1 << 62, "{file:?}: {unlimited}");
        assert!(
            larger < unlimited && unset < larger,
            "{file:?}: {larger} {unset}"
        );
    }
    assert_eq!(limit(&host, "larger", cpus), 100_000);
    assert_eq!(limit(&host, "larger", memory), 128 << 20);
}

#[test]
fn check_130_a_container_without_filter() {
    needs_root!();
    let host = Host::start();
    let seccomp = json!({"unconfined": true});
    let status = host.launch(&with(
        simple("/p"),
        "/containers/0/linuxInfo/seccomp",
        seccomp,
    ));
    assert_eq!(status["status"], "STABLE");
}

#[test]
fn resources_reserved_for_a_role_are_that_roles() {
    needs_root!();
    let resources = "cpus:1;cpus(dev):1;mem:1024;mem(dev):1024;disk:1024;disk(dev):1024";
    let host = Host::start_with(&["--resources", resources]);
    let pod = |id: &str, cpus: f64, role: &str, accepted: Value| {
        let container = with(sleeper("c"), "/resources/cpus", json!(cpus));
        let pod = with(simple(id), "/containers", json!([container]));
        let placement = json!({ "acceptedResourceRoles": accepted });
        let pod = with(pod, "/scheduling/placement", placement);
        with(pod, "/role", json!(role))
    };
    host.launch(&pod("/dev/own", 0.8, "dev", json!(["dev"])));
    host.launch(&pod("/all", 0.5, "*", json!([])));
    let cases = [
        ("/other", "*", json!([]), "needs 0.6 cpus, 0.4 of 1 free"),
        (
            "/dev/both",
            "dev",
            json!([]),
            "needs 0.6 cpus, 0.5 of 2 free",
        ),
        (
            "/dev/more",
            "dev",
            json!(["dev"]),
            "needs 0.6 cpus, 0.1 of 1 free",
        ),
    ];
    for (id, role, accepted, message) in cases {
        host.add(&pod(id, 0.5, role, accepted));
        assert_eq!(host.status(id)["message"], message, "{id}");
        host.remove(id);
    }
}
