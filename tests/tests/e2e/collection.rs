//! What dead runs leave stays readable, and goes in time.

use std::{fs, path::PathBuf};

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::Value;

const RESOURCES: [&str; 2] = ["--resources", "cpus:64;mem:65536;disk:65536"];

fn speaking_pod(id: &str) -> Value {
    let speak = pods::shell_container("c", "echo last words; exec sleep 1000");
    pods::pod(id, &[speak])
}

fn sandboxes(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(host.state_dir().join("sandboxes"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[test]
fn logs_of_a_removed_pod_stay_until_they_are_collected() {
    needs_root!();
    let mut host = Host::start();
    let status = host.launch(&speaking_pod("/gone"));
    let instance = status["instances"][0]["id"].as_str().unwrap().to_owned();
    host.wait_for_line("/gone", "c", |line| line == "last words");
    host.remove("/gone");
    host.wait_until_clean();
    // A restart neither takes it for a leftover nor forgets it.
    host.stop_daemon();
    host.start_daemon();
    let path = format!("/v2/pods/gone::logs?container=c&instance={instance}");
    let answer = host.request("GET", &path, None);
    assert_eq!((answer.status, answer.body.as_str()), (200, "last words\n"));
    for wrong in [
        format!("/v2/pods/other::logs?container=c&instance={instance}"),
        format!("/v2/pods/gone::logs?container=..&instance={instance}"),
        format!("/v2/pods/gone::logs?container=..%2F..&instance={instance}"),
    ] {
        assert_eq!(host.request("GET", &wrong, None).status, 404, "{wrong}");
    }
}

#[test]
fn what_is_due_goes_and_a_running_pod_keeps_all() {
    needs_root!();
    let config = "[collection]\ngc_delay_seconds = 0\n";
    let host = Host::start_configured(config, &RESOURCES);
    host.launch(&speaking_pod("/stays"));
    host.launch(&speaking_pod("/goes"));
    host.remove("/goes");
    wait_for("the sandbox is collected", SOON, || {
        (sandboxes(&host).len() == 1).then_some(())
    });
    host.wait_for_line("/stays", "c", |line| line == "last words");
}

#[test]
fn a_restart_counts_the_age_on() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&speaking_pod("/old"));
    host.remove("/old");
    host.wait_until_clean();
    host.stop_daemon();
    let mark = wait_for("the mark", SOON, || {
        let run = sandboxes(&host).pop()?.join("1/ended.json");
        run.exists().then_some(run)
    });
    // As if it had ended long ago, in an earlier boot.
    let mut ended: Value = serde_json::from_slice(&fs::read(&mark).unwrap()).unwrap();
    ended["wall"] = "2024-01-01T00:00:00.000Z".into();
    ended["boot"] = "00000000-0000-0000-0000-000000000000".into();
    fs::write(&mark, ended.to_string()).unwrap();
    host.start_daemon();
    wait_for("the sandbox is collected", SOON, || {
        sandboxes(&host).is_empty().then_some(())
    });
}
