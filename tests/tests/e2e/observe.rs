//! What the service tells of itself: numbers, facts, and what is wrong with this host.

use std::time::Instant;

use e2e::{
    exposition::Exposition,
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use serde_json::{Value, json};

fn scrape(host: &Host) -> Exposition {
    let answer = host.request("GET", "/metrics", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    Exposition::parse(&answer.body).unwrap_or_else(|problem| panic!("{problem}\n{}", answer.body))
}

fn wait_for_value(host: &Host, sample: &str, accept: impl Fn(f64) -> bool) -> Exposition {
    wait_for(sample, SOON, || {
        let found = scrape(host);
        found.get(sample).is_some_and(&accept).then_some(found)
    })
}

#[test]
fn a_launch_moves_the_numbers() {
    needs_root!();
    let host = Host::start();
    let before = scrape(&host);
    assert_eq!(before.get("monopod_pods"), Some(0.0));
    assert_eq!(before.get("monopod_launches_total"), Some(0.0));

    let busy = pods::shell_container("busy", "while :; do :; done & sleep 1000");
    host.launch(&pods::pod("/numbers", &[busy]));
    let cpu = "monopod_container_cpu_seconds_total";
    let after = wait_for("its cpu time", SOON, || {
        let after = scrape(&host);
        (after.sum(cpu, "pod=\"/numbers\"") > 0.01).then_some(after)
    });
    for (sample, expected) in [
        ("monopod_pods", 1.0),
        ("monopod_instances{status=\"STABLE\"}", 1.0),
        ("monopod_containers{state=\"TASK_RUNNING\"}", 1.0),
        ("monopod_launches_total", 1.0),
        ("monopod_launch_duration_seconds_count", 1.0),
        ("monopod_offers_total{answer=\"accepted\"}", 1.0),
        ("monopod_executors", 1.0),
        (
            "monopod_http_requests_total{route=\"/v2/pods\",method=\"POST\",status=\"201\"}",
            1.0,
        ),
    ] {
        assert_eq!(after.get(sample), Some(expected), "{sample}");
    }
    assert!(after.get("monopod_agent_cpus{holder=\"used\"}") > Some(0.0));
    assert!(after.sum("monopod_commit_duration_seconds_count", "full") >= 1.0);
    assert!(after.sum("monopod_container_memory_bytes", "busy") > 0.0);
    assert!(after.sum("monopod_container_pids", "busy") >= 2.0);
    let older = host.request("GET", "/service/marathon/metrics", None);
    assert_eq!(
        older.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );

    host.remove("/numbers");
    let gone = wait_for_value(&host, "monopod_executors", |value| value == 0.0);
    assert_eq!(gone.sum(cpu, "/numbers"), 0.0, "its series end with it");
    assert_eq!(
        gone.get("monopod_runs_ended_total{reason=\"kill_requested\"}"),
        Some(1.0)
    );
}

#[test]
fn failures_and_restarts_are_counted_by_reason() {
    needs_root!();
    let host = Host::start();
    host.add(&pods::pod(
        "/failing",
        &[pods::shell_container("c", "exit 3")],
    ));
    let restarts = "monopod_restarts_total{reason=\"failed\"}";
    let found = wait_for_value(&host, restarts, |value| value >= 1.0);
    assert!(found.get("monopod_runs_ended_total{reason=\"failed\"}") >= Some(1.0));

    let mut missing = pods::shell_container("c", "true");
    missing["image"] = json!({"kind": "DOCKER", "id": "no-such-image:1"});
    host.add(&pods::pod("/missing", &[missing]));
    let failed = "monopod_launch_failures_total{reason=\"not_launched\"}";
    wait_for_value(&host, failed, |value| value >= 1.0);
    wait_for_value(
        &host,
        "monopod_waiting_instances{reason=\"back_off\"}",
        |value| value >= 1.0,
    );
    host.remove("/failing");
    host.remove("/missing");
}

#[test]
fn info_tells_what_a_person_asks_first() {
    needs_root!();
    let mut host = Host::start();
    host.launch(&pods::pod(
        "/one",
        &[pods::shell_container("c", "sleep 1000")],
    ));
    let began = Instant::now();
    host.kill_daemon();
    host.start_daemon();
    let output = host.monopod(&["info", "--json"]);
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(info["pods"], 1);
    assert_eq!(info["start"]["runsAlive"], 1, "{info:#}");
    assert_eq!(info["start"]["runsOver"], 0);
    assert_eq!(info["start"]["hostRebooted"], false);
    let took = info["start"]["durationMs"].as_u64().unwrap();
    assert!(u128::from(took) <= began.elapsed().as_millis());
    assert_eq!(info["cgroupParent"], host.cgroup_parent());
    assert_eq!(info["conditions"], json!([]));
    let controllers = info["cgroupControllers"].as_str().unwrap();
    assert!(controllers.contains("memory"), "{controllers}");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(info["kernel"], kernel.trim());
    assert!(info["databaseBytes"].as_u64() > Some(0));

    let text = String::from_utf8(host.monopod(&["info"]).stdout).unwrap();
    for fact in [
        "kernel",
        "start.runsAlive",
        "instances.STABLE",
        "cgroupControllers",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(fact)),
            "{fact} is not in\n{text}"
        );
    }
    assert_eq!(
        scrape(&host).get("monopod_recovered_runs{found=\"alive\"}"),
        Some(1.0)
    );
    host.remove("/one");
}

