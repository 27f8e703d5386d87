//! With shell scripts in the place of executors.

use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use model::{id::InstanceId, offer::Claim, pod::PodDefinition, task_group::Task};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

/// Takes the message, writes the journal's header and stays.
const STAYS: &str = r#"#!/bin/sh
message=$(cat <&3)
dir=$(echo "$message" | sed 's/.*"run_dir":"\([^"]*\)".*/\1/')
run=$(echo "$message" | sed 's/^{"version":1,"run":"\([^"]*\)".*/\1/')
echo "$message" > "$dir/message"
printf '{"version":1,"run":"%s"}\n{"cut' "$run" > "$dir/journal"
exec sleep 300
"#;

/// Ends before its header.
const FAILS: &str = "#!/bin/sh\necho no luck >&2\nexit 1\n";

/// Writes its header and ends.
const ENDS: &str = r#"#!/bin/sh
dir=$(sed 's/.*"run_dir":"\([^"]*\)".*/\1/' <&3)
echo '{"version":1,"run":"00000000-0000-0000-0000-000000000001.1"}' > "$dir/journal"
"#;

/// Writes its header, waits until it is in its cgroup, and ends before a child that holds the run's lock, too.
const LEAVES_A_CHILD: &str = r#"#!/bin/sh
dir=$(sed 's/.*"run_dir":"\([^"]*\)".*/\1/' <&3)
echo '{"version":1,"run":"00000000-0000-0000-0000-000000000001.1"}' > "$dir/journal"
until grep -q /executor /proc/self/cgroup; do :; done
sleep 300 &
"#;

