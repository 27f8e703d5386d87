//! While the daemon recovers it answers, and says that it is not ready.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener},
    process::{Command, Stdio},
};

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
    weather::Weather,
    wire::Wire,
};
use serde_json::json;

use crate::access::shows;

/// An address that nobody listens on just now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn times_ready(host: &Host) -> usize {
    host.whole_log().matches(": ready url").count()
}

#[test]
fn callers_are_answered_during_recovery_and_told_to_wait() {
    needs_root!();
    let address = free_address();
    let listen = address.to_string();
    let flags = ["--resources", "cpus:4;mem:4096", "--listen", &listen];
    let mut host = Host::prepare("", &flags);
    let weather = Weather::new(host.directory());
    for (name, value) in weather.environment() {
        host.set_environment(name, value);
    }
    weather.clear();
    host.start_daemon();
    let sleeper = |id: &str| pods::pod(id, &[pods::shell_container("c", "exec sleep 1000")]);
    host.launch(&sleeper("/stays"));
    let before = host.processes();
    assert_eq!(times_ready(&host), 1, "{}", host.whole_log());
    host.kill_daemon();

    // Recovery looks at the lock of each run, and has to wait for this one.
    weather.set(&["open run.lock 0 -1 hold"]);
    host.spawn_daemon();
    wait_for("an answer", SOON, || {
        let answer = host.try_request("GET", "/ping", None);
        answer
            .is_ok_and(|answer| answer.status == 200)
            .then_some(())
    });
    wait_for("recovery to be held", SOON, || {
        (!weather.hits().is_empty()).then_some(())
    });
    let lost = sleeper("/lost");
    let cases = [
        ("GET", "/v2/info", None),
        ("GET", "/service/marathon/v2/pods", None),
        ("POST", "/v2/pods", Some(&lost)),
        ("GET", "/metrics", None),
        ("GET", "/nonesuch", None),
    ];
    for (method, path, body) in cases {
        let answer = host.try_request(method, path, body).unwrap();
        assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer:?}");
        assert_eq!(answer.json()["reason"], "recovering", "{answer:?}");
    }
    let over_tcp = |headers: &[&str]| {
        let answer = Wire::tcp(address).ask("GET", "/v2/pods", headers);
        answer.unwrap().status
    };
    assert_eq!(over_tcp(&[]), 401, "who it is comes first");
    let token = shows(&host.token());
    assert_eq!(over_tcp(&[&token]), 503);
    let mut kept = Wire::tcp(address);
    assert_eq!(kept.ask("GET", "/v2/pods", &[&token]).unwrap().status, 503);

    let mut command = Command::new(e2e::binary::monopod())
        .arg("--run-dir")
        .arg(host.run_dir())
        .args(["pod", "list", "--quiet"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    let mut stderr = BufReader::new(command.stderr.take().unwrap());
    stderr.read_line(&mut told).unwrap();
    assert!(told.contains("recovering"), "{told}");
    assert!(command.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(times_ready(&host), 1, "not ready yet");

    weather.clear();
    let mut listed = String::new();
    command
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut listed)
        .unwrap();
    assert!(command.wait().unwrap().success());
    assert_eq!(listed, "/stays\n");
    assert_eq!(times_ready(&host), 2);
    let answer = kept.ask("GET", "/v2/pods", &[&token]).unwrap();
    assert_eq!(answer.status, 200, "on a connection that was open before");
    host.wait_until_stable("/stays");
    assert_eq!(host.status("/lost"), json!(null));
    assert_eq!(host.processes(), before);
}
