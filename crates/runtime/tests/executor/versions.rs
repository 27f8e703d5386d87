//! Daemons of other versions: an old one that is played by literal bytes alone, and ones that nothing is spoken with.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use runtime::launch::Launch;
use serde_json::{Value, json};

use crate::support::*;

/// The members that an update has had since version 1: a daemon of that time needs each.
const UPDATE: [&str; 9] = [
    "run",
    "sequence",
    "at",
    "container",
    "state",
    "reason",
    "message",
    "exit",
    "healthy",
];

/// A bed whose launch is the recorded message of version 1, at this test's places; gives that message, too.
fn recorded_bed(name: &str) -> (Bed, String) {
    let mut bed = Bed::new(name);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/launch_plain");
    let run = "6f7f3a1e-2f7d-4f39-9a0e-5d1c0c7c2b11.3";
    let sandbox = "/var/lib/monopod/sandboxes/6f7f3a1e-2f7d-4f39-9a0e-5d1c0c7c2b11/3";
    let of_bed = |path: &Path| path.to_str().unwrap().to_owned();
    let message = fs::read_to_string(path)
        .unwrap()
        .replace(
            &format!("/run/monopod/runs/{run}"),
            &of_bed(&bed.launch.run_dir),
        )
        .replace(sandbox, &of_bed(&bed.launch.sandbox))
        .replace(&format!("monopod/{run}"), &bed.launch.cgroups.run)
        .replace("monopod/leaving", &bed.launch.cgroups.leaving)
        .replace("/run/monopod/seccomp", &of_bed(&bed.launch.seccomp_program));
    bed.launch = serde_json::from_str::<Launch>(&message).unwrap();
    for container in &bed.launch.containers {
        fs::create_dir_all(&container.sandbox).unwrap();
    }
    (bed, message)
}

fn say(connection: &mut BufReader<UnixStream>, line: &str) {
    writeln!(connection.get_mut(), "{line}").unwrap();
}

fn hear(connection: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// Says hello as version 1 does, and hears the executor's.
fn greet(run: &Run<'_>) -> BufReader<UnixStream> {
    let mut connection = run.dial();
    say(&mut connection, r#"{"verb":"hello","version":1}"#);
    let hello = hear(&mut connection);
    assert_eq!(hello["verb"], "hello");
    assert!(hello["version"].as_u64() >= Some(1), "{hello}");
    assert_eq!(hello["run"], "6f7f3a1e-2f7d-4f39-9a0e-5d1c0c7c2b11.3");
    assert_eq!(hello["pid"], run.pid());
    connection
}

/// Hears updates until one has this state.
fn updates_until(connection: &mut BufReader<UnixStream>, state: &str) -> Vec<Value> {
    let mut updates = Vec::new();
    loop {
        let update = hear(connection);
        assert_eq!(update["verb"], "update", "{update}");
        for member in UPDATE {
            assert!(update.get(member).is_some(), "{member}: {update}");
        }
        updates.push(update);
        if updates.last().unwrap()["state"] == state {
            return updates;
        }
    }
}

fn numbers(updates: &[Value]) -> Vec<u64> {
    updates
        .iter()
        .map(|update| update["sequence"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_daemon_of_version_1_is_served() {
    if !is_root() {
        return;
    }
    let (bed, message) = recorded_bed("old");
    let mut run = bed.spawn_with(&message, r#"exec "$0" executor"#);
    let mut daemon = greet(&run);
    let first = updates_until(&mut daemon, "TASK_RUNNING");
    assert_eq!(numbers(&first), [1, 2]);

    // It went away without having acknowledged anything.
    let mut daemon = greet(&run);
    assert_eq!(updates_until(&mut daemon, "TASK_RUNNING"), first);
    say(&mut daemon, r#"{"verb":"juggle","balls":3}"#);
    assert_eq!(hear(&mut daemon), json!({"verb": "unsupported"}));
    say(&mut daemon, r#"{"verb":"acknowledge","sequence":2}"#);

    let mut daemon = greet(&run);
    let kill = r#"{"verb":"kill","reason":"REASON_KILL_REQUESTED","grace_ms":null}"#;
    say(&mut daemon, kill);
    let last = updates_until(&mut daemon, "TASK_KILLED");
    assert_eq!(numbers(&last), [3, 4]);
    assert_eq!(last[0]["state"], "TASK_KILLING");
    assert_eq!(last[1]["reason"], "REASON_KILL_REQUESTED");
    assert_eq!(last[1]["exit"], json!({"signaled": 15}));
    say(&mut daemon, r#"{"verb":"acknowledge","sequence":4}"#);
    let status = wait_for("the executor's end", || run.child.try_wait().unwrap());
    assert!(status.success(), "{status}; {}", run.log());

    // What such a daemon finds of it when it is started again.
    let journal = fs::read_to_string(run.run_dir.journal()).unwrap();
    let header = r#"{"version":1,"run":"6f7f3a1e-2f7d-4f39-9a0e-5d1c0c7c2b11.3"}"#;
    assert_eq!(journal.lines().next(), Some(header));
}

#[test]
fn a_daemon_that_speaks_nothing_known_is_refused_and_the_pod_runs_on() {
    if !is_root() {
        return;
    }
    let (bed, message) = recorded_bed("foreign");
    let mut run = bed.spawn_with(&message, r#"exec "$0" executor"#);
    let mut daemon = greet(&run);
    updates_until(&mut daemon, "TASK_RUNNING");
    let containers = run.procs("a");
    assert!(!containers.is_empty());
    let kill = r#"{"verb":"kill","reason":"REASON_KILL_REQUESTED","grace_ms":0}"#;
    let cases = [
        // What was never a version, what needs more than this executor knows, and no hello at all.
        (r#"{"verb":"hello","version":0}"#, "speaks 1 to 0"),
        (
            r#"{"verb":"hello","version":99,"oldest":98}"#,
            "speaks 98 to 99",
        ),
        (r#"{"verb":"acknowledge","sequence":2}"#, ""),
    ];
    for (hello, told) in cases {
        for _ in 0..2 {
            let mut daemon = run.dial();
            // It may be gone before the second line is written.
            let _ = daemon
                .get_mut()
                .write_all(format!("{hello}\n{kill}\n").as_bytes());
            let mut heard = String::new();
            // Closed with lines unread: the end may come as a reset.
            let _ = daemon.read_to_string(&mut heard);
            assert!(heard.lines().count() <= 1, "only its hello: {heard}");
        }
        assert!(run.log().contains(told), "{}", run.log());
    }
    let log = run.log();
    assert_eq!(
        log.matches("a daemon is refused").count(),
        2,
        "each once: {log}"
    );
    let now = run.procs("a");
    let lives = containers.iter().all(|pid| now.contains(pid));
    assert!(lives, "somebody was killed: {now:?} of {containers:?}");

    // A newer one that still speaks version 1 is served.
    let mut daemon = run.dial();
    say(
        &mut daemon,
        r#"{"verb":"hello","version":99,"oldest":1,"mood":"good"}"#,
    );
    assert_eq!(hear(&mut daemon)["verb"], "hello");
    let updates = updates_until(&mut daemon, "TASK_RUNNING");
    assert_eq!(numbers(&updates), [1, 2], "nothing was acknowledged");
    say(&mut daemon, kill);
    updates_until(&mut daemon, "TASK_KILLED");
    say(&mut daemon, r#"{"verb":"acknowledge","sequence":4}"#);
    wait_for("the executor's end", || run.child.try_wait().unwrap());
}
