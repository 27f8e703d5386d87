//! Launching, ending, killing.

use std::{fs, path::Path, time::Instant};

use model::{
    state::{Reason, TaskState::*},
    update::ExitStatus,
};
use runtime::protocol::FromExecutor;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::*;

/// A script that tells when it runs, and runs on.
const STAY: &str = "echo ready; while :; do sleep 0.02; done";

#[test]
fn a_pod_runs_to_its_end() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("ends");
    bed.script("a", "echo hello; echo bad >&2");
    bed.script("b", "exit 0");
    let updates = bed.spawn().finish();
    for name in ["a", "b"] {
        assert_eq!(
            states(&updates, name),
            [Starting, Running, Finished],
            "{updates:?}"
        );
        assert_eq!(last(&updates, name).exit, Some(ExitStatus::Exited(0)));
    }
    let sandbox = bed.launch.sandbox.join("containers/a");
    assert_eq!(
        fs::read_to_string(sandbox.join("stdout")).unwrap(),
        "hello\n"
    );
    assert_eq!(fs::read_to_string(sandbox.join("stderr")).unwrap(), "bad\n");
    let index = runtime::stream::read_index(&sandbox.join("stdout.index")).unwrap();
    assert_eq!((index.len(), index[0].offset), (1, 0));
    assert_eq!(
        mounts_below(&bed.launch.run_dir),
        0,
        "no mount reached the host"
    );
}

#[test]
fn a_failure_takes_the_sibling_down() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("fails");
    bed.script("a", "sleep 0.1; exit 3");
    bed.script("b", STAY);
    let updates = bed.spawn().finish();
    assert_eq!(states(&updates, "a"), [Starting, Running, Failed]);
    assert_eq!(last(&updates, "a").message, "Command exited with status 3");
    assert_eq!(states(&updates, "b"), [Starting, Running, Killing, Killed]);
    assert_eq!(last(&updates, "b").reason, Some(Reason::GroupMemberEnded));
}

#[test]
fn a_daemon_hears_everything_again_until_it_acknowledges() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("daemon");
    bed.script("a", STAY);
    let mut run = bed.spawn();
    run.connect();
    run.until("a", Running);
    run.say_raw(r#"{"verb":"juggle","balls":3}"#);
    assert_eq!(run.hear(), Some(FromExecutor::Unsupported));
    let before = std::mem::take(&mut run.updates);
    run.connect();
    run.until("a", Running);
    assert_eq!(run.updates, before, "told again, the same");
    run.acknowledge();
    run.updates.clear();
    run.connect();
    run.kill(None);
    assert_eq!(
        run.until("a", Killing).sequence,
        3,
        "what was acknowledged is not told again"
    );
    run.until("a", Killed);
    assert!(
        run.child.try_wait().unwrap().is_none(),
        "it waits for the last acknowledgement"
    );
    run.acknowledge();
    run.finish();
}

struct KillCase {
    name: &'static str,
    script: &'static str,
    /// The grace, and the longest and shortest time that the kill may take, in milliseconds.
    grace_ms: u64,
    least_ms: u128,
    most_ms: u128,
    exit: ExitStatus,
}

#[test]
fn kills_are_as_gentle_as_they_can_be() {
    if !is_root() {
        return;
    }
    let cases = [
        KillCase {
            name: "no handler",
            script: "echo ready; exec sleep 1000",
            grace_ms: 15_000,
            least_ms: 0,
            most_ms: 10_000,
            exit: ExitStatus::Signaled(15),
        },
        KillCase {
            name: "handler",
            script: "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done",
            grace_ms: 15_000,
            least_ms: 0,
            most_ms: 10_000,
            exit: ExitStatus::Exited(0),
        },
        KillCase {
            name: "ignores",
            script: "trap '' TERM; echo ready; while :; do sleep 0.02; done",
            grace_ms: 400,
            least_ms: 400,
            most_ms: 10_000,
            exit: ExitStatus::Signaled(9),
        },
    ];
    for case in cases {
        let mut bed = Bed::new("kill");
        bed.script("a", case.script).kill_grace_ms = case.grace_ms;
        let mut run = bed.spawn();
        run.connect();
        run.until("a", Running);
        wait_for("output", || {
            (!run.output("a", "stdout").is_empty()).then_some(())
        });
        let began = Instant::now();
        run.kill(None);
        let killed = run.until("a", Killed);
        let took = began.elapsed().as_millis();
        assert_eq!(killed.exit, Some(case.exit), "{}", case.name);
        assert_eq!(killed.reason, Some(Reason::KillRequested), "{}", case.name);
        assert!(
            (case.least_ms..case.most_ms).contains(&took),
            "{}: {took} ms",
            case.name
        );
        run.finish();
    }
}

#[test]
fn a_second_kill_shortens_the_grace() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("shorten");
    let script = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    bed.script("a", script).kill_grace_ms = 600_000;
    let mut run = bed.spawn();
    run.connect();
    run.until("a", Running);
    wait_for("output", || {
        (!run.output("a", "stdout").is_empty()).then_some(())
    });
    run.kill(None);
    run.until("a", Killing);
    run.kill(Some(50));
    assert_eq!(run.until("a", Killed).exit, Some(ExitStatus::Signaled(9)));
    run.finish();
}

