//! Starts over what an earlier daemon, a crash or a person left: forged and damaged files, other boots, other
//! processes, other binaries.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use e2e::{
    host::{Host, SOON},
    kernel::Process,
    needs_root, pods, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use store::{Setting, Store};

/// As [`SOON`], for what includes the time that an executor has to answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A boot that never was.
const OTHER_BOOT: &str = "00000000-0000-4000-8000-000000000000";

fn sleeper(id: &str) -> serde_json::Value {
    pods::pod(id, &[pods::shell_container("c", "exec sleep 100000")])
}

/// The run directories of a pod's instances.
fn run_dirs(host: &Host, id: &str) -> Vec<PathBuf> {
    let uuids = uuids(host, id);
    let entries = fs::read_dir(host.run_dir().join("runs")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_of = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        uuids.iter().any(|uuid| name.starts_with(uuid.as_str()))
    };
    paths.filter(is_of).collect()
}

fn uuids(host: &Host, id: &str) -> BTreeSet<String> {
    let status = host.status(id);
    let instances = status["instances"].as_array().unwrap();
    let uuid = |instance: &serde_json::Value| {
        let id = instance["id"].as_str().unwrap();
        id.rsplit_once("instance-").unwrap().1.to_owned()
    };
    instances.iter().map(uuid).collect()
}

/// The processes of a pod, executor included.
fn processes_of(host: &Host, uuids: &BTreeSet<String>) -> BTreeSet<Process> {
    let is_of = |process: &Process| {
        uuids
            .iter()
            .any(|uuid| process.run().starts_with(uuid.as_str()))
    };
    host.processes().into_iter().filter(is_of).collect()
}

/// Waits until the pod runs with other processes than those.
#[track_caller]
fn wait_until_replaced(host: &Host, id: &str, before: &BTreeSet<Process>) {
    wait_for(&format!("{id} to be replaced"), PATIENCE, || {
        let now = processes_of(host, &uuids(host, id));
        (now.len() >= 2 && now.is_disjoint(before)).then_some(())
    });
    host.wait_until_stable(id);
}

fn set_boot(host: &Host, boot: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Store::open(&host.database()).await.unwrap();
        store.put_setting(Setting::BootId, boot).await.unwrap();
        store.close().await.unwrap();
    });
}

/// A process that is none of ours, and what would be recorded of it.
struct Stranger {
    child: Child,
    start_ticks: u64,
}

