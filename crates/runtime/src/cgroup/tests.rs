use std::{
    process::{Child, Command},
    time::{Duration, Instant},
};

use super::*;

/// Cgroups of this test alone; removed at the end whatever happens.
struct Parent {
    cgroups: Cgroups,
    name: String,
}

impl Parent {
    /// `None`, said loudly, where cgroups cannot be made.
    fn new(test: &str) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        let cgroups = Cgroups::detect().ok().filter(|_| root);
        let Some(cgroups) = cgroups else {
            eprintln!("SKIPPED {test}: needs root and cgroups");
            return None;
        };
        Some(Self::with(cgroups, test))
    }

    /// On the host's version 2 hierarchy, whatever controllers it has.
    fn on_version_2(test: &str) -> Option<Self> {
        let mounts = mountinfo::read().unwrap();
        let unified = mounts.iter().find(|mount| mount.fs_type == "cgroup2");
        let root = rustix::process::geteuid().is_root();
        let Some(unified) = unified.filter(|_| root) else {
            eprintln!("SKIPPED {test}: needs root and a cgroup2 mount");
            return None;
        };
        let hierarchy = Hierarchy {
            mount_point: unified.mount_point.clone(),
            controllers: vec![],
        };
        let cgroups = Cgroups::new(Hierarchies {
            mode: Mode::V2,
            list: vec![hierarchy],
        });
        Some(Self::with(cgroups, test))
    }

    fn with(cgroups: Cgroups, test: &str) -> Self {
        let name = format!("monopod-test-{test}-{}", std::process::id());
        cgroups.create_parent(&name).unwrap();
        Self { cgroups, name }
    }

    fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.name)
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.cgroups.destroy(&self.name, soon()).unwrap();
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn sleeper() -> Child {
    Command::new("sleep").arg("300").spawn().unwrap()
}

fn pid_of(child: &Child) -> i32 {
    child.id().try_into().unwrap()
}

fn limits() -> Limits {
    Limits {
        cpus_milli: 500,
        memory_request_bytes: 32 << 20,
        memory_bytes: Some(64 << 20),
        pids: Some(20),
        oom_group: true,
    }
}

#[test]
fn a_run_gets_its_cgroups_with_limits() {
    let Some(parent) = Parent::new("limits") else {
        return;
    };
    let paths = CgroupPaths {
        run: parent.path("run"),
        executor: parent.path("run/executor"),
        leaving: parent.path("leaving"),
    };
    let containers = [("web", limits()), ("db", limits())];
    parent
        .cgroups
        .create_run(
            &paths,
            &limits(),
            containers,
            &parent.cgroups.device_filter().unwrap(),
        )
        .unwrap();
    let children = parent.cgroups.children(&paths.run).unwrap();
    assert_eq!(
        children.into_iter().collect::<Vec<_>>(),
        ["db", "executor", "web"]
    );
    let web = parent.path("run/web");
    let file = match parent.cgroups.mode() {
        Mode::V1 | Mode::Hybrid => "memory.limit_in_bytes",
        Mode::V2 => "memory.max",
    };
    let read = |controller, file| parent.cgroups.read_of(controller, &web, file).unwrap();
    assert_eq!(read("memory", file).trim(), "67108864");
    assert_eq!(read("pids", "pids.max").trim(), "20");
    parent.cgroups.set_cpu_quota(&web, Some(200)).unwrap();
    let file = match parent.cgroups.mode() {
        Mode::V1 | Mode::Hybrid => "cpu.cfs_quota_us",
        Mode::V2 => "cpu.max",
    };
    assert!(read("cpu", file).starts_with("20000"));
    assert_eq!(parent.cgroups.oom_kills(&web), 0);
}

#[test]
fn whatever_is_in_a_cgroup_is_killed_and_the_cgroup_removed() {
    for parent in [Parent::new("kill"), Parent::on_version_2("kill2")] {
        parent.iter().for_each(check_destroy);
    }
}

fn check_destroy(parent: &Parent) {
    let cgroups = &parent.cgroups;
    let run = parent.path("run");
    let nested = parent.path("run/web/made-by-payload");
    cgroups.create(&nested, &Limits::default()).unwrap();
    let mut children = [sleeper(), sleeper()];
    let pids: Vec<_> = children.iter().map(pid_of).collect();
    cgroups.join(&nested, pids[0]).unwrap();
    let leaf = parent.path("run/web/other");
    cgroups.create(&leaf, &Limits::default()).unwrap();
    cgroups.join(&leaf, pids[1]).unwrap();
    assert_eq!(cgroups.procs(&run).unwrap().len(), 2);
    assert!(
        !cgroups
            .wait_empty(&run, Instant::now() + Duration::from_millis(5))
            .unwrap()
    );
    // As an executor leaves it that is killed between freezing and thawing one of its containers.
    freeze(cgroups, &leaf);
    cgroups.destroy(&run, soon()).unwrap();
    assert!(!cgroups.exists(&run));
    for child in &mut children {
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }
}

fn freeze(cgroups: &Cgroups, path: &str) {
    let (file, word) = match cgroups.mode() {
        Mode::V1 | Mode::Hybrid => {
            let mount = cgroups.mount_of("freezer").unwrap();
            (mount.join(path).join("freezer.state"), "FROZEN")
        }
        Mode::V2 => (cgroups.directory(path).join("cgroup.freeze"), "1"),
    };
    std::fs::write(&file, word).unwrap();
}