#[test]
fn a_kill_at_any_moment_of_the_launch_ends_it() {
    if !is_root() {
        return;
    }
    for delay_ms in [0, 3, 6, 9, 12, 20] {
        let mut bed = Bed::new("early");
        for name in ["a", "b", "c"] {
            bed.script(name, STAY);
        }
        let mut run = bed.spawn();
        run.connect();
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        run.kill(Some(0));
        for name in ["a", "b", "c"] {
            run.until(name, Killed);
        }
        run.finish();
    }
}

#[test]
fn sigterm_to_the_executor_stops_the_pod() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("sigterm");
    bed.script(
        "a",
        "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done",
    );
    let mut run = bed.spawn();
    run.connect();
    run.until("a", Running);
    wait_for("output", || {
        (!run.output("a", "stdout").is_empty()).then_some(())
    });
    kill_process(Pid::from_raw(run.pid()).unwrap(), Signal::TERM).unwrap();
    let killed = run.until("a", Killed);
    assert_eq!(killed.reason, Some(Reason::ExecutorTerminated));
    assert_eq!(run.output("a", "stdout"), "ready\nbye\n");
    run.finish();
}

#[test]
fn containers_end_with_their_executor() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("death");
    bed.script("a", STAY);
    bed.script("b", "sleep 1000").user = Some("1000:1000".to_owned());
    let mut run = bed.spawn();
    run.connect();
    run.until("b", Running);
    assert!(!run.procs("a").is_empty() && !run.procs("b").is_empty());
    run.child.kill().unwrap();
    let killed = Instant::now();
    let gone = |name: &str| run.procs(name).is_empty();
    wait_for("the containers' end", || {
        (gone("a") && gone("b")).then_some(())
    });
    assert!(
        killed.elapsed().as_millis() < 1000,
        "{:?}",
        killed.elapsed()
    );
}

#[test]
fn a_pod_that_shall_ends_with_its_launcher() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("launcher");
    bed.launch.die_with_parent = true;
    bed.script("a", STAY);
    let mut run = bed.spawn_by(r#"{ "$0" executor & wait; }"#);
    let is_in = |state| {
        let read = runtime::journal::salvage(&run.run_dir.journal(), bed.launch.run);
        let updates = read.unwrap_or_default().updates;
        updates
            .iter()
            .any(|update| update.state == state)
            .then_some(())
    };
    wait_for("the container to run", || is_in(Running));
    run.child.kill().unwrap();
    wait_for("the container's end", || is_in(Killed));
    let cgroup = &bed.launch.cgroups.run;
    wait_for("the executor's end", || {
        (!bed.cgroups.exists(cgroup)).then_some(())
    });
    run.child.wait().unwrap();
}

#[test]
fn going_over_the_memory_limit_is_told() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("memory");
    let container = bed.add("a", &["/bin/busybox", "tail", "/dev/zero"]);
    container.memory_limit_bytes = Some(16 << 20);
    container.cpu_quota_milli = None;
    let updates = bed.spawn().finish();
    let last = last(&updates, "a");
    assert_eq!(last.state, Failed);
    assert_eq!(
        last.reason,
        Some(Reason::ContainerLimitationMemory),
        "{last:?}"
    );
}

#[test]
fn a_flood_is_rotated_and_the_quota_comes_after_the_start() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("flood");
    bed.launch.logs.file_bytes = 64 << 10;
    bed.script("a", "busybox seq 100000; echo last");
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "a").state, Finished);
    let sandbox = bed.launch.sandbox.join("containers/a");
    let read = |name: &str| fs::read_to_string(sandbox.join(name)).unwrap();
    assert!(read("stdout").ends_with("100000\nlast\n"));
    for name in ["stdout", "stdout.1", "stdout.2"] {
        assert!(read(name).len() <= 64 << 10);
    }
    assert!(!sandbox.join("stdout.3").exists());
    let whole = format!("{}{}{}", read("stdout.2"), read("stdout.1"), read("stdout"));
    let numbers: Vec<u32> = whole.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "nothing is lost or cut"
    );
    assert_eq!(bed.launch.containers[0].cpu_quota_milli, Some(500));
}

#[test]
fn the_quota_is_set_once_the_command_runs() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("quota");
    bed.script("a", STAY);
    let mut run = bed.spawn();
    run.connect();
    run.until("a", Running);
    let cgroup = format!("{}/a", bed.launch.cgroups.run);
    let v1 = Path::new("/sys/fs/cgroup/cpu")
        .join(&cgroup)
        .join("cpu.cfs_quota_us");
    let v2 = Path::new("/sys/fs/cgroup").join(&cgroup).join("cpu.max");
    let text = fs::read_to_string(v1)
        .or_else(|_| fs::read_to_string(v2))
        .unwrap();
    assert!(text.starts_with("50000"), "{text}");
    run.kill(Some(0));
    run.until("a", Killed);
    run.finish();
}