fn doctor(host: &Host, arguments: &[&str]) -> (Option<i32>, Value) {
    let state = host.state_dir();
    let mut all = vec!["doctor", "--json", "--config", "/dev/null", "--state-dir"];
    all.push(state.to_str().unwrap());
    all.extend(arguments);
    let output = host.monopod(&all);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        report.unwrap_or_else(|error| panic!("{error}: {told}")),
    )
}

/// The finding of a check.
fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("{check} is not in {report:#}"))
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    needs_root!();
    use std::os::unix::fs::PermissionsExt as _;
    let mut host = Host::start();
    let (code, well) = doctor(&host, &[]);
    for check in [
        "kernel",
        "cgroups",
        "namespaces",
        "token",
        "daemon",
        "condition",
    ] {
        assert_eq!(finding(&well, check)["verdict"], "ok", "{check}: {well:#}");
    }
    assert_eq!(code, Some(0), "{well:#}");

    let token = host.state_dir().join("token");
    let mode = |mode| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode));
    mode(0o644).unwrap();
    let (code, report) = doctor(&host, &[]);
    let found = finding(&report, "token");
    assert_eq!((code, &found["verdict"]), (Some(1), &json!("fail")));
    assert!(
        found["remedy"].as_str().unwrap().contains("chmod 600"),
        "{found}"
    );
    mode(0o600).unwrap();

    host.stop_daemon();
    let before = files(host.directory());
    let (_, report) = doctor(&host, &[]);
    assert_eq!(finding(&report, "daemon")["verdict"], "warn");
    assert_eq!(finding(&report, "database")["verdict"], "ok", "{report:#}");
    assert_eq!(files(host.directory()), before, "it leaves nothing behind");

    let database = host.state_dir().join("monopod.db");
    let whole = std::fs::read(&database).unwrap();
    let mut damaged = whole.clone();
    damaged[100..].fill(0x5a);
    std::fs::write(&database, damaged).unwrap();
    let (code, report) = doctor(&host, &[]);
    let found = finding(&report, "database");
    assert_eq!(
        (code, &found["verdict"]),
        (Some(1), &json!("fail")),
        "{found}"
    );
    std::fs::write(&database, whole).unwrap();
    host.start_daemon();
}

/// Every path below a directory.
fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        }
        all.push(entry.path());
    }
    all.sort();
    all
}
