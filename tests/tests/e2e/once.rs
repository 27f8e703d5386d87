//! Pods that run once, or until they finish: results outlive the daemon, and nothing is launched a second time.

use std::time::Duration;

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::{Value, json};

/// A pod whose containers are not launched again as the policy says.
fn job(id: &str, policy: &str, containers: &[Value]) -> Value {
    let mut pod = pods::pod(id, containers);
    pod["scheduling"]["restartPolicy"] = json!(policy);
    pod
}

/// A container that tells of every run of it in a file on the host, and then runs a command.
fn counted(host: &Host, name: &str, command: &str) -> Value {
    let mut container =
        pods::shell_container(name, &format!("echo run >> count/{name}; {command}"));
    container["volumeMounts"] = json!([{"name": "count", "mountPath": "count"}]);
    std::fs::create_dir_all(host.directory().join("count")).unwrap();
    container
}

fn with_count(host: &Host, mut pod: Value) -> Value {
    pod["volumes"] = json!([{"name": "count", "host": host.directory().join("count")}]);
    pod
}

fn runs(host: &Host, name: &str) -> usize {
    let path = host.directory().join("count").join(name);
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[track_caller]
fn wait_until_over(host: &Host, id: &str) -> Value {
    wait_for(&format!("{id} is over"), SOON, || {
        let status = host.status(id);
        (status["status"] == "TERMINAL").then_some(status)
    })
}

/// Status of the instance, then state and exit status of each container.
fn told(status: &Value) -> Vec<(String, i64)> {
    let instance = &status["instances"][0];
    assert_eq!(instance["status"], "TERMINAL", "{status:#}");
    let containers = instance["containers"].as_array().unwrap().iter();
    containers
        .map(|container| {
            let state = container["status"].as_str().unwrap().to_owned();
            (
                state,
                container["termination"]["exitCode"].as_i64().unwrap_or(-1),
            )
        })
        .collect()
}

fn listed(host: &Host, id: &str) -> String {
    let table = String::from_utf8(host.monopod(&["pod", "list"]).stdout).unwrap();
    let row = table.lines().find(|line| line.starts_with(id)).unwrap();
    row.split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn results_outlive_the_daemon() {
    needs_root!();
    let mut host = Host::start();
    let good = [
        counted(&host, "one", "echo done"),
        counted(&host, "two", "echo also done >&2"),
    ];
    host.add(&with_count(&host, job("/good", "NEVER", &good)));
    let bad = [
        counted(&host, "fails", "echo failing; exit 3"),
        pods::shell_container("sibling", "exec sleep 100000"),
    ];
    host.add(&with_count(&host, job("/bad", "NEVER", &bad)));
    // Ends while no daemon is there.
    let late = [counted(
        &host,
        "late",
        "until [ -e count/go ]; do sleep 0.05; done; echo late; exit 5",
    )];
    host.add(&with_count(&host, job("/late", "NEVER", &late)));
    host.wait_until_stable("/late");
    let finished = || {
        vec![
            ("TASK_FINISHED".to_owned(), 0),
            ("TASK_FINISHED".to_owned(), 0),
        ]
    };
    assert_eq!(told(&wait_until_over(&host, "/good")), finished());
    let failed = wait_until_over(&host, "/bad");
    assert_eq!(told(&failed)[0], ("TASK_FAILED".to_owned(), 3));
    assert_eq!(told(&failed)[1].0, "TASK_KILLED");
    assert_eq!(host.deployments(), Vec::<Value>::new());

    host.kill_daemon();
    std::fs::write(host.directory().join("count/go"), "").unwrap();
    wait_for("/late ends", SOON, || {
        host.container_processes().is_empty().then_some(())
    });
    host.start_daemon();
    let late = wait_until_over(&host, "/late");
    assert_eq!(told(&late), [("TASK_FAILED".to_owned(), 5)]);
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(told(&host.status("/good")), finished());
    assert_eq!(told(&host.status("/bad"))[0], ("TASK_FAILED".to_owned(), 3));
    assert_eq!(told(&host.status("/late")), told(&late));
    let message = host.status("/bad")["instances"][0]["message"].clone();
    assert!(
        message
            .as_str()
            .is_some_and(|text| text.starts_with("fails: ")),
        "{message}"
    );
    for name in ["one", "two", "fails", "late"] {
        assert_eq!(runs(&host, name), 1, "{name} ran once");
    }
    assert_eq!(host.log_of("/good", "two", "stderr"), "also done\n");
    assert_eq!(host.log_of("/late", "late", "stdout"), "late\n");
    let words = ["/good", "/bad", "/late"].map(|id| listed(&host, id));
    assert_eq!(words, ["FINISHED", "FAILED", "FAILED"]);
    assert!(host.processes().is_empty(), "nothing is left running");

    for id in ["/good", "/bad", "/late"] {
        host.remove(id);
    }
    host.wait_until_clean();
}

#[test]
fn a_run_that_is_cut_off_is_not_repeated() {
    needs_root!();
    let host = Host::start();
    for policy in ["NEVER", "ON_FAILURE"] {
        let name = policy.to_lowercase().replace('_', "-");
        let id = format!("/{name}");
        let containers = [counted(&host, &name, "exec sleep 100000")];
        host.launch(&with_count(&host, job(&id, policy, &containers)));
        // Running is not yet counted.
        wait_for("the first run to count itself", SOON, || {
            (runs(&host, &name) == 1).then_some(())
        });
    }
    host.executors().iter().for_each(e2e::kernel::Process::kill);
    let status = wait_until_over(&host, "/never");
    assert_eq!(told(&status)[0].0, "TASK_FAILED", "{status:#}");
    wait_for("the other one is launched again", SOON, || {
        (runs(&host, "on-failure") == 2).then_some(())
    });
    assert_eq!(runs(&host, "never"), 1);
    let status = host.wait_until_stable("/on-failure");
    // Killing asks for another run of the one, and only for the end of the other, which has come already.
    for (id, instance) in [("/on-failure", &status), ("/never", &host.status("/never"))] {
        let instance = instance["instances"][0]["id"].as_str().unwrap();
        let killed = host.monopod(&["pod", "kill", "--wait", "--timeout", "30", id, instance]);
        assert!(killed.status.success(), "{killed:?}");
    }
    assert_eq!((runs(&host, "on-failure"), runs(&host, "never")), (3, 1));
}

#[test]
fn the_command_line_waits_for_the_result() {
    needs_root!();
    let host = Host::start();
    let file = host.directory().join("job.json");
    let add = |id: &str, policy: &str, command: &str| {
        let containers = [counted(&host, id.trim_matches('/'), command)];
        let pod = with_count(&host, job(id, policy, &containers));
        std::fs::write(&file, pod.to_string()).unwrap();
        host.monopod(&[
            "pod",
            "add",
            "--wait",
            "--timeout",
            "60",
            file.to_str().unwrap(),
        ])
    };
    let added = add("/good", "never", "sleep 0.2");
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    let added = add("/bad", "NEVER", "exit 3");
    assert_eq!(added.status.code(), Some(4), "{added:?}");
    let told = String::from_utf8_lossy(&added.stderr).into_owned();
    assert!(
        told.contains("/bad failed: ") && told.contains('3'),
        "{told}"
    );
    // Fails once, then finishes.
    let added = add("/again", "ON_FAILURE", "[ $(wc -l < count/again) = 2 ]");
    assert_eq!(added.status.code(), Some(0), "{added:?}");
    assert_eq!(runs(&host, "again"), 2);
    let definition = host.request("GET", "/v2/pods/good", None).json();
    assert_eq!(definition["scheduling"]["restartPolicy"], "NEVER");
    // Definitions of others are as Marathon has them.
    host.launch(&pods::pod(
        "/service",
        &[pods::shell_container("c", "exec sleep 100000")],
    ));
    let definition = host.request("GET", "/v2/pods/service", None).json();
    assert_eq!(definition["scheduling"].get("restartPolicy"), None);
    let instance = host.status("/good")["instances"][0]["id"].clone();
    let path = format!(
        "/v2/pods/good::instances/{}?wipe=true",
        instance.as_str().unwrap()
    );
    assert_eq!(host.request("DELETE", &path, None).status, 200);
    wait_for("another instance runs", Duration::from_secs(30), || {
        (runs(&host, "good") == 2).then_some(())
    });
}
