//! What a container sees and may do, told by a probe inside.

use std::{collections::BTreeMap, fs};

use model::state::TaskState::*;

use crate::support::*;

/// CAP_CHOWN, CAP_KILL and CAP_SETUID, as `/proc/self/status` writes them.
const GRANTED: &str = "00000000000000a1";
const NONE: &str = "0000000000000000";

fn probe(bed: &mut Bed, name: &str) {
    let binary = binary().display().to_string();
    let argv = [binary.as_str(), "probe"];
    bed.add(name, &argv).memory_limit_bytes = Some(64 << 20);
}

fn facts_of(bed: &Bed, name: &str) -> BTreeMap<String, String> {
    let sandbox = bed.launch.sandbox.join("containers").join(name);
    facts(&fs::read_to_string(sandbox.join("stdout")).unwrap())
}

fn own_namespace(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}"))
        .unwrap()
        .display()
        .to_string()
}

#[test]
fn containers_share_what_a_pod_shares_and_nothing_more() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("shared");
    probe(&mut bed, "a");
    probe(&mut bed, "b");
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "a").state, Finished, "{updates:?}");
    let (a, b) = (facts_of(&bed, "a"), facts_of(&bed, "b"));
    for name in ["net", "ipc", "uts"] {
        assert_eq!(a[name], b[name], "{name}");
        assert_ne!(a[name], own_namespace(name), "{name}");
    }
    for name in ["mnt", "pid"] {
        assert_ne!(a[name], b[name], "{name}");
        assert_ne!(a[name], own_namespace(name), "{name}");
    }
    assert_eq!(a["hostname"], "pod-of-the-test");
    assert_eq!(a["loopback"], "true");
}

#[test]
fn containers_of_a_pod_meet_in_shared_memory_and_on_loopback() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("meet");
    bed.script(
        "a",
        "echo met > /dev/shm/word; echo over loopback | busybox nc -l -p 7000",
    );
    let script = "until cat /dev/shm/word 2> /dev/null; do sleep 0.02; done;
        until busybox nc 127.0.0.1 7000 2> /dev/null; do sleep 0.02; done";
    bed.script("b", script);
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "b").state, Finished, "{updates:?}");
    let sandbox = bed.launch.sandbox.join("containers/b");
    let output = fs::read_to_string(sandbox.join("stdout")).unwrap();
    assert_eq!(output, "met\nover loopback\n");
}

#[test]
fn host_mode_keeps_the_hosts_network_and_name() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("hostnet");
    bed.launch.own_network = false;
    bed.launch.hostname = None;
    probe(&mut bed, "a");
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "a").state, Finished, "{updates:?}");
    let a = facts_of(&bed, "a");
    for name in ["net", "uts"] {
        assert_eq!(a[name], own_namespace(name), "{name}");
    }
    assert_ne!(a["ipc"], own_namespace("ipc"));
}

#[test]
fn nothing_leaks_into_a_container() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("leaks");
    probe(&mut bed, "a");
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "a").state, Finished, "{updates:?}");
    let a = facts_of(&bed, "a");
    let sandbox = bed
        .launch
        .sandbox
        .join("containers/a")
        .display()
        .to_string();
    let expected = [
        ("Seccomp", "2"),
        ("NoNewPrivs", "1"),
        ("CapEff", GRANTED),
        ("CapPrm", GRANTED),
        ("CapBnd", GRANTED),
        ("CapInh", NONE),
        ("CapAmb", NONE),
        ("SigBlk", NONE),
        ("Umask", "0022"),
        ("Groups", "0"),
        ("NSpid", "1"),
        ("fds", "0,1,2"),
        ("cwd", &sandbox),
        ("environment", "HOME=/root,PATH=/usr/bin:/bin,SECRET=hush"),
        ("oom_score_adj", "0"),
        ("core_pattern_writable", "false"),
        ("kcore_bytes", "0"),
    ];
    for (name, value) in expected {
        assert_eq!(a[name], value, "{name}: {a:#?}");
    }
    // The probe's own runtime ignores SIGPIPE; a shell shows what it was given.
    let mut bed = Bed::new("signals");
    bed.add(
        "a",
        &["/bin/busybox", "grep", "SigIgn", "/proc/self/status"],
    );
    bed.spawn().finish();
    let sandbox = bed.launch.sandbox.join("containers/a");
    assert_eq!(
        fs::read_to_string(sandbox.join("stdout")).unwrap(),
        format!("SigIgn:\t{NONE}\n")
    );
}

#[test]
fn a_user_has_no_capabilities_and_its_own_sandbox() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("user");
    let script = "echo mine > file && echo again > /dev/stdout; cat /proc/self/status";
    bed.script("a", script).user = Some("1234:4321".to_owned());
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "a").state, Finished, "{updates:?}");
    let sandbox = bed.launch.sandbox.join("containers/a");
    let output = fs::read_to_string(sandbox.join("stdout")).unwrap();
    assert!(output.starts_with("again\n"), "{output}");
    for line in [
        "Uid:\t1234\t1234\t1234\t1234",
        "Groups:\t4321 ",
        &format!("CapEff:\t{NONE}"),
    ] {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert_eq!(fs::read_to_string(sandbox.join("file")).unwrap(), "mine\n");
}

#[test]
fn session_keyrings_are_new() {
    if !is_root() {
        return;
    }
    let Ok(own) = runtime::sys::keyring::session_serial() else {
        eprintln!("SKIPPED: no keyrings here");
        return;
    };
    let mut bed = Bed::new("keyring");
    for name in ["a", "b"] {
        probe(&mut bed, name);
        bed.launch.containers.last_mut().unwrap().seccomp = false;
    }
    probe(&mut bed, "filtered");
    bed.spawn().finish();
    let (a, b) = (facts_of(&bed, "a"), facts_of(&bed, "b"));
    assert_eq!(a["Seccomp"], "0");
    assert_ne!(a["keyring"], own.to_string());
    assert_ne!(a["keyring"], b["keyring"]);
    let filtered = &facts_of(&bed, "filtered")["keyring"];
    assert!(
        filtered.parse::<i64>().is_err(),
        "keyctl is not allowed: {filtered}"
    );
}

#[test]
fn the_executor_leaves_the_daemon_behind() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("executor");
    bed.script("a", "while :; do sleep 0.02; done");
    let mut run = bed.spawn();
    run.connect();
    run.until("a", Running);
    let pid = run.pid();
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let status = read("status");
    for line in [
        "Threads:\t1\n",
        "Groups:\t \n",
        "Umask:\t0022\n",
        "Name:\tmonopod-exec\n",
    ] {
        assert!(status.contains(line), "{line:?}: {status}");
    }
    assert_eq!(read("oom_score_adj"), "0\n");
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let leaked: Vec<_> = links.filter(|link| link.ends_with("launch.json")).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    let bundle = bed.launch.run_dir.join("containers/bundle/a/config.json");
    assert!(!bundle.exists(), "the host does not see bundles");
    let inside = format!("/proc/{pid}/root{}", bundle.display());
    let specification = fs::read_to_string(inside).unwrap();
    assert!(specification.contains("PATH=") && !specification.contains("hush"));
    let state = format!(
        "/proc/{pid}/root{}/containers/state/a/state.json",
        bed.launch.run_dir.display()
    );
    assert!(fs::read_to_string(state).unwrap().contains("\"running\""));
    run.kill(Some(0));
    run.until("a", Killed);
    run.finish();
}
