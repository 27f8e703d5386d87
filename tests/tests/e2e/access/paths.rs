//! Paths that are not what they seem reach nothing else and break nothing.

use e2e::{host::Host, needs_root, pods, wire::Wire};

use super::shows;

/// Everything that is asked for.
fn tricks() -> Vec<String> {
    let long = "a".repeat(20_000);
    let mut tricks = vec![
        format!("/v2/pods/{long}"),
        format!("/v2/pods/{long}::instances/{long}"),
        format!("/v2/deployments/{long}"),
    ];
    let plain = [
        "/v2/pods/../info",
        "/v2/pods/%2e%2e/info",
        "/v2/pods/..%2finfo",
        "/v2/pods/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/v2/pods/real/../../images",
        "/ping/../v2/pods",
        "/../ping",
        "//ping",
        "//v2/pods",
        "/v2//pods",
        "/v2/./pods",
        "/v2/pods/%00",
        "/v2/pods/real%00",
        "/v2/pods/real%00::status",
        "/v2/pods/%ff",
        "/v2/pods/%",
        "/v2/pods/%2",
        "/v2/pods/real%0d%0aX-Evil:%201",
        "/v2/pods/real;x=1",
        "/v2/pods/real::nothing",
        "/v2/pods/real::status/more",
        "/v2/pods/real::status::status",
        "/v2/pods/real::instances/../../../etc/passwd",
        "/v2/pods/real::versions/../../info",
        "/v2/pods/real::logs?container=../../../../etc/passwd",
        "/v2/pods/real::logs?container=c&instance=../x",
        "/v2/pods/real::logs?container=c&stream=../../token",
        "/v2/pods/real::logs?container=c&tail=-1",
        "/v2/deployments/..%2f..%2finfo",
        "/v2/deployments/%ff",
        "/v2/deployments/%00",
        "/service/marathon/../../v2/pods",
        "/service/marathon/service/marathon/ping",
        "/token",
        "/v2/token",
        "*",
    ];
    tricks.extend(plain.map(str::to_owned));
    tricks
}

#[test]
fn path_tricks_reach_nothing_and_break_nothing() {
    needs_root!();
    let host = Host::start();
    host.launch(&pods::pod(
        "/real",
        &[pods::shell_container("c", "exec sleep 1000")],
    ));
    let before = host.container_processes();
    let authorization = shows(&host.token());
    for path in tricks() {
        let shown: String = path.chars().take(60).collect();
        for method in ["GET", "PUT", "DELETE", "POST", "OPTIONS"] {
            let mut wire = Wire::unix(&host.socket()).unwrap();
            let headers = ["Connection: close", "Content-Type: application/json"];
            let answer = wire.ask(method, &path, &headers).unwrap();
            let status = answer.status;
            assert!(
                (400..500).contains(&status),
                "{method} {shown}: {status} {}",
                answer.body
            );
            assert!(
                !answer.body.contains("root:"),
                "{method} {shown}: {}",
                answer.body
            );
            assert_eq!(answer.header("x-evil"), None, "{method} {shown}");
            let answer = Wire::tcp(host.tcp()).ask(method, &path, &headers).unwrap();
            let refused = [400, 401, 414, 431].contains(&answer.status);
            assert!(
                refused,
                "{method} {shown} without a token: {}",
                answer.status
            );
        }
        let headers = [&*authorization, "Connection: close"];
        let answer = Wire::tcp(host.tcp()).ask("GET", &path, &headers).unwrap();
        let is_refused = (400..500).contains(&answer.status);
        assert!(is_refused, "{shown} over TCP: {}", answer.status);
    }
    assert_eq!(host.container_processes(), before, "the pod was touched");
    let status = host.status("/real");
    assert_eq!(status["status"], "STABLE");
}

#[test]
fn an_encoded_path_is_the_same_pod_and_no_other() {
    needs_root!();
    let host = Host::start();
    host.launch(&pods::pod(
        "/a/b",
        &[pods::shell_container("c", "exec sleep 1000")],
    ));
    for path in [
        "/v2/pods/a/b",
        "/v2/pods/a%2Fb",
        "/v2/pods//a/b/",
        "/v2/pods/%61/b",
    ] {
        let answer = host.request("GET", path, None);
        assert_eq!(answer.json()["id"], "/a/b", "{path}: {}", answer.body);
    }
    assert_eq!(host.request("GET", "/v2/pods/a", None).status, 404);
    assert_eq!(host.request("GET", "/v2/pods/a%252Fb", None).status, 422);
}
