//! Nobody gets in who should not. `docs/security.md` names the test for each of its lines.

mod limits;
mod paths;
mod records;
mod tls;

use std::{
    collections::BTreeSet,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use e2e::{
    host::{Host, SOON},
    http::Answer,
    needs_root, pods, wait_for,
    wire::Wire,
};
use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use serde_json::json;

/// A group of every Linux host; its members are let in by tests.
const GROUP: &str = "daemon";
const GROUP_ID: u32 = 1;

/// One request over TCP with these header lines.
#[track_caller]
fn ask(host: &Host, method: &str, path: &str, headers: &[&str]) -> Answer {
    let mut headers = headers.to_vec();
    headers.push("Connection: close");
    Wire::tcp(host.tcp()).ask(method, path, &headers).unwrap()
}

/// The header line that shows a token.
pub(crate) fn shows(token: &str) -> String {
    format!("Authorization: token={token}")
}

fn run(host: &Host, arguments: &[&str]) -> String {
    let output = host.monopod(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// `GET` through the socket by a thread with another user, whose groups are these.
fn status_as(socket: &Path, uid: u32, groups: &[u32], path: &str) -> std::io::Result<u16> {
    let groups: Vec<_> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    std::thread::scope(|scope| {
        let request = || {
            let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
            set_thread_groups(&groups)?;
            set_thread_res_gid(group, group, group)?;
            set_thread_res_uid(user, user, user)?;
            Ok(Wire::unix(socket)?.ask("GET", path, &[])?.status)
        };
        scope.spawn(request).join().unwrap()
    })
}

#[test]
fn the_unix_socket_is_for_root_and_the_group() {
    needs_root!();
    let host = Host::start_with(&["--socket-group", GROUP]);
    let socket = host.socket();
    let metadata = socket.metadata().unwrap();
    assert_eq!(metadata.mode() & 0o777, 0o660);
    assert_eq!((metadata.uid(), metadata.gid()), (0, GROUP_ID));
    assert_eq!(status_as(&socket, 0, &[], "/v2/pods").unwrap(), 200, "root");
    let member = status_as(&socket, 1234, &[5, GROUP_ID], "/v2/pods");
    assert_eq!(member.unwrap(), 200, "a member by a further group");
    let stranger = status_as(&socket, 1234, &[5], "/v2/pods").unwrap_err();
    assert_eq!(stranger.kind(), std::io::ErrorKind::PermissionDenied);

    // Were the file's mode wrong, the peer's credentials would still decide.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(status_as(&socket, 1234, &[5], "/v2/pods").unwrap(), 403);
    assert_eq!(status_as(&socket, 1234, &[5], "/ping").unwrap(), 200);
    assert_eq!(
        status_as(&socket, 1234, &[GROUP_ID], "/v2/pods").unwrap(),
        200
    );
}

#[test]
fn without_the_group_the_socket_is_for_root_alone() {
    needs_root!();
    let host = Host::start_with(&["--socket-group", "no-such-group"]);
    let socket = host.socket();
    assert_eq!(socket.metadata().unwrap().mode() & 0o777, 0o600);
    let member = status_as(&socket, 1234, &[GROUP_ID], "/v2/pods").unwrap_err();
    assert_eq!(member.kind(), std::io::ErrorKind::PermissionDenied);
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(status_as(&socket, 1234, &[0], "/v2/pods").unwrap(), 403);
}

#[test]
fn tcp_needs_the_token_for_all_but_ping() {
    needs_root!();
    let host = Host::start();
    let token = host.token();
    let cases = [
        (vec![], "/ping", 200),
        (vec![], "/service/marathon/ping", 200),
        (vec![], "/v2/pods", 401),
        (vec![], "/v2/info", 401),
        (vec![], "/service/marathon/v2/pods", 401),
        (vec![], "/nothing", 401),
        (vec![shows("wrong")], "/v2/pods", 401),
        (vec![shows(&token[1..])], "/v2/pods", 401),
        (vec![shows(&format!("{token}0"))], "/v2/pods", 401),
        (
            vec![format!("Authorization: Basic {token}")],
            "/v2/pods",
            401,
        ),
        (vec![format!("Cookie: token={token}")], "/v2/pods", 401),
        (vec![shows(&token)], "/v2/pods", 200),
        (
            vec![format!("Authorization: Bearer {token}")],
            "/v2/pods",
            200,
        ),
        (
            vec![format!("authorization: bearer {token}")],
            "/v2/info",
            200,
        ),
    ];
    for (headers, path, expected) in cases {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = ask(&host, "GET", path, &headers);
        assert_eq!(
            answer.status, expected,
            "{path} {headers:?}: {}",
            answer.body
        );
        if expected == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("bearer"));
        }
    }
    let mode = host.state_dir().join("token").metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn other_names_and_pages_of_other_sites_are_refused() {
    needs_root!();
    let host = Host::start_with(&["--allowed-host", "box.example"]);
    let address = host.tcp();
    let authorization = shows(&host.token());
    let own = format!("Origin: http://{address}");
    let at = |name: &str| format!("Host: {name}");
    let cases = [
        (vec![at(&address.to_string())], 200),
        (vec![at("localhost")], 200),
        (vec![at("box.example:99")], 200),
        (vec![at("evil.example")], 403),
        (vec![at(&format!("evil.example:{}", address.port()))], 403),
        (vec![at("10.1.2.3")], 403),
        (vec![], 403),
        (vec![at("localhost"), at("evil.example")], 403),
        (vec![at(&address.to_string()), own], 200),
        (
            vec![at("localhost"), "Origin: http://evil.example".to_owned()],
            403,
        ),
        (vec![at("localhost"), "Origin: null".to_owned()], 403),
        (
            vec![at("localhost"), "Origin: http://localhost:3000".to_owned()],
            403,
        ),
        (
            vec![at("localhost"), "Sec-Fetch-Site: cross-site".to_owned()],
            403,
        ),
        (
            vec![at("localhost"), "Sec-Fetch-Site: same-origin".to_owned()],
            200,
        ),
    ];
    for (headers, expected) in cases {
        let mut request = String::from("GET /v2/pods HTTP/1.1\r\nConnection: close\r\n");
        for line in headers.iter().chain([&authorization]) {
            request.push_str(&format!("{line}\r\n"));
        }
        let mut wire = Wire::tcp(address);
        wire.send(format!("{request}\r\n").as_bytes()).unwrap();
        let answer = wire.answer().unwrap();
        assert_eq!(answer.status, expected, "{headers:?}: {}", answer.body);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn a_read_only_token_looks_and_changes_nothing() {
    needs_root!();
    let host = Host::start();
    let container = pods::shell_container("c", "echo seen; exec sleep 1000");
    host.launch(&pods::pod("/looked-at", &[container]));
    host.wait_for_line("/looked-at", "c", |line| line == "seen");
    let instance = host.status("/looked-at")["instances"][0]["id"].clone();
    let instance = instance.as_str().unwrap();
    let token = run(&host, &["token", "create", "--read-only", "--name", "eye"]);
    assert!(run(&host, &["token", "list"]).contains("eye"));
    let authorization = shows(&token);
    let cases = [
        ("GET", "/v2/pods".to_owned(), 200),
        ("HEAD", "/v2/pods".to_owned(), 200),
        ("GET", "/v2/pods/looked-at::status".to_owned(), 200),
        ("GET", "/v2/pods/looked-at::logs".to_owned(), 200),
        ("GET", "/v2/info".to_owned(), 200),
        ("POST", "/v2/pods".to_owned(), 403),
        ("PUT", "/v2/pods/looked-at".to_owned(), 403),
        ("DELETE", "/v2/pods/looked-at?force=true".to_owned(), 403),
        (
            "DELETE",
            format!("/v2/pods/looked-at::instances/{instance}"),
            403,
        ),
        ("POST", "/v2/images".to_owned(), 403),
        ("PATCH", "/v2/pods".to_owned(), 403),
        ("BREW", "/v2/pods".to_owned(), 403),
    ];
    let before = host.container_processes();
    for (method, path, expected) in cases {
        let answer = ask(&host, method, &path, &[&authorization]);
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.body);
        let full = host.token();
        assert!(
            !answer.body.contains(&full),
            "{method} {path} tells the token"
        );
    }
    let upgrade = [&*authorization, "Upgrade: websocket"];
    assert_eq!(ask(&host, "GET", "/v2/pods", &upgrade).status, 403);
    assert_eq!(host.container_processes(), before, "nothing was touched");

    run(&host, &["token", "revoke", "eye"]);
    assert_eq!(ask(&host, "GET", "/v2/pods", &[&authorization]).status, 401);
    let again = host.monopod(&["token", "revoke", "eye"]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn a_rotated_token_ends_at_once_also_on_open_connections() {
    needs_root!();
    let mut host = Host::start();
    let (old, pid) = (run(&host, &["token", "show"]), host.daemon_pid());
    let mut open = Wire::tcp(host.tcp());
    let with = |wire: &mut Wire<_>, token: &str| {
        let headers = [&*shows(token)];
        wire.ask("GET", "/v2/pods", &headers).unwrap().status
    };
    assert_eq!(with(&mut open, &old), 200);
    let new = run(&host, &["token", "rotate"]);
    assert_ne!(new, old);
    assert_eq!(with(&mut open, &old), 401);
    assert_eq!(with(&mut open, &new), 200);
    assert_eq!(ask(&host, "GET", "/v2/pods", &[&shows(&old)]).status, 401);
    assert_eq!(host.daemon_pid(), pid, "without a restart");
    host.stop_daemon();
    host.start_daemon();
    assert_eq!(run(&host, &["token", "show"]), new);
    assert_eq!(with(&mut Wire::tcp(host.tcp()), &new), 200);
}

#[test]
fn nothing_else_listens() {
    needs_root!();
    let host = Host::start_with(&["--listen", "[::1]:0"]);
    host.launch(&pods::pod(
        "/quiet",
        &[pods::shell_container("c", "sleep 1000")],
    ));
    let info = host.request("GET", "/v2/info?monopod=true", None).json();
    let said: BTreeSet<_> = info["monopod"]["listen"]
        .as_str()
        .unwrap()
        .split(',')
        .map(|text| text.parse::<std::net::SocketAddr>().unwrap().port())
        .collect();
    assert_eq!(said.len(), 2);
    let pids = [host.daemon_pid().unwrap()];
    let pids = pids
        .into_iter()
        .chain(host.executors().into_iter().map(|executor| executor.pid));
    let inodes: BTreeSet<_> = pids.flat_map(sockets).collect();
    let mut heard = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let text = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_whitespace().collect();
            let is_open = fields[3] == "0A" || !table.starts_with("tcp");
            if is_open && inodes.contains(fields[9]) {
                let (_, port) = fields[1].rsplit_once(':').unwrap();
                heard.insert(u16::from_str_radix(port, 16).unwrap());
            }
        }
    }
    assert_eq!(heard, said);
}

/// Inodes of a process's sockets.
fn sockets(pid: i32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let text = link.to_str()?.strip_prefix("socket:[")?;
        Some(text.strip_suffix(']')?.to_owned())
    };
    links.filter_map(inode).collect()
}

#[test]
fn other_addresses_than_loopback_need_a_certificate() {
    needs_root!();
    let host = Host::start();
    let output = host.monopod(&["daemon", "--config", "/dev/null", "--listen", "0.0.0.0:0"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("tls_certificate"), "{stderr}");
}

#[test]
fn a_token_file_that_is_gone_lets_nobody_in() {
    needs_root!();
    let host = Host::start();
    let headers = [&*shows(&host.token())];
    assert_eq!(ask(&host, "GET", "/v2/pods", &headers).status, 200);
    std::fs::remove_file(host.state_dir().join("token")).unwrap();
    assert_eq!(ask(&host, "GET", "/v2/pods", &headers).status, 401);
    // Root is not shut out, and makes a new one.
    let token = run(&host, &["token", "rotate"]);
    wait_for("the new token", SOON, || {
        (ask(&host, "GET", "/v2/pods", &[&shows(&token)]).status == 200).then_some(())
    });
    assert_eq!(host.request("GET", "/v2/pods", None).json(), json!([]));
}
