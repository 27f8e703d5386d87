//! Limits hold and are told, on either version of cgroups: the same program runs on any host.
//!
//! It needs nothing but itself and what `MONOPOD_BIN` and `MONOPOD_PROBE` name, so that it can be carried to another
//! machine. `MONOPOD_TEST_CGROUP_PARENT` names a cgroup that was delegated, to work below that one. Shares and quotas
//! are measured by the kernel's own accounts, never by the clock alone, so that a slow or busy machine does not matter.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::{
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use e2e::{
    host::Host,
    kernel::{self, cgroup_count, cgroup_file, has_cgroup_v2},
    needs_root, pods, skip, wait_for,
};
use serde_json::{Value, json};

/// How long a thing may take on a machine that is emulated and busy.
const LONG: Duration = Duration::from_secs(240);

/// A container of the probe that gets what it asks for.
fn container(name: &str, actions: &str, cpus: f64, mem: u64) -> Value {
    let mut container = pods::probe_container(name, actions);
    container["resources"] = json!({"cpus": cpus, "mem": mem});
    container
}

/// The cgroup of a container of the host's only pod.
#[track_caller]
fn cgroup_of(host: &Host, container: &str) -> String {
    let below = wait_for(&format!("a process of {container}"), LONG, || {
        let all = host.container_processes();
        let name = |cgroup: &str| cgroup.rsplit('/').next() == Some(container);
        let found = all.into_iter().find(|process| name(&process.cgroup));
        found.map(|process| process.cgroup)
    });
    format!("{}/{below}", host.cgroup_parent())
}

fn run_of(cgroup: &str) -> &str {
    cgroup.rsplit_once('/').unwrap().0
}

/// Cpu time that a cgroup used, in microseconds.
fn cpu_usage(cgroup: &str) -> u64 {
    if has_cgroup_v2() {
        return cgroup_count("cpu", cgroup, "cpu.stat", "usage_usec");
    }
    let nanoseconds: u64 = cgroup_file("cpuacct", cgroup, "cpuacct.usage")
        .parse()
        .unwrap();
    nanoseconds / 1000
}

/// Waits until the pod's history or instances tell something.
#[track_caller]
fn wait_until_told(host: &Host, pod: &str, what: &str) -> String {
    let told = |status: &Value| {
        status["terminationHistory"].to_string() + &status["instances"].to_string()
    };
    let deadline = Instant::now() + LONG;
    loop {
        let told = told(&host.status(pod));
        if told.contains(what) {
            return told;
        }
        assert!(Instant::now() < deadline, "'{what}' is not in {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_a_host_has_is_told() {
    needs_root!();
    let host = Host::start();
    let output = host.monopod(&["info", "--json"]);
    let info: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mode = info["cgroupMode"].as_str().unwrap();
    assert_eq!(mode == "v2", has_cgroup_v2(), "{mode}");
    assert_eq!(info["cgroupParent"], host.cgroup_parent());
    let controllers = info["cgroupControllers"].as_str().unwrap();
    for controller in ["cpu", "memory", "pids"] {
        assert!(
            controllers.split(' ').any(|name| name == controller),
            "no {controller} in {controllers}"
        );
    }
}

#[test]
fn cgroups_have_the_limits_that_were_asked_for() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let mut c = container("c", "hold", 0.5, 64);
    c["resourceLimits"] = json!({"cpus": 0.7, "mem": 96});
    host.launch(&pods::pod("/limited", &[c]));
    let cgroup = cgroup_of(&host, "c");
    let run = run_of(&cgroup);
    let mib = |mib: u64| (mib << 20).to_string();
    // The executor's part is 0.1 cpus and 32 MiB, and the run has that on top.
    let expected = if has_cgroup_v2() {
        vec![
            ("cpu", cgroup.as_str(), "cpu.weight", "50".to_owned()),
            ("cpu", run, "cpu.weight", "60".to_owned()),
            ("cpu", &cgroup, "cpu.max", "70000 100000".to_owned()),
            ("memory", &cgroup, "memory.max", mib(96)),
            ("memory", &cgroup, "memory.swap.max", "0".to_owned()),
            ("memory", &cgroup, "memory.low", mib(64)),
            ("memory", &cgroup, "memory.oom.group", "1".to_owned()),
            ("memory", run, "memory.max", mib(96 + 32)),
            ("memory", run, "memory.low", mib(64 + 32)),
            ("memory", run, "memory.oom.group", "0".to_owned()),
            ("pids", &cgroup, "pids.max", "4096".to_owned()),
            ("pids", run, "pids.max", "4160".to_owned()),
        ]
    } else {
        vec![
            ("cpu", cgroup.as_str(), "cpu.shares", "512".to_owned()),
            ("cpu", run, "cpu.shares", "614".to_owned()),
            ("cpu", &cgroup, "cpu.cfs_quota_us", "70000".to_owned()),
            ("memory", &cgroup, "memory.limit_in_bytes", mib(96)),
            ("memory", &cgroup, "memory.soft_limit_in_bytes", mib(64)),
            ("memory", run, "memory.limit_in_bytes", mib(96 + 32)),
            ("pids", &cgroup, "pids.max", "4096".to_owned()),
            ("pids", run, "pids.max", "4160".to_owned()),
        ]
    };
    for (controller, path, file, value) in expected {
        // The quota comes once the container runs.
        wait_for(&format!("{file} of {path} to be {value}"), LONG, || {
            // Without swap there is no such file.
            let absent = !kernel::cgroup_path(controller, path, file).exists();
            let optional = absent && file == "memory.swap.max";
            (optional || cgroup_file(controller, path, file) == value).then_some(())
        });
    }
}

#[test]
fn a_busy_cpu_is_shared_as_asked_for() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let busy = |name, cpus| {
        let mut container = container(name, "pin 0 , print busy , busy", cpus, 32);
        container["resourceLimits"] = json!({"cpus": "unlimited"});
        container
    };
    host.launch(&pods::pod(
        "/shares",
        &[busy("large", 1.0), busy("small", 0.25)],
    ));
    for name in ["large", "small"] {
        host.wait_for_line("/shares", name, |line| line == "busy");
    }
    let cgroups = [cgroup_of(&host, "large"), cgroup_of(&host, "small")];
    let before = cgroups.each_ref().map(|cgroup| cpu_usage(cgroup));
    let used = || {
        let now = cgroups.each_ref().map(|cgroup| cpu_usage(cgroup));
        [now[0] - before[0], now[1] - before[1]]
    };
    let [large, small] = wait_for("two seconds of cpu time", LONG, || {
        let used = used();
        (used[0] + used[1] > 2_000_000).then_some(used)
    });
    let tenths = large * 10 / small.max(1);
    assert!(
        (28..=56).contains(&tenths),
        "cpus 1 and 0.25 on one cpu: {large} to {small} us"
    );
}

