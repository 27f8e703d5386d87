//! A daemon that is started with another run directory or another cgroup for its pods.

use std::{collections::BTreeSet, fs, process::Command};

use e2e::{
    host::{Host, SOON},
    kernel::Process,
    needs_root, pods, wait_for,
};
use serde_json::Value;

fn sleeper(id: &str) -> Value {
    pods::pod(id, &[pods::shell_container("c", "exec sleep 100000")])
}

/// Waits until the pod runs with other processes, and so many of this host in all.
#[track_caller]
fn wait_until_replaced(host: &Host, id: &str, before: &BTreeSet<Process>, count: usize) -> Value {
    wait_for(&format!("another run of {id}"), SOON, || {
        let now = host.processes();
        (now.len() >= count && now.is_disjoint(before)).then_some(())
    });
    host.wait_until_stable(id)
}

fn ends_of(status: &Value) -> Vec<String> {
    let history = status["terminationHistory"].as_array().unwrap();
    history.iter().map(Value::to_string).collect()
}

#[test]
fn with_another_run_directory_it_refuses_while_pods_live_in_the_one_before() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&sleeper("/lives"));
    let before = host.processes();
    let old = host.run_dir();
    host.stop_daemon();
    host.use_run_dir("elsewhere");
    let new = host.run_dir();
    let said = host.refused_daemon();
    let cgroup = format!("--cgroup-parent {}", host.cgroup_parent());
    let words = [
        format!("run_dir {}", old.display()),
        format!("run_dir {}", new.display()),
        "1 of this state's runs".to_owned(),
        format!("monopod --run-dir {} cleanup {cgroup}", old.display()),
    ];
    for word in words {
        assert!(said.contains(&word), "{word}: {said}");
    }
    assert_eq!(host.processes(), before, "nothing was touched");

    host.use_run_dir("run");
    host.start_daemon();
    host.wait_until_stable("/lives");
    assert_eq!(host.processes(), before, "as before, all goes on");

    host.kill_daemon();
    host.use_run_dir("elsewhere");
    host.refused_daemon();
    let cleanup = Command::new(e2e::binary::monopod())
        .arg("--run-dir")
        .arg(&old)
        .args(["cleanup", "--config", "/dev/null", "--state-dir"])
        .arg(host.state_dir())
        .args(["--cgroup-parent", host.cgroup_parent()])
        .output()
        .unwrap();
    assert!(cleanup.status.success(), "{cleanup:?}");
    host.start_daemon();
    let status = wait_until_replaced(&host, "/lives", &before, 2);
    assert_eq!(ends_of(&status).len(), 1, "{status:#}");
    let now = host.processes();
    // The new place is the one that is remembered.
    host.kill_daemon();
    host.start_daemon();
    assert_eq!(ends_of(&host.wait_until_stable("/lives")).len(), 1);
    assert_eq!(host.processes(), now);
    host.kill_daemon();
    host.use_run_dir("run");
    let said = host.refused_daemon();
    assert!(said.contains(&format!("cleanup {cgroup}")), "{said}");
    host.use_run_dir("elsewhere");
    host.start_daemon();
    host.remove("/lives");
    host.wait_until_clean();
}

#[test]
fn with_another_run_directory_what_ended_in_the_one_before_is_told_once() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&sleeper("/ended"));
    host.launch(&sleeper("/scaled"));
    let before = host.processes();
    let old = host.run_dir();
    host.kill_daemon();
    host.container_processes().iter().for_each(Process::kill);
    wait_for("the end of all", SOON, || {
        host.processes().is_empty().then_some(())
    });
    host.use_run_dir("elsewhere");
    for _ in 0..2 {
        host.start_daemon();
        for id in ["/ended", "/scaled"] {
            let status = wait_until_replaced(&host, id, &before, 4);
            let ends = ends_of(&status);
            assert_eq!(ends.len(), 1, "{status:#}");
            assert!(ends[0].contains("Killed"), "its journal was read: {ends:?}");
        }
        assert_eq!(host.executors().len(), 2, "each was launched once");
        host.kill_daemon();
    }
    let left = fs::read_dir(old.join("runs")).unwrap().count();
    assert_eq!(left, 0, "what was brought over is gone there");
    host.start_daemon();
    for id in ["/ended", "/scaled"] {
        host.remove(id);
    }
    host.wait_until_clean();
}

#[test]
fn with_another_cgroup_pods_go_on_unless_they_would_be_lost() {
    needs_root!();
    let mut host = Host::prepare("", &["--resources", "cpus:4;mem:4096"]);
    host.use_cgroup_parent("one");
    host.start_daemon();
    host.launch(&sleeper("/stays"));
    let before = host.processes();
    host.kill_daemon();
    host.use_cgroup_parent("two");
    host.start_daemon();
    host.wait_until_stable("/stays");
    assert_eq!(host.processes(), before, "runs stay where they are");
    host.launch(&sleeper("/new"));
    let is_in_two = |process: &&Process| process.cgroup.starts_with("two/");
    assert!(host.processes().iter().filter(is_in_two).count() >= 2);
    host.remove("/stays");

    // Whoever takes the run directories away leaves only the cgroup to tell what lives.
    host.kill_daemon();
    let before = host.processes();
    fs::remove_dir_all(host.run_dir().join("runs")).unwrap();
    host.use_cgroup_parent("three");
    let said = host.refused_daemon();
    assert!(said.contains("/two"), "{said}");
    assert_eq!(host.processes(), before, "nothing was touched");
    host.use_cgroup_parent("two");
    host.start_daemon();
    let status = wait_until_replaced(&host, "/new", &before, 2);
    assert_eq!(ends_of(&status).len(), 1, "{status:#}");
    host.remove("/new");
}
