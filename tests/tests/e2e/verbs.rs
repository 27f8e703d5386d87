//! What the command line has beyond `dcos marathon pod`: plans, restarts, history; and its neighbours.

use std::process::Output;

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::{Value, json};

fn sleeper(id: &str, cpus: f64) -> Value {
    let mut container = pods::shell_container("c", "exec sleep 1000");
    container["resources"]["cpus"] = json!(cpus);
    pods::pod(id, &[container])
}

/// The command's standard output; it must have succeeded.
#[track_caller]
fn told(host: &Host, arguments: &[&str]) -> String {
    let output = host.monopod(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Its exit code and standard error.
fn refused(output: &Output) -> (Option<i32>, String) {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), told)
}

fn instance(host: &Host, id: &str) -> String {
    let status = host.status(id);
    status["instances"][0]["id"].as_str().unwrap().to_owned()
}

fn write(host: &Host, pod: &Value) -> String {
    let path = host.directory().join("pod.json");
    std::fs::write(&path, pod.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_plan_a_restart_and_a_rollback() {
    needs_root!();
    let host = Host::start_with(&["--resources", "cpus:2;mem:4096;disk:4096"]);
    let big = write(&host, &sleeper("/big", 64.0));
    let plan = told(&host, &["pod", "plan", &big]);
    assert!(
        plan.starts_with("/big would be added\n")
            && plan.contains("needs 64.1 cpus, the agent has 2 in all: it can never fit"),
        "{plan}"
    );
    assert_eq!(host.status("/big"), Value::Null, "a plan does nothing");

    host.launch(&sleeper("/web", 0.1));
    let first = instance(&host, "/web");
    let same = write(&host, &sleeper("/web", 0.1));
    assert_eq!(
        told(&host, &["pod", "plan", &same]),
        "/web: nothing would change\n"
    );
    let changed = write(&host, &sleeper("/web", 0.2));
    let plan = told(&host, &["pod", "plan", &changed]);
    let expected = format!(
        "/web would be changed:\n  ~ containers[c].resources.cpus: 0.1 -> 0.2\nSteps:\n  1. restart\n\
         Instances, if all goes well:\n  launch 1\n  end {first}\nIt fits\n"
    );
    assert_eq!(plan, expected);
    let json = told(&host, &["pod", "plan", "--json", &changed]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["moves"][1], json!({"kind": "END", "instance": first}));
    assert_eq!(instance(&host, "/web"), first, "a plan does nothing");

    let restarted = told(
        &host,
        &["pod", "restart", "/web", "--wait", "--timeout", "60"],
    );
    assert!(restarted.starts_with("Created deployment "), "{restarted}");
    let second = instance(&host, "/web");
    assert_ne!(second, first);
    told(
        &host,
        &[
            "pod",
            "update",
            "/web",
            &changed,
            "--wait",
            "--timeout",
            "60",
        ],
    );
    let history = told(&host, &["pod", "history", "web"]);
    let changes: Vec<_> = history
        .lines()
        .skip(1)
        .map(|line| line.contains(" -> "))
        .collect();
    assert_eq!(changes, [true, false, false], "{history}");
    told(
        &host,
        &["pod", "rollback", "/web", "--wait", "--timeout", "60"],
    );
    let definition = host.request("GET", "/v2/pods/web", None).json();
    assert_eq!(definition["containers"][0]["resources"]["cpus"], 0.1);
    let newest = told(&host, &["pod", "history", "web"]);
    let newest = newest.lines().nth(1).unwrap().to_owned();
    assert!(
        newest.contains("0.2 -> 0.1") && newest.contains('*'),
        "{newest}"
    );

    let unknown = host.monopod(&["pod", "rollback", "/web", "2020-01-01T00:00:00.000Z"]);
    let (code, text) = refused(&unknown);
    assert!(code == Some(1) && text.contains("has no version"), "{text}");
    let unknown = host.monopod(&["pod", "restart", "/nothing"]);
    assert_eq!(
        refused(&unknown),
        (Some(1), "Error: Pod '/nothing' does not exist\n".to_owned())
    );
}

#[test]
fn what_waits_is_explained_and_deployments_are_ended() {
    needs_root!();
    let host = Host::start_with(&["--resources", "cpus:2;mem:4096;disk:4096"]);
    host.add(&sleeper("/shop/big", 64.0));
    let groups = told(&host, &["group", "list"]);
    let row: Vec<_> = groups.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["/shop", "0", "1"]);
    let list = told(&host, &["debug", "list"]);
    assert!(
        list.lines().nth(1).unwrap().starts_with("/shop/big "),
        "{list}"
    );
    let summary = told(&host, &["debug", "summary", "shop/big"]);
    let cpus = summary
        .lines()
        .find(|line| line.starts_with("CPUS"))
        .unwrap();
    let cells: Vec<_> = cpus.split_whitespace().collect();
    assert_eq!(cells, ["CPUS", "64.1", "0", "/", "1", "0.00%"]);
    let details = told(&host, &["debug", "details", "/shop/big"]);
    assert_eq!(details.lines().count(), 2, "{details}");
    let not_there = host.monopod(&["debug", "summary", "/nothing"]);
    assert_eq!(
        refused(&not_there),
        (Some(1), "No apps found in Marathon queue\n".to_owned())
    );
    told(&host, &["delay", "reset", "/shop/big"]);

    let ids = told(&host, &["deployment", "list", "--quiet"]);
    let id = ids.trim_end();
    let watched = told(&host, &["deployment", "watch", "--max-count=1", id]);
    assert!(
        watched.starts_with("Deployment update time: 20"),
        "{watched}"
    );
    assert_eq!(told(&host, &["deployment", "stop", id]), "");
    assert_eq!(told(&host, &["deployment", "watch", id]), "", "it is over");
    let (code, text) = refused(&host.monopod(&["deployment", "rollback", id]));
    assert_eq!(code, Some(1));
    assert!(text.contains("does not exist"), "{text}");
    assert_eq!(told(&host, &["group", "remove", "/shop"]), "");
    wait_for("the group's pod to be gone", SOON, || {
        host.status("/shop/big").is_null().then_some(())
    });
}

#[test]
fn tasks_are_containers_and_events_tell_of_them() {
    needs_root!();
    let host = Host::start();
    host.launch(&sleeper("/web", 0.1));
    let id = told(&host, &["task", "list", "--quiet", "web"]);
    let id = id.trim_end();
    let shown: Value = serde_json::from_str(&told(&host, &["task", "show", id])).unwrap();
    assert_eq!(shown["podId"], "/web");
    let unknown = host.monopod(&["task", "show", "nothing"]);
    assert_eq!(
        refused(&unknown),
        (Some(1), "Task 'nothing' does not exist\n".to_owned())
    );
    let mut arguments = vec!["events", "--pod", "/web", "--count", "1", "--json"];
    arguments.extend(["--type", "instance_changed_event"]);
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| told(&host, &arguments));
        wait_for("a reader of events", SOON, || {
            host.whole_log()
                .contains("attached to the event stream")
                .then_some(())
        });
        let killed = told(&host, &["task", "kill", id]);
        assert_eq!(killed, format!("Killed tasks: ['{id}']\n"));
        let event: Value = serde_json::from_str(&listening.join().unwrap()).unwrap();
        assert_eq!(event["eventType"], "instance_changed_event");
        assert_eq!(event["runSpecId"], "/web");
    });
    wait_for("another run", SOON, || {
        let again = told(&host, &["task", "list", "--quiet"]);
        (again.lines().count() == 1 && again.trim_end() != id).then_some(())
    });
    let nobody = host.monopod(&["task", "kill", "nothing"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    host.add(&pods::pod(
        "/fails",
        &[pods::shell_container("c", "exit 3")],
    ));
    wait_for("an end that is told", SOON, || {
        let ended = told(&host, &["pod", "history", "--runs", "/fails"]);
        let row = ended.lines().nth(1)?;
        row.contains("exited with status 3").then_some(())
    });
}
