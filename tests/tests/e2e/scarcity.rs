//! A host that has run out of something: launches fail with its name, running pods go on, and it ends by itself.

use std::{fs, path::PathBuf};

use e2e::{
    host::{Host, SOON},
    kernel, needs_root, pods, wait_for,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

fn sleeper(id: &str) -> Value {
    let mut pod = pods::pod(id, &[pods::shell_container("c", "exec sleep 1000")]);
    // Tried again soon.
    pod["scheduling"]["backoff"]["maxLaunchDelay"] = 1.into();
    pod
}

/// What the daemon says that it is in want of, once it says so.
#[track_caller]
fn wait_until_exhausted(host: &Host) -> String {
    wait_for("the condition", SOON, || {
        let info = host
            .try_request("GET", "/v2/info?monopod=true", None)
            .ok()?
            .json();
        let conditions = info["monopod"]["conditions"].as_array()?.clone();
        let is_it = |condition: &&Value| condition["kind"] == "host_exhausted";
        let found = conditions.iter().find(is_it)?;
        found["text"].as_str().map(str::to_owned)
    })
}

/// The pod that could not be launched runs, and nothing is wrong any more; the other was not touched.
#[track_caller]
fn check_over(host: &Host, bystander: &Value) {
    host.wait_until_stable("/late");
    let info = host.request("GET", "/v2/info?monopod=true", None).json();
    let conditions = info["monopod"]["conditions"].to_string();
    assert!(!conditions.contains("host_exhausted"), "{conditions}");
    let status = host.status("/bystander");
    assert_eq!(status["instances"], bystander["instances"]);
}

/// Lets a process have so many descriptors more than it has; gives back the limits before.
fn leave_descriptors(pid: Pid, more: usize) -> Rlimit {
    let directory = PathBuf::from(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    let names = fs::read_dir(directory).unwrap().flatten();
    let taken: Vec<u64> = names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // The limit is on numbers, of which some below the highest are free.
    let free = (0..).filter(|number| !taken.contains(number));
    let limit = free.take(more).last().map_or(0, |last| last + 1);
    let limits = Rlimit {
        current: Some(limit),
        maximum: Some(hard_limit(pid)),
    };
    prlimit(Some(pid), Resource::Nofile, limits).unwrap()
}

/// How many descriptors a process may ever have.
fn hard_limit(pid: Pid) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap();
    let mut lines = limits.lines();
    let open_files = lines.find_map(|line| line.strip_prefix("Max open files"));
    let hard = open_files.and_then(|line| line.split_whitespace().nth(1));
    hard.unwrap().parse().unwrap()
}

#[test]
fn without_descriptors_launches_fail_with_a_reason_until_there_are_some() {
    needs_root!();
    let host = Host::start();
    let bystander = host.launch(&sleeper("/bystander"));
    let pid = Pid::from_raw(host.daemon_pid().unwrap()).unwrap();
    let before = leave_descriptors(pid, 4);
    let answer = host.try_request("POST", "/v2/pods", Some(&sleeper("/late")));
    assert_eq!(answer.unwrap().status, 201);
    let text = wait_until_exhausted(&host);
    assert!(text.contains("open files"), "{text}");
    let told = wait_for("the reason", SOON, || {
        let status = host
            .try_request("GET", "/v2/pods/late::status", None)
            .ok()?;
        status.body.contains("os error 24").then_some(status.body)
    });
    assert!(!told.contains("STABLE"), "{told}");
    let metrics = wait_for("metrics", SOON, || {
        let answer = host.try_request("GET", "/metrics", None).ok()?;
        (answer.status == 200).then_some(answer.body)
    });
    let line = "monopod_degraded{condition=\"host_exhausted\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    check_over(&host, &bystander);
}

#[test]
fn without_processes_launches_fail_with_a_reason_until_there_are_some() {
    needs_root!();
    let host = Host::start();
    let bystander = host.launch(&sleeper("/bystander"));
    let limit = kernel::cgroup_path("pids", host.cgroup_parent(), "pids.max");
    // An executor may still join, but make no process.
    fs::write(&limit, "1").unwrap();
    host.add(&sleeper("/late"));
    let text = wait_until_exhausted(&host);
    assert!(text.contains("processes or threads"), "{text}");
    let status = host.status("/late").to_string();
    assert!(
        status.contains("try again") || status.contains("os error 11"),
        "{status}"
    );
    fs::write(&limit, "max").unwrap();
    check_over(&host, &bystander);
}