impl Stranger {
    fn new() -> Self {
        let child = Command::new("sleep").arg("100000").spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields = stat.rsplit_once(") ").unwrap().1;
        let start_ticks = fields.split(' ').nth(19).unwrap().parse().unwrap();
        Self { child, start_ticks }
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_damaged_run_is_ended_alone_and_told() {
    needs_root!();
    /// What happens to a run directory, whether its executor is dead by then, what must be told.
    type Case = (&'static str, fn(&Path), bool, &'static str);
    fn overwrite(path: PathBuf, text: &str) {
        fs::write(path, text).unwrap();
    }
    let cases: [Case; 9] = [
        (
            "/garbage",
            |dir| overwrite(dir.join("journal"), "not a journal\n"),
            true,
            "does not begin as one",
        ),
        (
            "/future",
            |dir| overwrite(dir.join("journal"), "{\"version\":99}\n"),
            true,
            "version 99",
        ),
        (
            "/stranger",
            |dir| {
                let run = "00000000-0000-0000-0000-000000000001.1";
                let text = format!("{{\"version\":1,\"run\":\"{run}\"}}\n");
                overwrite(dir.join("journal"), &text);
            },
            true,
            "it is of run",
        ),
        (
            "/huge",
            |dir| overwrite(dir.join("journal"), &"x".repeat(3 << 20)),
            true,
            "does not begin as one",
        ),
        (
            "/directory",
            |dir| {
                fs::remove_file(dir.join("journal")).unwrap();
                fs::create_dir(dir.join("journal")).unwrap();
            },
            true,
            "read the journal",
        ),
        (
            "/empty",
            |dir| overwrite(dir.join("journal"), ""),
            true,
            "lost its journal",
        ),
        (
            "/file",
            |dir| {
                fs::remove_dir_all(dir).unwrap();
                fs::write(dir, "").unwrap();
            },
            false,
            "damaged",
        ),
        (
            "/gone",
            |dir| fs::remove_dir_all(dir).unwrap(),
            false,
            "its run directory is gone",
        ),
        (
            "/hollow",
            |dir| {
                for entry in fs::read_dir(dir).unwrap() {
                    let path = entry.unwrap().path();
                    let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                }
            },
            false,
            "lost its journal",
        ),
    ];
    let mut host = Host::start();
    host.add(&sleeper("/untouched"));
    for (id, ..) in cases {
        host.add(&sleeper(id));
    }
    host.wait_until_stable("/untouched");
    let untouched = processes_of(&host, &uuids(&host, "/untouched"));
    let mut before = Vec::new();
    for (id, ..) in cases {
        host.wait_until_stable(id);
        before.push((
            processes_of(&host, &uuids(&host, id)),
            run_dirs(&host, id).pop().unwrap(),
        ));
    }
    host.kill_daemon();
    for ((_, damage, dead, _), (processes, dir)) in cases.iter().zip(&before) {
        if *dead {
            processes.iter().for_each(Process::kill);
            let left = || host.processes().is_disjoint(processes).then_some(());
            wait_for("the executor's end", SOON, left);
        }
        damage(dir);
    }
    host.start_daemon();
    for ((id, _, _, words), (processes, _)) in cases.iter().zip(&before) {
        wait_until_replaced(&host, id, processes);
        let history = host.status(id)["terminationHistory"].to_string();
        assert!(history.contains(words), "{id}: {history}");
        assert!(host.processes().is_disjoint(processes), "{id}");
    }
    let after = processes_of(&host, &uuids(&host, "/untouched"));
    assert_eq!(after, untouched);
    for id in cases.iter().map(|(id, ..)| *id).chain(["/untouched"]) {
        host.remove(id);
    }
    host.wait_until_clean();
}

#[test]
fn after_a_restart_of_the_host_everything_wanted_runs_again_and_no_stranger_is_touched() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&sleeper("/in-memory"));
    host.launch(&sleeper("/on-disk"));
    let [in_memory, on_disk] = ["/in-memory", "/on-disk"].map(|id| uuids(&host, id));
    let before = host.processes();
    let memory_dir = run_dirs(&host, "/in-memory").pop().unwrap();
    let disk_dir = run_dirs(&host, "/on-disk").pop().unwrap();
    host.kill_daemon();
    // What a restart of the host leaves: no processes, no cgroups, and run directories where /run is on a disk.
    host.processes().iter().for_each(Process::kill);
    wait_for("the end of all", SOON, || {
        host.processes().is_empty().then_some(())
    });
    fs::remove_dir_all(memory_dir).unwrap();
    let mut stranger = Stranger::new();
    let (pid, start_ticks) = (stranger.child.id(), stranger.start_ticks);
    let record = json!({"pid": pid, "start_ticks": start_ticks, "boot": OTHER_BOOT});
    fs::write(disk_dir.join("executor.pid"), record.to_string()).unwrap();
    set_boot(&host, OTHER_BOOT);
    host.start_daemon();
    wait_until_replaced(&host, "/in-memory", &before);
    wait_until_replaced(&host, "/on-disk", &before);
    assert_eq!(
        uuids(&host, "/in-memory"),
        in_memory,
        "instances keep their ids"
    );
    assert_eq!(
        uuids(&host, "/on-disk"),
        on_disk,
        "instances keep their ids"
    );
    for id in ["/in-memory", "/on-disk"] {
        let history = host.status(id)["terminationHistory"].to_string();
        assert!(history.contains("the host restarted"), "{id}: {history}");
    }
    assert!(stranger.is_alive());
    assert!(!disk_dir.exists(), "the run before is forgotten");
    // The next start is one of the same boot, and touches nothing.
    // Without the helpers by which an executor makes containers, of which one may just be ending.
    let running = |host: &Host| (host.executors(), host.container_processes());
    let before = running(&host);
    host.kill_daemon();
    host.start_daemon();
    host.wait_until_stable("/on-disk");
    assert_eq!(running(&host), before);
}