/// Comes to its cgroup only when told to, and ends.
const COMES_LATE: &str = r#"#!/bin/sh
message=$(cat <&3)
dir=$(echo "$message" | sed 's/.*"run_dir":"\([^"]*\)".*/\1/')
cgroup=$(echo "$message" | sed 's/.*"executor":"\([^"]*\)".*/\1/')
echo > "$dir/waits"
until [ -e "$dir/go" ]; do :; done
for procs in /sys/fs/cgroup/*/"$cgroup"/cgroup.procs /sys/fs/cgroup/"$cgroup"/cgroup.procs; do
    echo $$ > "$procs"
done
"#;

/// A containerizer of its own; everything it made goes at the end, whatever happens.
struct Fixture {
    containerizer: Option<Containerizer>,
    config: Config,
    cgroups: Cgroups,
    dir: tempfile::TempDir,
}

impl Fixture {
    /// `None`, said loudly, where this cannot be tested.
    fn new(test: &str, script: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED {test}: needs root");
            return None;
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let layout = Layout {
            state_dir: dir.path().join("state"),
            run_dir: dir.path().join("run"),
        };
        let parent = format!("monopod-test-{test}-{}", std::process::id());
        let mut config = Config::new(layout, parent);
        config.executor_exe = dir.path().join("executor");
        let mut fixture = Self {
            containerizer: None,
            cgroups: Cgroups::detect().unwrap(),
            config,
            dir,
        };
        fixture.use_script(script);
        fixture.restart();
        Some(fixture)
    }

    /// Replaced by renaming: a script that runs cannot be written to.
    fn use_script(&self, script: &str) {
        let fresh = self.dir.path().join("fresh");
        fs::write(&fresh, script).unwrap();
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&fresh, &self.config.executor_exe).unwrap();
    }

    fn restart(&mut self) {
        self.containerizer = None;
        self.containerizer = Some(Containerizer::open(self.config.clone()).unwrap());
    }

    fn get(&self) -> &Containerizer {
        self.containerizer.as_ref().unwrap()
    }

    fn cgroup(&self, run: RunId) -> String {
        format!("{}/{run}", self.config.cgroup_parent)
    }

    fn state_of(&self, run: RunId) -> String {
        let found = self.get().recover().unwrap();
        let found = found.into_iter().find(|found| found.run == run);
        found.map_or("gone".to_owned(), |found| match found.state {
            FoundState::Alive(launched) => format!("alive {}", launched.pid),
            FoundState::Hidden => "hidden".to_owned(),
            FoundState::Over => "over".to_owned(),
            FoundState::NotStarted => "not started".to_owned(),
            FoundState::Damaged { source } => format!("damaged: {source}"),
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(containerizer) = self.containerizer.take() {
            let failures = containerizer.sweep(&Known::default(), &moment(0)).failures;
            assert!(
                failures.is_empty() || std::thread::panicking(),
                "{failures:?}"
            );
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        let _ = self.cgroups.destroy(&self.config.cgroup_parent, deadline);
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

fn run(number: u128) -> RunId {
    RunId {
        instance: Uuid::from_u128(number),
        incarnation: 1,
    }
}

fn group(run: RunId, volumes: &Value, mounts: &Value) -> TaskGroup {
    let definition: PodDefinition = serde_json::from_value(json!({
        "id": "/web",
        "networks": [{"mode": "container", "name": "n"}],
        "containers": [{
            "name": "web",
            "exec": {"command": {"shell": "true"}},
            "resources": {"cpus": 0.1, "mem": 32},
            "volumeMounts": mounts
        }],
        "volumes": volumes
    }))
    .unwrap();
    let instance = InstanceId::new(&definition.id, run.instance);
    let task = Task {
        container: "web".to_owned(),
        id: format!("{instance}.web.1"),
        environment: BTreeMap::new(),
    };
    TaskGroup {
        run,
        instance,
        claim: Claim::default(),
        host_ports: vec![],
        tasks: vec![task],
        definition: Arc::new(definition),
    }
}

fn simple(number: u128) -> TaskGroup {
    let volumes = json!([{"name": "data"}]);
    let mounts = json!([{"name": "data", "mountPath": "data"}]);
    group(run(number), &volumes, &mounts)
}

#[test]
fn a_run_is_launched_once_and_found_again() {
    let Some(mut fixture) = Fixture::new("once", STAYS) else {
        return;
    };
    let group = simple(1);
    let dir = fixture.get().layout().run(group.run);
    let launched = fixture.get().launch(&group).unwrap();
    let again = fixture.get().launch(&group).unwrap();
    assert_eq!(launched.pid, again.pid);
    wait_for("the header", || {
        journal::salvage(&dir.journal(), group.run).is_some()
    });
    let message = fs::read(dir.path().join("message")).unwrap();
    let message: Launch = serde_json::from_slice(&message).unwrap();
    assert_eq!(message.run, group.run);
    assert!(message.sandbox.join("volumes/data").is_dir());
    assert!(message.sandbox.join("etc/hosts").is_file());
    assert!(fixture.cgroups.exists(&message.cgroups.executor));
    fixture.restart();
    assert_eq!(
        fixture.state_of(group.run),
        format!("alive {}", launched.pid)
    );
    assert_eq!(fixture.get().launch(&group).unwrap().pid, launched.pid);
    fs::remove_file(identity_file(&dir)).unwrap();
    fixture
        .cgroups
        .join(&message.cgroups.executor, launched.pid)
        .unwrap();
    assert_eq!(
        fixture.state_of(group.run),
        format!("alive {}", launched.pid)
    );
    fixture.get().destroy(group.run).unwrap();
    assert!(
        process::reap(&launched.pidfd, Instant::now()),
        "it still lives"
    );
    assert!(!fixture.cgroups.exists(&fixture.cgroup(group.run)));
    assert!(!dir.path().exists() && message.sandbox.join("containers/web").is_dir());
    assert!(!message.sandbox.join("root").exists());
    fixture.get().destroy(group.run).unwrap();
}

#[test]
fn a_run_that_is_over_is_not_launched_again() {
    let Some(fixture) = Fixture::new("over", ENDS) else {
        return;
    };
    let group = simple(1);
    let launched = fixture.get().launch(&group).unwrap();
    assert!(process::reap(
        &launched.pidfd,
        Instant::now() + Duration::from_secs(10)
    ));
    assert_eq!(fixture.state_of(group.run), "over");
    assert!(fixture.get().journal(group.run).updates.is_empty());
    let error = fixture.get().launch(&group).unwrap_err();
    assert!(matches!(error, LaunchError::Over { .. }), "{error}");
    assert!(fixture.get().layout().run(group.run).path().exists());
}

#[test]
fn a_child_that_outlives_its_executor_is_not_taken_for_it() {
    let Some(fixture) = Fixture::new("child", LEAVES_A_CHILD) else {
        return;
    };
    let group = simple(1);
    let launched = fixture.get().launch(&group).unwrap();
    let executor = format!("{}/executor", fixture.cgroup(group.run));
    fixture.cgroups.join(&executor, launched.pid).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    assert!(process::reap(&launched.pidfd, deadline));
    assert_eq!(
        fixture.cgroups.procs(&executor).unwrap().len(),
        1,
        "the child"
    );
    assert_eq!(fixture.state_of(group.run), "hidden");
    let resolved = fixture.get().resolve(group.run).unwrap();
    assert!(matches!(resolved, FoundState::Over), "{resolved:?}");
    assert!(fixture.cgroups.procs(&executor).unwrap().is_empty());
}

#[test]
fn an_executor_that_comes_too_late_finds_its_cgroup_gone() {
    let Some(fixture) = Fixture::new("late", COMES_LATE) else {
        return;
    };
    let group = simple(1);
    let dir = fixture.get().layout().run(group.run);
    fixture.get().launch(&group).unwrap();
    wait_for("it to wait", || dir.path().join("waits").exists());
    // As if the daemon had been killed before it wrote down whom it started: nobody can be killed by number.
    fs::remove_file(identity_file(&dir)).unwrap();
    let cgroup = fixture.cgroup(group.run);
    std::thread::scope(|scope| {
        let destroyed = scope.spawn(|| fixture.get().destroy(group.run));
        wait_for("its cgroup to be removed", || {
            !fixture.cgroups.exists(&cgroup)
        });
        assert!(!destroyed.is_finished(), "something holds the run's lock");
        fs::write(dir.path().join("go"), "").unwrap();
        destroyed.join().unwrap().unwrap();
    });
    assert!(!fixture.cgroups.exists(&cgroup));
    assert_eq!(fixture.state_of(group.run), "gone");
}

#[test]
fn an_executor_that_never_began_may_be_launched_again() {
    let Some(fixture) = Fixture::new("again", FAILS) else {
        return;
    };
    let group = simple(1);
    let launched = fixture.get().launch(&group).unwrap();
    assert!(process::reap(
        &launched.pidfd,
        Instant::now() + Duration::from_secs(10)
    ));
    assert_eq!(fixture.state_of(group.run), "not started");
    let log = fixture.get().layout().run(group.run).log();
    assert_eq!(fs::read_to_string(log).unwrap(), "no luck\n");
    fixture.use_script(STAYS);
    let launched = fixture.get().launch(&group).unwrap();
    assert_eq!(
        fixture.state_of(group.run),
        format!("alive {}", launched.pid)
    );
}

#[test]
fn a_launch_that_fails_leaves_nothing() {
    let Some(mut fixture) = Fixture::new("undo", STAYS) else {
        return;
    };
    let missing = group(
        run(1),
        &json!([{"name": "v", "host": "/no/such/path"}]),
        &json!([{"name": "v", "mountPath": "/v"}]),
    );
    let left = |fixture: &Fixture| {
        let layout = fixture.get().layout();
        let sandbox = layout.sandbox(run(1)).exists();
        (
            sandbox,
            layout.run(run(1)).path().exists(),
            fixture.cgroups.exists(&fixture.cgroup(run(1))),
        )
    };
    let error = fixture.get().launch(&missing).unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert!(error.to_string().contains("/no/such/path"), "{error}");
    assert_eq!(left(&fixture), (false, false, false));
    fixture.config.executor_exe = "/no/such/executor".into();
    fixture.restart();
    let error = fixture.get().launch(&simple(1)).unwrap_err();
    assert!(!error.is_invalid(), "{error}");
    assert_eq!(left(&fixture), (false, false, false));
}

#[test]
fn a_second_daemon_is_turned_away() {
    let Some(mut fixture) = Fixture::new("claims", STAYS) else {
        return;
    };
    let error = Containerizer::open(fixture.config.clone()).unwrap_err();
    let pid = std::process::id().to_string();
    assert!(error.to_string().contains(&pid), "{error}");
    fixture.config.layout.state_dir = fixture.dir.path().join("other-state");
    fixture.config.layout.run_dir = fixture.dir.path().join("other-run");
    let error = Containerizer::open(fixture.config.clone()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
}

#[test]
fn what_nobody_knows_is_swept_and_the_rest_stays() {
    let Some(fixture) = Fixture::new("sweep", STAYS) else {
        return;
    };
    let [wanted, unknown, lost] = [simple(1), simple(2), simple(3)];
    let launched = [&wanted, &unknown, &lost].map(|group| fixture.get().launch(group).unwrap());
    for (group, launched) in [&wanted, &unknown, &lost].into_iter().zip(&launched) {
        let executor = format!("{}/executor", fixture.cgroup(group.run));
        fixture.cgroups.join(&executor, launched.pid).unwrap();
    }
    // As if the run directory had been on a tmpfs that is gone.
    removal::remove_tree(fixture.get().layout().run(lost.run).path()).unwrap();
    let known = Known {
        runs: [wanted.run, lost.run].into(),
    };
    let swept = fixture.get().sweep(&known, &moment(5000));
    assert!(swept.failures.is_empty(), "{:?}", swept.failures);
    assert_eq!(swept.runs, [unknown.run]);
    assert!(swept.cgroups.is_empty(), "{:?}", swept.cgroups);
    let remains = Remains {
        run: unknown.run,
        ended: moment(5000),
    };
    assert_eq!(swept.remains, [remains]);
    let known = Known {
        runs: [wanted.run].into(),
    };
    let swept = fixture.get().sweep(&known, &moment(6000));
    assert_eq!(swept.cgroups, [fixture.cgroup(lost.run)]);
    let alive = launched.map(|launched| !process::reap(&launched.pidfd, Instant::now()));
    assert_eq!(alive, [true, false, false]);
    let layout = fixture.get().layout();
    assert!(layout.sandbox(lost.run).exists() && layout.sandbox(unknown.run).exists());
    let again = fixture.get().sweep(&known, &moment(9000));
    assert!(again.runs.is_empty());
    assert_eq!(again.remains, swept.remains, "its age is counted on");
}

fn moment(since_boot_ms: u64) -> Moment {
    Moment {
        wall: model::time::Timestamp::from_millis(1_700_000_000_000),
        boot: Uuid::from_u128(1),
        since_boot_ms,
    }
}

#[test]
fn a_collected_sandbox_is_gone_and_what_was_mounted_in_it_is_not() {
    let Some(fixture) = Fixture::new("collect", ENDS) else {
        return;
    };
    let containerizer = fixture.get();
    let group = simple(1);
    containerizer.launch(&group).unwrap();
    containerizer.destroy(group.run).unwrap();
    let sandbox = containerizer.layout().sandbox(group.run);
    let volume = fixture.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("precious"), "").unwrap();
    let point = sandbox.join("dangling");
    fs::create_dir(&point).unwrap();
    rustix::mount::mount_bind(&volume, &point).unwrap();

    // Whoever works in it keeps it from being unmounted, and then nothing at all is removed.
    let busy = fs::File::open(&point).unwrap();
    let error = containerizer.collect(group.run).unwrap_err();
    assert!(matches!(error, CollectError::Mounted { .. }), "{error}");
    assert!(sandbox.join("run.json").exists() && volume.join("precious").exists());
    drop(busy);

    let pod = group.definition.id.as_str();
    let found = |pod| containerizer.latest_sandbox(group.run.instance, pod);
    assert_eq!((found(pod), found("/other")), (Some(group.run), None));
    containerizer.collect(group.run).unwrap();
    assert!(volume.join("precious").exists());
    let parent = sandbox.parent().unwrap();
    assert!(
        !parent.exists(),
        "the instance's directory goes with the last"
    );
    assert_eq!(found(pod), None);
    containerizer.collect(group.run).unwrap();
}
