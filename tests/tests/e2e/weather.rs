//! Bad weather: what was acknowledged holds, new work is refused with a reason, pods go on, and it ends by itself.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use e2e::{
    host::{Host, SOON},
    kernel::Process,
    needs_root, pods, wait_for,
    weather::{Ballast, Weather, small_filesystem},
};
use serde_json::Value;
use sqlx::{ConnectOptions as _, sqlite::SqliteConnectOptions};

/// As [`SOON`], for what is tried every 30 seconds.
const CHECKPOINTS: Duration = Duration::from_secs(100);

const RESOURCES: [&str; 2] = ["--resources", "cpus:64;mem:65536;disk:65536"];

fn sleeper(id: &str) -> Value {
    pods::pod(id, &[pods::shell_container("c", "exec sleep 1000")])
}

/// A daemon with the library, and a pod that nothing may touch. What cannot be removed is tried again each second.
fn host_in_weather() -> (Host, Weather, BTreeSet<Process>) {
    let config = "[collection]\ndisk_watch_interval_seconds = 1\n";
    let mut host = Host::prepare(config, &RESOURCES);
    let weather = Weather::new(host.directory());
    weather.clear();
    for (name, value) in weather.environment() {
        host.set_environment(name, value);
    }
    host.start_daemon();
    host.launch(&sleeper("/bystander"));
    let bystander = host.container_processes();
    (host, weather, bystander)
}