#[test]
fn a_recorded_process_id_that_is_anothers_by_now_is_left_alone() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&sleeper("/pod"));
    let before = host.processes();
    let dir = run_dirs(&host, "/pod").pop().unwrap();
    host.kill_daemon();
    before.iter().for_each(Process::kill);
    let mut stranger = Stranger::new();
    let record = json!({"pid": stranger.child.id(), "start_ticks": stranger.start_ticks + 1});
    fs::write(dir.join("executor.pid"), record.to_string()).unwrap();
    host.start_daemon();
    wait_until_replaced(&host, "/pod", &before);
    assert!(stranger.is_alive());
}

#[test]
fn who_asks_first_is_not_told_that_what_ended_meanwhile_runs() {
    needs_root!();
    let mut host = Host::start();
    let mut pod = sleeper("/ended");
    pod["scheduling"]["backoff"] = serde_json::json!({"backoff": 3600, "maxLaunchDelay": 3600});
    host.launch(&pod);
    host.kill_daemon();
    host.executors().iter().for_each(Process::kill);
    wait_for("the run to end", SOON, || {
        host.executors().is_empty().then_some(())
    });
    host.start_daemon();
    let status = host.status("/ended");
    assert_eq!(status["status"], "DEGRADED", "{status:#}");
    let history = status["terminationHistory"].as_array().unwrap();
    assert_eq!(history.len(), 1, "{status:#}");
}

#[test]
fn an_executor_that_does_not_answer_delays_nobody_and_is_replaced() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&sleeper("/stopped"));
    host.launch(&sleeper("/well"));
    let stopped = processes_of(&host, &uuids(&host, "/stopped"));
    let well = processes_of(&host, &uuids(&host, "/well"));
    host.kill_daemon();
    let executor = stopped
        .iter()
        .find(|process| process.is_executor())
        .unwrap();
    kill_process(Pid::from_raw(executor.pid).unwrap(), Signal::STOP).unwrap();
    host.start_daemon();
    assert_eq!(
        processes_of(&host, &uuids(&host, "/stopped")),
        stopped,
        "ready before the executor's time to answer is over"
    );
    wait_until_replaced(&host, "/stopped", &stopped);
    let history = host.status("/stopped")["terminationHistory"].to_string();
    assert!(history.contains("did not answer in time"), "{history}");
    assert_eq!(processes_of(&host, &uuids(&host, "/well")), well);
}

#[test]
fn an_executor_of_a_replaced_binary_goes_on_under_the_new_daemon() {
    needs_root!();
    let mut host = Host::start();
    let binary = host.directory().join("monopod");
    fs::copy(e2e::binary::monopod(), &binary).unwrap();
    host.stop_daemon();
    host.use_binary(binary.clone());
    host.start_daemon();
    host.launch(&sleeper("/old"));
    let old = host.executors();
    // As a package does: the new file gets the name, the old one lives on without.
    let fresh = host.directory().join("monopod.new");
    fs::copy(e2e::binary::monopod(), &fresh).unwrap();
    fs::rename(&fresh, &binary).unwrap();
    // A daemon that has not been restarted yet launches what it is itself.
    host.launch(&sleeper("/between"));
    let exe = |process: &Process| fs::read_link(format!("/proc/{}/exe", process.pid)).unwrap();
    let deleted = format!("{} (deleted)", binary.display());
    let of_old = host.executors();
    assert_eq!(of_old.len(), 2);
    assert!(
        of_old
            .iter()
            .all(|process| exe(process) == Path::new(&deleted))
    );
    host.stop_daemon();
    host.start_daemon();
    host.wait_until_stable("/old");
    assert_eq!(host.executors(), of_old, "after the upgrade");
    host.launch(&sleeper("/new"));
    let new = host.executors();
    let new: Vec<_> = new.difference(&of_old).collect();
    assert!(new.len() == 1 && exe(new[0]) == binary, "{new:?}");
    assert!(old.is_subset(&of_old));
    for id in ["/old", "/between", "/new"] {
        host.remove(id);
    }
    host.wait_until_clean();
}
