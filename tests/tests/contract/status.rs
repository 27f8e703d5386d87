//! Status documents: checks 132 to 141. Those of health are tested in `scheduler::status` until pods have health checks.

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::json;

use crate::{accepted, put, simple, sleeper, with};

#[test]
fn check_133_what_a_launched_instance_shows() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &simple("/p"));
    let instance = wait_for("a container with an id", SOON, || {
        let status = host.status("/p");
        let instance = status["instances"][0].clone();
        instance["containers"][0]["resources"]
            .is_object()
            .then_some(instance)
    });
    assert!(instance["containers"][0]["containerId"].is_string());
    assert_eq!(instance["resources"]["cpus"], json!(0.2));
    assert_eq!(instance["resources"]["mem"], json!(64.0));
}

#[test]
fn check_139_each_instance_shows_its_own_version() {
    needs_root!();
    let host = Host::start();
    let pod = with(
        simple("/p"),
        "/scheduling/upgrade",
        json!({"minimumHealthCapacity": 1, "maximumOverCapacity": 1}),
    );
    host.launch(&pod);
    // The new version cannot start, so that the old one stays.
    let mut broken = sleeper("new");
    broken["exec"]["command"]["shell"] = json!("exit 1");
    let update = with(pod, "/containers", json!([broken, sleeper("c")]));
    assert_eq!(put(&host, &update).status, 200);
    wait_for("instances of both versions", SOON, || {
        let status = host.status("/p");
        let instances = status["instances"].as_array()?.clone();
        let mut counts: Vec<_> = instances
            .iter()
            .map(|instance| instance["containers"].as_array().map_or(0, Vec::len))
            .collect();
        counts.sort_unstable();
        let references: std::collections::BTreeSet<_> = instances
            .iter()
            .map(|instance| instance["specReference"].to_string())
            .collect();
        (counts == [1, 2] && references.len() == 2).then_some(())
    });
}

#[test]
fn check_140_a_failure_is_remembered() {
    needs_root!();
    let host = Host::start();
    let fails = with(sleeper("c"), "/exec/command/shell", json!("exit 3"));
    host.add(&pods::pod("/p", &[fails]));
    let (status, history) = wait_for("a termination", SOON, || {
        let status = host.status("/p");
        let first = status["terminationHistory"][0].clone();
        first.is_object().then_some((status, first))
    });
    assert_eq!(history["instanceID"], status["instances"][0]["id"]);
    assert_eq!(history["message"], "Command exited with status 3");
    let container = &history["containers"][0];
    assert_eq!(container["lastKnownState"], "TASK_FAILED");
    assert_eq!(container["termination"]["exitCode"], 3);
}

#[test]
fn check_141_a_pod_that_was_never_placed() {
    needs_root!();
    let host = Host::start();
    let huge = with(simple("/p"), "/containers/0/resources/mem", json!(1e9));
    accepted(&host, &huge);
    let status = host.status("/p");
    assert_eq!(
        (&status["instances"], &status["status"]),
        (&json!([]), &json!("DEGRADED"))
    );
    let message = status["message"].as_str().unwrap();
    assert!(
        message.contains("mem") && message.contains("never fit"),
        "{message}"
    );
}