#[test]
fn a_quota_is_not_exceeded() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    host.launch(&pods::pod("/quota", &[container("c", "busy", 0.2, 32)]));
    let cgroup = cgroup_of(&host, "c");
    let stat = |key| cgroup_count("cpu", &cgroup, "cpu.stat", key);
    wait_for("it to be throttled", LONG, || {
        (stat("nr_throttled") > 2).then_some(())
    });
    let (usage, periods, throttled) =
        (cpu_usage(&cgroup), stat("nr_periods"), stat("nr_throttled"));
    wait_for("ten more times", LONG, || {
        (stat("nr_throttled") >= throttled + 10).then_some(())
    });
    // Read in this order, none of the usage is outside of the periods but for the one that just runs.
    let usage = cpu_usage(&cgroup) - usage;
    let periods = stat("nr_periods") - periods + 1;
    let allowed = periods * 20_000;
    assert!(
        usage <= allowed + allowed / 4,
        "{usage} us in {periods} periods of 20 ms"
    );
    assert!(
        usage >= allowed / 4,
        "{usage} us in {periods} periods: throttled long before its quota"
    );
}

#[test]
fn a_container_out_of_memory_is_told_by_name_limit_and_peak() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let containers = [
        container("hog", "allocate 200 , hold", 0.1, 32),
        container("sibling", "hold", 0.1, 32),
    ];
    host.add(&pods::pod("/oom", &containers));
    let told = wait_until_told(&host, "/oom", "Memory limit exceeded");
    assert!(
        told.contains("container 'hog' reached its limit of 32 MiB"),
        "{told}"
    );
    if !has_cgroup_v2() || peak_is_told(&host) {
        assert!(told.contains("(peak 3"), "{told}");
    }
    assert!(!told.contains("container 'sibling' reached"), "{told}");
}

/// Kernels from 5.19 tell on version 2.
fn peak_is_told(host: &Host) -> bool {
    kernel::cgroup_path("memory", host.cgroup_parent(), "memory.peak").exists()
}

#[test]
fn a_container_that_loses_a_child_to_want_of_memory_ends_as_a_whole() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    // Its first process would wait for ever.
    let hog = container("hog", "child-allocate 200 , hold", 0.1, 32);
    host.add(&pods::pod("/child", &[hog]));
    let told = wait_until_told(&host, "/child", "Memory limit exceeded");
    assert!(told.contains("container 'hog'"), "{told}");
}

