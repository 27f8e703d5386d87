//! What happens to the two services of a host, and what of it pods notice.

use std::collections::BTreeSet;

use e2e::{
    exposition::Exposition,
    guest,
    guest::{Guest, SOON, marked_pod},
    pods,
};
use serde_json::{Value, json};

/// The cgroup of all pods' unit.
const UNIT: &str = "/sys/fs/cgroup/system.slice/monopod-pods.service";

fn is_active(guest: &Guest, unit: &str) {
    assert_eq!(
        guest.check(&format!("systemctl is-active {unit}")),
        "active"
    );
}

/// The host and the daemon are as they should be, say they.
fn nothing_is_wrong(guest: &Guest) {
    let outcome = guest.run(&["monopod", "doctor", "--json"]);
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(told["ok"], true, "{told:#}");
    let checks = told["checks"].as_array().unwrap();
    // The guest has no NTP client, and its kernel's own limit of inotify instances.
    let so_it_is = ["clock's source", "inotify instances"];
    let bad: Vec<_> = checks
        .iter()
        .filter(|check| check["verdict"] == "fail" || check["verdict"] == "warn")
        .filter(|check| !so_it_is.iter().any(|name| check["check"] == *name))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let all = told.to_string();
    assert!(all.contains("cgroup v2") || all.contains("v2"), "{all}");

    let info = guest
        .request("GET", "/v2/info?monopod=true", None)
        .unwrap()
        .json();
    assert_eq!(info["monopod"]["cgroupMode"], "v2");
    assert_eq!(
        info["monopod"]["cgroupParent"],
        "system.slice/monopod-pods.service/pods"
    );
    assert_eq!(info["monopod"]["conditions"], json!([]));
    let metrics = guest.request("GET", "/metrics", None).unwrap();
    assert_eq!(metrics.status, 200);
    let metrics = Exposition::parse(&metrics.body).unwrap();
    assert!(metrics.get("process_threads") > Some(0.0));
    assert!(
        metrics
            .get(r#"monopod_degraded{condition="log_loss"}"#)
            .is_some()
    );
    assert!(metrics.sum("monopod_degraded", "").abs() < 0.5);
}

/// The daemon hangs: systemd ends it and starts it again.
fn watchdog(guest: &Guest, containers: &BTreeSet<String>) {
    let drop_in = "/run/systemd/system/monopod.service.d/watchdog.conf";
    guest.write(b"[Service]\nWatchdogSec=10s\n", drop_in, 0o644);
    guest.check("systemctl daemon-reload && systemctl restart monopod");
    guest.wait_until_ready();
    let hanging = guest.daemon_pid();
    guest.check(&format!("kill -STOP {hanging}"));
    let another =
        format!("p=$(systemctl show -P MainPID monopod); [ $p != 0 ] && [ $p != {hanging} ]");
    guest.wait_until("systemd replaces a daemon that hangs", SOON, &another);
    let told = "journalctl -b -u monopod | grep -qi 'watchdog timeout'";
    guest.wait_until("systemd says why", SOON, told);
    guest.wait_until_ready();
    guest.wait_until_stable("/web");
    assert_eq!(&guest.containers(), containers, "after the watchdog");
    guest.check(&format!("rm {drop_in} && systemctl daemon-reload"));
}

/// A container gets more memory than it may have.
fn out_of_memory(guest: &Guest, id: &str, containers: &BTreeSet<String>) {
    let mut eater = pods::shell_container("eater", "tail /dev/zero");
    eater["resources"]["mem"] = json!(48);
    let mut pod = pods::pod(id, &[eater]);
    pod["scheduling"]["backoff"] = json!({"backoff": 3600, "maxLaunchDelay": 3600});
    guest.add(&pod);
    let status = format!("monopod pod show {id} --json | grep -q 'reached its limit of 48 MiB'");
    guest.wait_until("the status tells the limit", SOON, &status);
    let told = guest.status(id).to_string();
    assert!(
        told.contains("container 'eater' reached its limit"),
        "{told}"
    );
    is_active(guest, "monopod-pods");
    is_active(guest, "monopod");
    guest.wait_until_stable("/web");
    assert_eq!(&guest.containers(), containers, "others were touched");
    guest.remove(id);
}

#[test]
#[ignore = "minutes under emulation: make vm-test"]
fn what_ends_a_service_or_a_container_ends_nothing_else() {
    let guest = guest!();
    guest.install();
    guest.import_probe();
    nothing_is_wrong(&guest);
    let weights = [("monopod-pods", "50"), ("monopod", "200")];
    for (unit, weight) in weights {
        let file = format!("/sys/fs/cgroup/system.slice/{unit}.service/cpu.weight");
        assert_eq!(guest.read(&file).trim(), weight, "{unit}");
    }
    guest.add(&marked_pod("/web", 2, "stays"));
    guest.wait_until_stable("/web");
    let containers = guest.containers();
    assert!(containers.len() >= 4, "{containers:?}");
    nothing_is_wrong(&guest);
    watchdog(&guest, &containers);
    out_of_memory(&guest, "/eats", &containers);

    // Without a keeper the unit holds on, whatever happens in it.
    let keeper = guest.check("systemctl show -P MainPID monopod-pods");
    guest.check(&format!("kill -9 {keeper}"));
    let exited = "[ $(systemctl show -P SubState monopod-pods) = exited ]";
    guest.wait_until("systemd sees the keeper's end", SOON, exited);
    is_active(&guest, "monopod-pods");
    out_of_memory(&guest, "/eats-too", &containers);
    let kills = guest.check(&format!("grep '^oom_kill ' {UNIT}/memory.events"));
    assert_ne!(kills, "oom_kill 0", "the unit's own count tells of them");
    guest.check("systemctl restart monopod");
    guest.wait_until_ready();
    guest.wait_until_stable("/web");
    assert_eq!(guest.containers(), containers, "after a restart");
    guest.check("systemctl reload monopod-pods");
    let revived = "[ $(systemctl show -P MainPID monopod-pods) != 0 ]";
    guest.wait_until("the keeper is back", SOON, revived);
    assert_eq!(guest.containers(), containers, "after the keeper's return");
    nothing_is_wrong(&guest);
}

/// A pod whose next launch after a failure would have to wait for an hour.
fn patient_pod(id: &str, containers: &[Value]) -> Value {
    let mut pod = pods::pod(id, containers);
    pod["scheduling"]["backoff"] = json!({"backoff": 3600, "maxLaunchDelay": 3600});
    pod
}

#[test]
#[ignore = "minutes under emulation: make vm-test"]
fn a_stop_of_all_pods_is_no_failure_of_theirs() {
    let guest = guest!();
    guest.install();
    let sleeper = pods::shell_container("c", "exec sleep 100000");
    let stubborn = pods::shell_container("c", "trap '' TERM; while :; do sleep 1; done");
    guest.add(&patient_pod("/gentle", &[sleeper]));
    guest.add(&patient_pod("/stubborn", &[stubborn]));
    let mut before = BTreeSet::new();
    for verbs in [
        "stop monopod-pods && systemctl start monopod",
        "restart monopod-pods && systemctl start monopod",
    ] {
        for id in ["/gentle", "/stubborn"] {
            guest.wait_until_stable(id);
        }
        let running = guest.containers();
        assert!(
            running.is_disjoint(&before) && running.len() >= 2,
            "{running:?}"
        );
        before = running;
        guest.check(&format!("systemctl {verbs}"));
        guest.wait_until_ready();
    }
    for id in ["/gentle", "/stubborn"] {
        guest.wait_until_stable(id);
    }
    assert!(guest.containers().is_disjoint(&before));
    let told = guest.status("/gentle")["terminationHistory"].to_string();
    assert!(told.contains("asked to stop"), "{told}");
}
