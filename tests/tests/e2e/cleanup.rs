//! `monopod cleanup` leaves nothing, and touches nothing that a daemon uses.

use std::process::{Command, Output};

use e2e::{host::Host, needs_root, pods};

fn cleanup(host: &Host, flags: &[&str]) -> Output {
    Command::new(e2e::binary::monopod())
        .arg("--run-dir")
        .arg(host.run_dir())
        .args(["cleanup", "--config", "/dev/null", "--state-dir"])
        .arg(host.state_dir())
        .args(["--cgroup-parent", host.cgroup_parent()])
        .args(flags)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn pods_cgroups_mounts_and_directories_go_and_a_second_time_finds_nothing() {
    needs_root!();
    let mut host = Host::start();
    host.import_probe();
    let pod = pods::pod("/goes", &[pods::probe_container("c", "hold")]);
    host.launch(&pods::scaled(pod, 2));
    let before = host.container_processes();
    let refused = cleanup(&host, &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let reason = text(&refused.stderr);
    assert!(reason.contains("a daemon (process "), "{reason}");
    assert_eq!(host.container_processes(), before, "nothing was touched");

    host.stop_daemon();
    let done = cleanup(&host, &[]);
    let told = text(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(told.contains("stopped 2 pod instances\n"), "{told}");
    assert!(host.processes().is_empty());
    assert!(!host.run_dir().exists() && host.state_dir().join("monopod.db").exists());

    let busy = host.state_dir().join("busy");
    std::fs::create_dir(&busy).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(&busy)
        .status();
    assert!(mounted.unwrap().success());
    let done = cleanup(&host, &["--state", "--yes"]);
    let told = text(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(
        told.contains(&format!("unmounted {}\n", busy.display())),
        "{told}"
    );
    assert!(!host.state_dir().exists());

    let again = cleanup(&host, &["--state", "--yes"]);
    assert!(again.status.success(), "{again:?}");
    assert_eq!(text(&again.stdout), "There is nothing to clean up\n");
}

#[test]
fn a_daemon_is_stopped_where_that_was_asked_for() {
    needs_root!();
    let mut host = Host::start();
    let pid = host.daemon_pid().unwrap();
    // It is this process's child, and a child that nobody waited for still counts as there.
    let waited = std::thread::scope(|scope| {
        let done = scope.spawn(|| cleanup(&host, &["--stop-daemon"]));
        let pid = rustix::process::Pid::from_raw(pid);
        rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
        done.join().unwrap()
    });
    assert!(waited.status.success(), "{waited:?}");
    assert!(!host.run_dir().exists());
    host.kill_daemon();
}
