//! The daemon may go at any time; pods do not notice.

use e2e::{host::Host, needs_root, pods};

#[test]
fn containers_outlive_the_daemon_untouched() {
    needs_root!();
    let mut host = Host::start();
    host.import_probe();
    let containers = [
        pods::probe_container("a", "hold"),
        pods::probe_container("b", "hold"),
    ];
    host.launch(&pods::scaled(pods::pod("/stays", &containers), 2));
    let before = host.processes();
    let pods_only = |host: &Host| {
        let own = host.daemon_pid();
        host.processes()
            .into_iter()
            .filter(|p| Some(p.pid) != own)
            .collect::<Vec<_>>()
    };
    assert!(before.len() >= 6, "{before:?}");
    let before = pods_only(&host);
    let status = host.status("/stays");
    for kill in [false, true] {
        if kill {
            host.kill_daemon()
        } else {
            host.stop_daemon()
        }
        assert_eq!(pods_only(&host), before, "while the daemon was away");
        host.start_daemon();
        let again = host.wait_until_stable("/stays");
        assert_eq!(pods_only(&host), before, "after its return");
        assert_eq!(again["instances"][0]["id"], status["instances"][0]["id"]);
        assert_eq!(again["spec"]["version"], status["spec"]["version"]);
    }
    host.remove("/stays");
    host.wait_until_clean();
}

#[test]
fn what_ends_while_the_daemon_is_away_is_noticed_and_replaced() {
    needs_root!();
    let mut host = Host::start();
    host.import_probe();
    host.launch(&pods::pod("/ends", &[pods::probe_container("c", "hold")]));
    let before = host.executors();
    host.kill_daemon();
    host.container_processes()
        .iter()
        .for_each(e2e::kernel::Process::kill);
    host.start_daemon();
    e2e::wait_for("a new run", e2e::host::SOON, || {
        let now = host.executors();
        (now.len() == 1 && now.is_disjoint(&before)).then_some(())
    });
    let status = host.wait_until_stable("/ends");
    assert!(
        status["terminationHistory"].to_string().contains("Killed"),
        "{status:#}"
    );
}

#[test]
fn two_daemons_do_not_share_a_state() {
    needs_root!();
    let host = Host::start();
    let second = std::process::Command::new(e2e::binary::monopod())
        .arg("--run-dir")
        .arg(host.run_dir())
        .args([
            "daemon",
            "--config",
            "/dev/null",
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
        ])
        .arg(host.state_dir())
        .args(["--cgroup-parent", host.cgroup_parent()])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(stderr.contains("Error: "), "{stderr}");
    assert_eq!(
        host.request("GET", "/ping", None).status,
        200,
        "the first goes on"
    );
}
