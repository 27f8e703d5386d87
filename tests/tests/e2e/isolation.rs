//! What containers of a pod share, and what they are kept from.

use std::collections::BTreeSet;

use e2e::{host::Host, needs_root, pods};
use serde_json::{Value, json};

/// The capabilities that the container world gives by default.
const DEFAULT_CAPABILITIES: [u32; 14] = [
    0,  // CHOWN
    1,  // DAC_OVERRIDE
    3,  // FOWNER
    4,  // FSETID
    5,  // KILL
    6,  // SETGID
    7,  // SETUID
    8,  // SETPCAP
    10, // NET_BIND_SERVICE
    13, // NET_RAW
    18, // SYS_CHROOT
    27, // MKNOD
    29, // AUDIT_WRITE
    31, // SETFCAP
];

fn namespace(report: &Value, kind: &str) -> String {
    report["namespaces"][kind]
        .as_str()
        .unwrap_or_else(|| panic!("no {kind} in {report}"))
        .to_owned()
}

#[test]
fn containers_of_a_pod_share_network_ipc_name_and_volumes() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let mut first = pods::probe_container(
        "first",
        "report , listen 9000 , ipc-create 77 , write /shared/file written , hold",
    );
    let mut second = pods::probe_container(
        "second",
        "report , connect 9000 , ipc-see 77 , read /shared/file , hold",
    );
    for container in [&mut first, &mut second] {
        container["volumeMounts"] = json!([{"name": "v", "mountPath": "/shared"}]);
    }
    let mut pod = pods::with_own_network(pods::pod("/sharing", &[first, second]));
    pod["volumes"] = json!([{"name": "v"}]);
    host.launch(&pod);

    for line in ["hello", "shared", "written"] {
        host.wait_for_line("/sharing", "second", |seen| seen == line);
    }
    let (first, second) = (
        host.report("/sharing", "first"),
        host.report("/sharing", "second"),
    );
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(namespace(&first, kind), namespace(&second, kind), "{kind}");
        let hosts = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(
            namespace(&first, kind),
            hosts.to_string_lossy(),
            "{kind} is the host's"
        );
    }
    for kind in ["pid", "mnt"] {
        assert_ne!(namespace(&first, kind), namespace(&second, kind), "{kind}");
    }
    assert_ne!(namespace(&first, "net"), own.to_string_lossy());
    assert_eq!(first["hostname"], second["hostname"]);
    assert_eq!((&first["pid"], &second["pid"]), (&json!(1), &json!(1)));
}

#[test]
fn a_host_network_pod_keeps_the_hosts_network_and_name() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    host.launch(&pods::pod(
        "/host",
        &[pods::probe_container("c", "report , hold")],
    ));
    let report = host.report("/host", "c");
    let hosts = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(namespace(&report, "net"), hosts.to_string_lossy());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(report["hostname"], name.trim());
}

#[test]
fn a_container_is_confined() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    host.launch(&pods::pod(
        "/confined",
        &[pods::probe_container("c", "report , hold")],
    ));
    let report = host.report("/confined", "c");
    let status = &report["status"];
    let allowed = DEFAULT_CAPABILITIES
        .iter()
        .fold(0u64, |mask, bit| mask | 1 << bit);
    for set in ["CapEff", "CapBnd", "CapPrm", "CapInh", "CapAmb"] {
        let mask = u64::from_str_radix(status[set].as_str().unwrap(), 16).unwrap();
        assert_eq!(mask & !allowed, 0, "{set} is {mask:x}");
    }
    assert_eq!(status["Seccomp"], "2", "a seccomp filter");
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(status["Umask"], "0022");
    assert_eq!(
        report["groups"],
        json!([report["gid"]]),
        "no group but the primary one"
    );
    assert_eq!(report["oom_score_adj"], "0\n");
    assert_eq!(report["proc_sys_writable"], json!(false));
    for set in ["SigBlk", "SigIgn"] {
        let mask = u64::from_str_radix(status[set].as_str().unwrap(), 16).unwrap();
        assert_eq!(mask, 0, "{set}");
    }
    let descriptors: BTreeSet<_> = report["fds"].as_object().unwrap().keys().cloned().collect();
    let standard = ["0", "1", "2"].map(str::to_owned);
    assert_eq!(descriptors, BTreeSet::from(standard), "{}", report["fds"]);
    for (path, found) in report["masked"].as_object().unwrap() {
        assert_ne!(found, "readable", "{path}");
    }
    let environment: Vec<_> = report["env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for variable in [
        "MARATHON_APP_ID=/confined",
        "MARATHON_CONTAINER_ID=c",
        "FROM_IMAGE=yes",
    ] {
        assert!(
            environment.contains(&variable),
            "{variable} is not in {environment:?}"
        );
    }
    let secret = host.directory().to_str().unwrap();
    assert!(
        !report["env"].to_string().contains(secret),
        "the environment tells of the daemon"
    );
}

#[test]
fn every_container_has_a_session_keyring_of_its_own() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    // The default filter hides keyrings from the probe itself.
    let container = |name| {
        let mut container = pods::probe_container(name, "report , hold");
        container["linuxInfo"] = json!({"seccomp": {"unconfined": true}});
        container
    };
    host.launch(&pods::pod("/keys", &[container("a"), container("b")]));
    let keyring = |name| {
        host.report("/keys", name)["session_keyring"]
            .as_i64()
            .unwrap()
    };
    let (a, b) = (keyring("a"), keyring("b"));
    assert!(a > 0 && b > 0, "no session keyring: {a} {b}");
    assert_ne!(a, b);
}

#[test]
fn a_container_on_the_hosts_root_cannot_read_the_token_or_change_the_host() {
    needs_root!();
    let host = Host::start();
    let token = host.state_dir().join("token");
    assert!(token.exists(), "there is no token to hide");
    let marker = format!("/mpt-marker-{}", host.cgroup_parent().replace('/', "-"));
    let command = format!(
        "cat {} 2>/dev/null && echo READ; touch {marker} && echo touched; echo end; sleep 1000",
        token.display()
    );
    host.launch(&pods::pod("/nosy", &[pods::shell_container("c", &command)]));
    host.wait_for_line("/nosy", "c", |line| line == "end");
    let log = host.log_of("/nosy", "c", "stdout");
    assert!(!log.contains("READ"), "{log}");
    assert!(log.contains("touched"), "the writable layer: {log}");
    assert!(
        !std::path::Path::new(&marker).exists(),
        "the host was changed"
    );
}

#[test]
fn users_are_resolved_in_the_image_with_no_groups_of_the_host() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let mut container = pods::probe_container("c", "report , hold");
    container["user"] = json!("probe");
    host.launch(&pods::pod("/user", &[container]));
    let report = host.report("/user", "c");
    assert_eq!(
        (&report["uid"], &report["gid"]),
        (&json!(1234), &json!(1234))
    );
    assert_eq!(report["status"]["CapEff"], "0000000000000000");
}

#[test]
fn a_container_has_no_device_of_the_host_and_makes_none() {
    needs_root!();
    let host = Host::start();
    let command = "ls /dev | tr '\\n' ' '; echo; mknod /tmp/disk b 8 0 || echo refused; sleep 1000";
    let container = pods::shell_container("c", command);
    host.launch(&pods::pod("/devices", &[container]));
    host.wait_for_line("/devices", "c", |line| line == "refused");
    let log = host.log_of("/devices", "c", "stdout");
    let harmless = [
        "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero", "console",
    ];
    for name in log.lines().next().unwrap_or_default().split_whitespace() {
        assert!(harmless.contains(&name), "/dev/{name} is in the container");
    }
}
