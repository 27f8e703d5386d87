//! What happens when containers and executors end, and when they do not want to.

use std::time::{Duration, Instant};

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::{Value, json};

#[test]
fn a_killed_executor_takes_its_containers_along_and_is_replaced() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let containers = [
        pods::probe_container("a", "hold"),
        pods::probe_container("b", "hold"),
    ];
    host.launch(&pods::pod("/victim", &containers));
    let executors = host.executors();
    let executor = executors.first().unwrap();
    let before = host.container_processes();
    assert!(before.len() >= 2, "{before:?}");

    executor.kill();
    wait_for("containers are gone", Duration::from_secs(1), || {
        host.container_processes()
            .is_disjoint(&before)
            .then_some(())
    });
    wait_for("a new executor", SOON, || {
        let now = host.executors();
        (now.len() == 1 && !now.contains(executor)).then_some(())
    });
    let status = host.wait_until_stable("/victim");
    let told = status["terminationHistory"].to_string() + &status["instances"].to_string();
    assert!(
        told.to_lowercase().contains("executor"),
        "the reason is not told: {status:#}"
    );
    host.remove("/victim");
    host.wait_until_clean();
}

#[test]
fn a_failing_container_takes_its_instance_down_and_is_replaced() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    // Fails in its first life only: the file is the host's.
    let witness = host.directory().join("witness");
    std::fs::create_dir(&witness).unwrap();
    let command = "[ -e /w/once ] || { : > /w/once; exit 7; }; sleep 1000";
    let mut failing = pods::shell_container("failing", command);
    failing["volumeMounts"] = json!([{"name": "w", "mountPath": "/w"}]);
    let mut pod = pods::pod(
        "/once",
        &[failing, pods::probe_container("sibling", "hold")],
    );
    pod["volumes"] = json!([{"name": "w", "host": witness}]);
    host.add(&pod);
    let status = wait_for("the second life", SOON, || {
        let status = host.status("/once");
        let task = status["instances"][0]["containers"][0]["containerId"]
            .as_str()?
            .to_owned();
        (status["status"] == "STABLE" && !task.ends_with(".1")).then_some(status)
    });
    let history = status["terminationHistory"].to_string();
    assert!(history.contains("status 7"), "{status:#}");
}

#[test]
fn a_container_that_ends_well_leaves_its_sibling_running() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let containers = [
        pods::probe_container("short", "print done"),
        pods::probe_container("long", "hold"),
    ];
    host.add(&pods::pod("/mixed", &containers));
    wait_for("one finished beside one running", SOON, || {
        let status = host.status("/mixed");
        let state = |name: &str| {
            let containers = status["instances"][0]["containers"].as_array()?.clone();
            containers
                .into_iter()
                .find(|c| c["name"] == name)
                .map(|c| c["status"].clone())
        };
        (state("short")? == "TASK_FINISHED" && state("long")? == "TASK_RUNNING").then_some(())
    });
}

#[test]
fn a_container_that_ignores_sigterm_is_gone_after_its_grace() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    host.launch(&pods::pod(
        "/stubborn",
        &[pods::probe_container("c", "ignore-term")],
    ));
    host.wait_for_line("/stubborn", "c", |line| line == "ignoring");
    let started = Instant::now();
    let removed = host.monopod(&["pod", "remove", "--wait", "--timeout", "60", "/stubborn"]);
    assert!(removed.status.success(), "{removed:?}\n{}", host.log_tail());
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(900),
        "its grace of a second was cut to {took:?}"
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
    host.wait_until_clean();
}

#[test]
fn a_killed_instance_is_replaced() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let pod = pods::scaled(pods::pod("/kill", &[pods::probe_container("c", "hold")]), 2);
    let status = host.launch(&pod);
    let instance = status["instances"][0]["id"].as_str().unwrap();
    let before = host.container_processes();
    let killed = host.monopod(&[
        "pod",
        "kill",
        "--wait",
        "--timeout",
        "60",
        "/kill",
        instance,
    ]);
    assert!(killed.status.success(), "{killed:?}\n{}", host.log_tail());
    assert!(killed.stdout.is_empty(), "{killed:?}");
    let after = host.container_processes();
    assert_eq!(
        after.intersection(&before).count(),
        1,
        "exactly one is new: {before:?} {after:?}"
    );
    host.wait_until_stable("/kill");
}

#[test]
fn a_pod_is_removed_while_it_is_launching() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    for round in 0..5u64 {
        let pod = pods::scaled(
            pods::pod("/hasty", &[pods::probe_container("c", "hold")]),
            3,
        );
        host.add(&pod);
        // At different points of the launch.
        wait_for("the launch has come so far", SOON, || {
            (host.processes().len() as u64 >= round).then_some(())
        });
        host.remove("/hasty");
    }
    host.wait_until_clean();
}

#[test]
fn update_replaces_and_scaling_does_not() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let pod = pods::pod("/up", &[pods::probe_container("c", "hold")]);
    host.launch(&pod);
    let first = host.executors();
    let put = |pod: &Value| {
        let answer = host.request("PUT", "/v2/pods/up", Some(pod));
        assert_eq!(answer.status, 200, "{}", answer.body);
        host.wait_until_stable("/up");
        host.executors()
    };
    let scaled = put(&pods::scaled(pod.clone(), 2));
    assert!(
        scaled.is_superset(&first) && scaled.len() == 2,
        "{first:?} {scaled:?}"
    );
    let mut changed = pods::scaled(pod, 2);
    changed["environment"] = json!({"NEW": "1"});
    let replaced = put(&changed);
    assert!(
        replaced.is_disjoint(&scaled) && replaced.len() == 2,
        "{scaled:?} {replaced:?}"
    );
    assert_eq!(
        put(&changed),
        replaced,
        "an identical definition restarts nothing"
    );
}