/// Adds pods until one is refused with a 503 that names the reason; gives the ids that were acknowledged.
fn add_until_refused(host: &Host, reason: &str) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..300 {
        let mut pod = sleeper(&format!("/new{number}"));
        pod["scaling"]["instances"] = 0.into();
        pod["labels"] = serde_json::json!({"bulk": "x".repeat(10_000)});
        let answer = host.try_request("POST", "/v2/pods", Some(&pod)).unwrap();
        match answer.status {
            201 => acknowledged.push(format!("/new{number}")),
            503 => {
                assert!(answer.body.contains(reason), "{}", answer.body);
                return acknowledged;
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    panic!("nothing was refused");
}

fn conditions(host: &Host) -> String {
    let info = host.request("GET", "/v2/info?monopod=true", None).json();
    info["monopod"]["conditions"].to_string()
}

fn wait_for_condition(host: &Host, kind: &str, present: bool) {
    wait_for(&format!("{kind}: {present}"), SOON, || {
        (conditions(host).contains(kind) == present).then_some(())
    });
}

fn check_known(host: &Host, ids: &[String]) {
    for id in ids {
        let answer = host.request("GET", &format!("/v2/pods{id}"), None);
        assert_eq!(answer.status, 200, "{id} was acknowledged");
    }
}

/// Works again without a restart, lost nothing, and after a power-cut of the process neither.
fn check_recovered(host: &mut Host, acknowledged: &[String], bystander: &BTreeSet<Process>) {
    wait_for_condition(host, "store_failing", false);
    host.add(&sleeper("/afterwards"));
    check_known(host, acknowledged);
    host.kill_daemon();
    host.start_daemon();
    check_known(host, acknowledged);
    host.wait_until_stable("/afterwards");
    assert!(
        bystander.is_subset(&host.container_processes()),
        "a pod was touched"
    );
}

#[test]
fn a_full_disk_of_the_state_refuses_new_work_until_there_is_room() {
    needs_root!();
    let mut host = Host::prepare("", &RESOURCES);
    small_filesystem(&host.state_dir(), 8192, 4096);
    host.start_daemon();
    host.launch(&sleeper("/bystander"));
    let bystander = host.container_processes();
    let ballast = Ballast::fill(&host.state_dir());
    let acknowledged = add_until_refused(&host, "full");
    wait_for_condition(&host, "store_failing", true);
    assert_eq!(host.status("/bystander")["status"], "STABLE", "reads go on");
    assert_eq!(host.container_processes(), bystander);
    drop(ballast);
    check_recovered(&mut host, &acknowledged, &bystander);
}

#[test]
fn a_failed_sync_refuses_and_is_not_taken_for_stored() {
    needs_root!();
    let (mut host, weather, bystander) = host_in_weather();
    for (call, effect) in [("fsync", "EIO"), ("pwrite", "EIO"), ("pwrite", "ENOSPC")] {
        let rule = format!("{call} monopod.db 0 -1 {effect}");
        let rules = [rule.as_str(), "fdatasync monopod.db 0 -1 EIO"];
        weather.set(&rules[..if call == "fsync" { 2 } else { 1 }]);
        let acknowledged = add_until_refused(&host, "could not be stored").len();
        assert_eq!(acknowledged, 0, "{call}: a failed sync was acknowledged");
        assert!(!weather.hits().is_empty());
        wait_for_condition(&host, "store_failing", true);
        weather.clear();
        wait_for_condition(&host, "store_failing", false);
    }
    check_recovered(&mut host, &[], &bystander);
}

#[test]
fn a_slow_disk_delays_the_answer_and_not_the_readers() {
    needs_root!();
    let (host, weather, _) = host_in_weather();
    let rules = ["fsync", "fdatasync"].map(|call| format!("{call} monopod.db 0 1 delay:5000"));
    weather.set(&rules.each_ref().map(String::as_str));
    std::thread::scope(|scope| {
        let began = Instant::now();
        let writer = scope.spawn(|| host.add(&sleeper("/slow")));
        wait_for("the disk to be slow", SOON, || {
            (!weather.hits().is_empty()).then_some(())
        });
        let reading = Instant::now();
        assert_eq!(host.status("/bystander")["status"], "STABLE");
        assert!(
            reading.elapsed() < Duration::from_secs(4),
            "{:?}",
            reading.elapsed()
        );
        writer.join().unwrap();
        assert!(began.elapsed() >= Duration::from_secs(5));
    });
    wait_for_condition(&host, "store_slow", true);
}

#[test]
fn a_clock_that_is_put_back_or_forth_delays_nothing() {
    needs_root!();
    let (host, weather, bystander) = host_in_weather();
    const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
    for shift in [-YEAR_MS, 0, YEAR_MS, 0] {
        weather.set(&[&format!("clock - 0 -1 shift:{shift}")]);
        let before = host.container_processes();
        // A new pod runs, and one that fails is launched again after its back-off.
        host.launch(&sleeper("/timed"));
        let first: Vec<_> = host
            .container_processes()
            .difference(&before)
            .cloned()
            .collect();
        first.iter().for_each(Process::kill);
        wait_for("the next run", SOON, || {
            let now = host.container_processes();
            let fresh = now
                .difference(&before)
                .any(|process| !first.contains(process));
            fresh.then_some(())
        });
        host.remove("/timed");
    }
    wait_for_condition(&host, "clock_stepped", true);
    assert!(bystander.is_subset(&host.container_processes()));
}

/// The runs whose executors live.
fn runs(host: &Host) -> BTreeSet<String> {
    let executors = host.executors();
    executors.iter().map(|one| one.run().to_owned()).collect()
}

#[test]
fn what_cannot_be_removed_goes_later_without_a_restart() {
    needs_root!();
    let (host, weather, _) = host_in_weather();
    let directory = host.run_dir().join("runs/").display().to_string();
    let mark = format!("{}/sandboxes", host.state_dir().display());
    for rule in [
        format!("rmdir {directory} 0 -1 EIO"),
        format!("rename {mark} 0 -1 ENOSPC"),
    ] {
        host.launch(&sleeper("/goes"));
        weather.set(&[&rule]);
        host.remove("/goes");
        wait_for_condition(&host, "collection_failing", true);
        weather.clear();
        wait_for_condition(&host, "collection_failing", false);
        wait_for("nothing to be left", SOON, || {
            let left = host.leftovers(&runs(&host));
            left.is_empty().then_some(())
        });
    }
}

#[test]
fn a_start_without_free_descriptors_takes_no_running_pod_for_dead() {
    needs_root!();
    let (mut host, weather, bystander) = host_in_weather();
    for file in ["/run.lock", "/executor.pid"] {
        host.kill_daemon();
        weather.set(&[&format!("open {file} 0 -1 EMFILE")]);
        host.start_daemon();
        wait_until_felt(&weather, file);
        // Longer than an executor that was spawned just now may take to be seen.
        let began = Instant::now();
        wait_for("a while", SOON, || {
            (began.elapsed() > Duration::from_millis(2500)).then_some(())
        });
        weather.clear();
        host.wait_until_stable("/bystander");
        assert_eq!(host.container_processes(), bystander, "{file}");
        // It is heard and obeyed, too.
        host.launch(&sleeper("/afterwards"));
        host.remove("/afterwards");
    }
}

#[track_caller]
fn wait_until_felt(weather: &Weather, file: &str) {
    wait_for("the weather to be felt", SOON, || {
        let felt = weather.hits().iter().any(|hit| hit.ends_with(file));
        felt.then_some(())
    });
}

#[test]
fn what_a_dead_run_told_is_read_once_there_is_a_descriptor() {
    needs_root!();
    let (mut host, weather, _) = host_in_weather();
    let shared = host.directory().join("shared");
    fs::create_dir(&shared).unwrap();
    let mut container = pods::shell_container("c", "until [ -e shared/go ]; do sleep 0.05; done");
    container["volumeMounts"] = serde_json::json!([{"name": "v", "mountPath": "shared"}]);
    let mut pod = pods::pod("/job", &[container]);
    pod["volumes"] = serde_json::json!([{"name": "v", "host": shared}]);
    pod["scheduling"]["restartPolicy"] = "NEVER".into();
    host.launch(&pod);
    host.kill_daemon();
    let before = host.executors().len();
    weather.set(&["open /journal 0 -1 EMFILE"]);
    fs::write(shared.join("go"), "").unwrap();
    wait_for("the job to end", SOON, || {
        (host.executors().len() < before).then_some(())
    });
    host.start_daemon();
    wait_until_felt(&weather, "/journal");
    assert_ne!(host.status("/job")["status"], "TERMINAL", "not known yet");
    weather.clear();
    let status = wait_for("the job's result", SOON, || {
        let status = host.status("/job");
        (status["status"] == "TERMINAL").then_some(status)
    });
    let container = &status["instances"][0]["containers"][0];
    assert_eq!(container["status"], "TASK_FINISHED", "{status:#}");
}

#[test]
fn a_database_that_another_process_locks_is_waited_for_and_then_refused() {
    needs_root!();
    let (mut host, _, bystander) = host_in_weather();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let options = SqliteConnectOptions::new().filename(host.database());
    let mut other = runtime.block_on(options.connect()).unwrap();
    let mut run = |statement: &'static str| {
        let executed = runtime.block_on(sqlx::raw_sql(statement).execute(&mut other));
        executed.unwrap();
    };
    // For a moment: nobody notices.
    run("BEGIN IMMEDIATE");
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| host.add(&sleeper("/waits")));
        let began = Instant::now();
        wait_for("a while", SOON, || {
            (began.elapsed() > Duration::from_millis(500)).then_some(())
        });
        assert!(
            !adding.is_finished(),
            "answered, though it cannot be stored"
        );
        run("COMMIT");
        adding.join().unwrap();
    });
    run("BEGIN IMMEDIATE");
    assert!(add_until_refused(&host, "locked").is_empty());
    wait_for_condition(&host, "store_failing", true);
    assert_eq!(host.status("/bystander")["status"], "STABLE", "reads go on");
    run("COMMIT");
    check_recovered(&mut host, &["/waits".to_owned()], &bystander);
}

