//! A host whose resources are others than when its pods were launched.

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::{Value, json};

/// A pod that holds so many cpus in all.
fn pod(id: &str, cpus: f64) -> Value {
    let mut pod = pods::pod(id, &[pods::shell_container("c", "exec sleep 100000")]);
    pod["executorResources"] = json!({"cpus": 0.5, "mem": 32});
    pod["containers"][0]["resources"]["cpus"] = json!(cpus - 0.5);
    pod
}

fn restart_with(host: &mut Host, resources: &str) {
    host.stop_daemon();
    host.use_flags(&["--resources", resources]);
    host.start_daemon();
}

/// A member of what the daemon says of its resources.
fn told(host: &Host, member: &str) -> String {
    let info = host.request("GET", "/v2/info?monopod=true", None).json();
    info["monopod"][member]["resources"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[track_caller]
fn wait_for_free(host: &Host, cpus: &str) {
    wait_for(&format!("{cpus} to be free"), SOON, || {
        told(host, "free").starts_with(cpus).then_some(())
    });
}

#[test]
fn more_than_before_is_offered_at_once_and_the_rest_when_its_pod_ends() {
    needs_root!();
    let mut host = Host::start_with(&["--resources", "cpus:5;mem:4096;disk:4096"]);
    host.launch(&pod("/old", 3.0));
    let before = host.processes();
    wait_for_free(&host, "2 cpus,");
    restart_with(&mut host, "cpus:10;mem:4096;disk:4096");
    host.wait_until_stable("/old");
    assert_eq!(host.processes(), before);
    wait_for_free(&host, "7 cpus,");
    assert!(
        host.log_tail().contains("10 cpus instead of 5 cpus"),
        "{}",
        host.log_tail()
    );
    host.launch(&pod("/new", 7.0));
    host.remove("/old");
    wait_for_free(&host, "3 cpus,");
    host.remove("/new");
    wait_for_free(&host, "10 cpus,");
    host.wait_until_clean();
}

#[test]
fn less_than_is_used_ends_nothing_and_offers_nothing() {
    needs_root!();
    let resources = "cpus:5;mem:4096;disk:4096;ports:[31000-31010,32000-32000]";
    let mut host = Host::start_with(&["--resources", resources]);
    let mut old = pod("/old", 3.0);
    old["containers"][0]["endpoints"] = json!([{"name": "e", "hostPort": 32000}]);
    host.launch(&old);
    let before = host.processes();
    restart_with(&mut host, "cpus:2;mem:4096;disk:4096;ports:[31000-31010]");
    host.wait_until_stable("/old");
    assert_eq!(host.processes(), before);
    assert!(told(&host, "overCommitted").starts_with("1 cpus,"));
    assert!(told(&host, "free").starts_with("0 cpus,"));
    host.add(&pod("/new", 1.0));
    let reason = wait_for("the reason to wait", SOON, || {
        let status = host.status("/new");
        let message = status["message"].as_str()?;
        message.contains("cpus").then(|| message.to_owned())
    });
    assert!(reason.contains("0 of 2 free"), "{reason}");
    // A second restart finds the same.
    restart_with(&mut host, "cpus:2;mem:4096;disk:4096;ports:[31000-31010]");
    assert_eq!(host.processes(), before);
    host.remove("/old");
    host.wait_until_stable("/new");
    wait_for_free(&host, "1 cpus,");
    host.remove("/new");
    host.wait_until_clean();
}