#[test]
fn a_pod_out_of_memory_is_told_apart_from_its_container() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let containers = [
        container("hog", "read go , allocate 100 , hold", 0.1, 128),
        container("sibling", "hold", 0.1, 32),
    ];
    host.launch(&pods::pod("/whole", &containers));
    let cgroup = cgroup_of(&host, "hog");
    let run = run_of(&cgroup).to_owned();
    // Containers cannot reach a pod's limit before their own, unless somebody lowers it.
    let file = if has_cgroup_v2() {
        "memory.max"
    } else {
        "memory.limit_in_bytes"
    };
    let limit = kernel::cgroup_path("memory", &run, file);
    std::fs::write(&limit, (48 << 20).to_string()).unwrap();
    let sandbox = sandbox_of(&host, &run).join("containers/hog");
    std::fs::write(sandbox.join("go"), "go").unwrap();
    let told = wait_until_told(&host, "/whole", "Memory limit of the pod exceeded");
    assert!(told.contains("reached the limit of 48 MiB"), "{told}");
    assert!(told.contains("ended container 'hog'"), "{told}");
}

/// The sandbox of a run whose cgroup is given: `<instance>/<incarnation>`.
fn sandbox_of(host: &Host, run: &str) -> std::path::PathBuf {
    let name = run.rsplit('/').next().unwrap();
    let (instance, incarnation) = name.rsplit_once('.').unwrap();
    let sandboxes = host.state_dir().join("sandboxes");
    sandboxes.join(instance).join(incarnation)
}

#[test]
fn a_fork_bomb_is_bounded_and_told() {
    needs_root!();
    let host = Host::start_configured(
        "[runtime]\npids_limit = 20\n",
        &["--resources", "cpus:64;mem:65536;disk:65536"],
    );
    host.import_probe();
    let containers = [
        container("bomb", "fork 500 , hold", 0.1, 64),
        container("sibling", "hold", 0.1, 32),
    ];
    host.add(&pods::pod("/bomb", &containers));
    let told = wait_until_told(&host, "/bomb", "limit of 20 processes");
    assert!(told.contains("Command exited with status 3"), "{told}");
    let log = wait_for("the bomb's log", LONG, || {
        let log = host.log_of("/bomb", "bomb", "stdout");
        log.contains("forked").then_some(log)
    });
    assert!(log.contains("forked 19\n"), "{log}");
}

/// A device that this host lets root open, and containers shall not: a disk, or what stands for it.
fn forbidden_device() -> Option<std::path::PathBuf> {
    let number = std::fs::metadata("/").unwrap().dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let root = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}"));
    let root = root
        .ok()
        .and_then(|path| Some(path.file_name()?.to_owned()));
    let candidates = root
        .map(|name| std::path::Path::new("/dev").join(name))
        .into_iter()
        .chain(["/dev/fuse".into(), "/dev/loop-control".into()]);
    candidates
        .into_iter()
        .find(|path| std::fs::File::open(path).is_ok())
}

#[test]
fn the_hosts_devices_are_out_of_reach_even_where_they_are_shown() {
    needs_root!();
    let Some(device) = forbidden_device() else {
        skip!("this host has no device to forbid");
    };
    let host = Host::start();
    host.import_probe();
    let inside = device.to_str().unwrap().replacen("/dev", "/hostdev", 1);
    let actions = format!("report , open /hostdev/null , open {inside} , open /dev/urandom , hold");
    let mut container = container("c", &actions, 1.0, 32);
    container["volumeMounts"] = json!([{"name": "dev", "mountPath": "/hostdev"}]);
    let mut pod = pods::pod("/devices", &[container]);
    pod["volumes"] = json!([{"name": "dev", "host": "/dev"}]);
    host.launch(&pod);
    host.wait_for_line("/devices", "c", |line| line == "/dev/urandom: ok");
    let log = host.log_of("/devices", "c", "stdout");
    assert!(log.contains("/hostdev/null: ok\n"), "{log}");
    assert!(
        log.contains(&format!("{inside}: Operation not permitted\n")),
        "{log}"
    );
    // Loading a device filter must not change what the container inherits.
    let report = host.report("/devices", "c");
    let own = rustix::process::getrlimit(rustix::process::Resource::Memlock);
    let number = |limit: Option<u64>| limit.map_or(json!(-1), |limit| json!(limit));
    assert_eq!(
        report["rlimits"]["memlock"],
        json!([number(own.current), number(own.maximum)])
    );
}