#[test]
fn without_room_for_a_checkpoint_the_log_grows_until_there_is_some() {
    needs_root!();
    let (mut host, weather, bystander) = host_in_weather();
    weather.set(&["pwrite monopod.db$ 0 -1 ENOSPC"]);
    const LARGE: usize = 1_500_000;
    let large = |id: &str| {
        let mut pod = sleeper(id);
        pod["scaling"]["instances"] = 0.into();
        pod["labels"] = serde_json::json!({"bulk": "x".repeat(LARGE)});
        pod
    };
    let size = |host: &Host| fs::metadata(host.database()).unwrap().len();
    host.add(&large("/first"));
    host.add(&large("/second"));
    wait_for("a checkpoint that fails", CHECKPOINTS, || {
        let warned = "failed to move the log into the database";
        host.whole_log().contains(warned).then_some(())
    });
    assert!(!weather.hits().is_empty());
    host.add(&large("/third"));
    assert!(size(&host) < LARGE as u64, "all of it is in the log");
    assert!(!conditions(&host).contains("store_failing"));
    weather.clear();
    wait_for("a checkpoint", CHECKPOINTS, || {
        (size(&host) > 3 * LARGE as u64).then_some(())
    });
    let known = ["/first", "/second", "/third"].map(str::to_owned);
    check_recovered(&mut host, &known, &bystander);
}