#[test]
fn who_joined_one_hierarchy_and_not_yet_the_others_is_ended_too() {
    let Some(parent) = Parent::new("joining") else {
        return;
    };
    let run = parent.path("run");
    for hierarchy in &parent.cgroups.hierarchies.list {
        parent.cgroups.create(&run, &Limits::default()).unwrap();
        let mut child = sleeper();
        let procs = hierarchy.mount_point.join(&run).join("cgroup.procs");
        write(&procs, &pid_of(&child).to_string()).unwrap();
        parent.cgroups.destroy(&run, soon()).unwrap();
        assert!(!parent.cgroups.exists(&run), "{hierarchy:?}");
        let status = child.wait().unwrap();
        assert!(!status.success(), "{hierarchy:?}");
    }
}

#[test]
fn what_is_listed_is_killed_where_the_kernel_cannot_kill_all_at_once() {
    let Some(parent) = Parent::on_version_2("listed") else {
        return;
    };
    let leaf = parent.path("run/leaf");
    parent.cgroups.create(&leaf, &Limits::default()).unwrap();
    let mut child = sleeper();
    parent.cgroups.join(&leaf, pid_of(&child)).unwrap();
    processes::kill_listed(&parent.cgroups.directory(&parent.path("run"))).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    processes::kill_listed(&parent.cgroups.directory(&parent.path("absent"))).unwrap();
}

#[test]
fn devices_that_are_not_allowed_cannot_be_made_or_used() {
    for parent in [Parent::new("devices"), Parent::on_version_2("devices2")] {
        parent.iter().for_each(check_devices);
    }
}

fn check_devices(parent: &Parent) {
    let leaf = parent.path("run/leaf");
    parent.cgroups.create(&leaf, &Limits::default()).unwrap();
    let filter = parent.cgroups.device_filter().unwrap();
    parent.cgroups.restrict_devices(&leaf, &filter).unwrap();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    // Nodes of no driver: whoever may use the device is told that there is none (ENXIO).
    let script = "read go; cd \"$0\"; exec 2>&1
        mknod made c 1 3 && true > made && echo null made and used
        mknod other c 240 77 || echo other not made
        true > before && echo used || echo other not used";
    let made = Command::new("mknod")
        .arg(dir.path().join("before"))
        .args(["c", "240", "77"])
        .status();
    assert!(
        made.unwrap().success(),
        "this host cannot make device nodes"
    );
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(dir.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    parent.cgroups.join(&leaf, pid_of(&child)).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("null made and used"), "{said}");
    assert!(said.contains("other not made"), "{said}");
    assert!(said.contains("other not used"), "{said}");
    assert_eq!(said.matches("not permitted").count(), 2, "{said}");
}

#[test]
fn a_fork_bomb_does_not_get_away() {
    let Some(parent) = Parent::new("bomb") else {
        return;
    };
    let run = parent.path("run");
    let bounded = Limits {
        pids: Some(60),
        ..Limits::default()
    };
    parent.cgroups.create(&run, &bounded).unwrap();
    // Waits until it is in the cgroup, so that nothing of it is elsewhere.
    let script = "read go; f() { while :; do sleep 300 & done; }; f 2>/dev/null";
    let mut bomb = Command::new("sh")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    parent.cgroups.join(&run, pid_of(&bomb)).unwrap();
    io::Write::write_all(bomb.stdin.as_mut().unwrap(), b"go\n").unwrap();
    let deadline = soon();
    while parent.cgroups.procs(&run).unwrap().len() < 30 {
        assert!(Instant::now() < deadline, "the bomb does not go off");
        std::thread::yield_now();
    }
    parent.cgroups.destroy(&run, soon()).unwrap();
    bomb.wait().unwrap();
    assert!(!parent.cgroups.exists(&run));
}

#[test]
fn waiting_ends_with_the_last_process() {
    for parent in [Parent::new("wait"), Parent::on_version_2("wait2")] {
        parent.iter().for_each(check_wait);
    }
}

fn check_wait(parent: &Parent) {
    let leaf = parent.path("run/leaf");
    parent.cgroups.create(&leaf, &Limits::default()).unwrap();
    let mut child = sleeper();
    parent.cgroups.join(&leaf, pid_of(&child)).unwrap();
    let began = Instant::now();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let run = parent.path("run");
    assert!(parent.cgroups.wait_empty(&run, soon()).unwrap());
    assert!(began.elapsed() >= Duration::from_millis(30));
    killer.join().unwrap();
    parent.cgroups.remove(&run, soon()).unwrap();
    assert!(!parent.cgroups.exists(&run));
}

#[test]
fn a_limit_without_its_controller_is_refused_by_name() {
    let Some(parent) = Parent::on_version_2("controller") else {
        return;
    };
    if parent
        .cgroups
        .read_of("", &parent.name, "memory.max")
        .is_some()
    {
        eprintln!("SKIPPED controller: this host has them all on version 2");
        return;
    }
    let error = parent
        .cgroups
        .create(&parent.path("run"), &limits())
        .unwrap_err();
    assert!(matches!(error, CgroupError::Controller { .. }), "{error}");
}

#[test]
fn what_is_not_there_is_empty_and_removed() {
    let Some(parent) = Parent::new("absent") else {
        return;
    };
    let absent = parent.path("absent");
    assert!(parent.cgroups.procs(&absent).unwrap().is_empty());
    assert!(parent.cgroups.wait_empty(&absent, Instant::now()).unwrap());
    parent.cgroups.kill(&absent).unwrap();
    parent.cgroups.destroy(&absent, Instant::now()).unwrap();
    assert!(parent.cgroups.children(&absent).unwrap().is_empty());
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["", "/a", "a/../b", ".."] {
        assert!(relative(path).is_err(), "{path}");
    }
    assert!(relative("a/b").is_ok());
}

#[test]
fn keyed_values_are_found_by_the_whole_key() {
    let content = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
    assert_eq!(keyed_value(content, "oom_kill"), Some(3));
    assert_eq!(keyed_value(content, "absent"), None);
}