#[test]
fn a_full_disk_of_the_sandbox_loses_output_and_says_how_much() {
    needs_root!();
    let mut host = Host::prepare("", &RESOURCES);
    small_filesystem(&host.state_dir().join("sandboxes"), 4096, 4096);
    host.start_daemon();
    // Lines of a quarter of a page: what is short finds room in a page that is there already.
    let script = "echo tick; while :; do printf '%01000d\\n' 7; sleep 0.05; done";
    host.launch(&pods::pod("/talks", &[pods::shell_container("c", script)]));
    host.wait_for_line("/talks", "c", |line| line == "tick");
    let before = host.container_processes();
    let ballast = Ballast::fill(&host.state_dir().join("sandboxes"));
    let lost = "failed to write stdout";
    wait_for("a loss", SOON, || {
        executor_log(&host).contains(lost).then_some(())
    });
    wait_for_condition(&host, "log_loss", true);
    let told = conditions(&host);
    assert!(
        told.contains("pod /talks, container c (") && told.contains(" bytes lost)"),
        "{told}"
    );
    // The next daemon hears of what goes on.
    host.kill_daemon();
    host.start_daemon();
    wait_for_condition(&host, "log_loss", true);
    drop(ballast);
    wait_for_condition(&host, "log_loss", false);
    let told = host.wait_for_line("/talks", "c", |line| line.starts_with("monopod: "));
    assert!(
        told.contains("bytes that were written here are lost"),
        "{told}"
    );
    let init = |processes: &BTreeSet<Process>| processes.iter().next().cloned();
    assert_eq!(
        init(&host.container_processes()),
        init(&before),
        "the container went on"
    );
    // It is over with the run, too.
    let _ballast = Ballast::fill(&host.state_dir().join("sandboxes"));
    wait_for_condition(&host, "log_loss", true);
    host.remove("/talks");
    wait_for_condition(&host, "log_loss", false);
}

fn executor_log(host: &Host) -> String {
    let runs = fs::read_dir(host.run_dir().join("runs")).unwrap().flatten();
    let log = |run: fs::DirEntry| fs::read_to_string(run.path().join("executor.log"));
    runs.filter_map(|run| log(run).ok()).collect()
}

#[test]
fn a_full_run_directory_loses_no_exit_status() {
    needs_root!();
    let mut host = Host::prepare("", &RESOURCES);
    small_filesystem(&host.run_dir(), 2048, 4096);
    host.start_daemon();
    let mut pod = pods::pod("/ends", &[pods::shell_container("c", "sleep 1000")]);
    pod["scheduling"]["backoff"]["maxLaunchDelay"] = 1.into();
    host.launch(&pod);
    host.kill_daemon();
    let ballast = Ballast::fill(&host.run_dir());
    host.container_processes().iter().for_each(Process::kill);
    wait_for("the container's end", SOON, || {
        host.container_processes().is_empty().then_some(())
    });
    // Nobody could be told, and only what has room in a page that is there already could be written.
    drop(ballast);
    host.start_daemon();
    wait_for("how it ended", SOON, || {
        let history = host.status("/ends")["terminationHistory"].to_string();
        history.contains("Killed").then_some(())
    });
}
