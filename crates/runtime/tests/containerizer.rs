//! The daemon's side together with real executors: from a task group to what its containers wrote.
#![expect(clippy::unwrap_used, reason = "in a test every failure is the end")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use model::{
    id::{InstanceId, RunId, task_id},
    offer::Claim,
    pod::PodDefinition,
    state::TaskState,
    task_group::{Task, TaskGroup},
    time::Timestamp,
    update::TaskUpdate,
};
use runtime::{
    cgroup::Cgroups,
    containerizer::{Config, Containerizer, FoundState, Known, Launched, Moment},
    layout::Layout,
    prepare::HostRootfs,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

/// A containerizer with directories and a cgroup parent of its own, all removed in the end.
struct Host {
    containerizer: Containerizer,
    parent: String,
    _dir: tempfile::TempDir,
}

impl Host {
    /// `None`, said loudly, where this cannot be tested.
    fn new(test: &str, host_rootfs: HostRootfs) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED {test}: needs root");
            return None;
        }
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let layout = Layout {
            state_dir: dir.path().join("state"),
            run_dir: dir.path().join("run"),
        };
        let parent = format!("monopod-ct-{test}-{}", std::process::id());
        let mut config = Config::new(layout, parent.clone());
        config.executor_exe = executor();
        config.host_rootfs = host_rootfs;
        Some(Self {
            containerizer: Containerizer::open(config).unwrap(),
            parent,
            _dir: dir,
        })
    }

    fn sandbox(&self, run: RunId) -> PathBuf {
        self.containerizer.layout().sandbox(run)
    }

    fn log(&self, run: RunId) -> String {
        let path = self.containerizer.layout().run(run).log();
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Launches the pod and waits until it is over; gives what its executor wrote.
    fn run_to_end(&self, group: &TaskGroup) -> Vec<TaskUpdate> {
        let launched = self.containerizer.launch(group).unwrap();
        assert!(has_ended(&launched), "{}", self.log(group.run));
        self.containerizer.journal(group.run).updates
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let now = Moment::now(Timestamp::from_millis(0)).unwrap();
        let swept = self.containerizer.sweep(&Known::default(), &now);
        let clean = swept.failures.is_empty();
        let cgroups = Cgroups::detect().unwrap();
        let removed = cgroups.destroy(&self.parent, Instant::now() + PATIENCE);
        assert!(
            (clean && removed.is_ok()) || std::thread::panicking(),
            "{swept:?} {removed:?}"
        );
    }
}

/// The example beside this test's directory.
fn executor() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let dir = test.parent().and_then(Path::parent).unwrap();
    dir.join("examples/executor")
}

fn has_ended(launched: &Launched) -> bool {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let mut fds = [PollFd::new(&launched.pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap() == 1
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A pod of containers by name, each with a script and further members.
fn pod(containers: &[(&str, &str, Value)], volumes: &Value, networks: &Value) -> TaskGroup {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, script, members)| {
            let mut container = json!({
                "name": name,
                "exec": {"command": {"shell": script}},
                "resources": {"cpus": 0.2, "mem": 32}
            });
            for (member, value) in members.as_object().unwrap() {
                container[member] = value.clone();
            }
            container
        })
        .collect();
    let definition: PodDefinition = serde_json::from_value(json!({
        "id": "/test", "containers": containers, "volumes": volumes, "networks": networks
    }))
    .unwrap();
    let run = RunId {
        instance: Uuid::from_u128(1),
        incarnation: 1,
    };
    let instance = InstanceId::new(&definition.id, run.instance);
    let tasks = definition
        .containers
        .iter()
        .map(|container| Task {
            container: container.name.clone(),
            id: task_id(&instance, &container.name, 1),
            environment: BTreeMap::from([("FROM_TASK".to_owned(), "yes".to_owned())]),
        })
        .collect();
    TaskGroup {
        run,
        instance,
        claim: Claim::default(),
        host_ports: vec![],
        tasks,
        definition: Arc::new(definition),
    }
}

/// The last state of each container.
fn outcomes(updates: &[TaskUpdate]) -> BTreeMap<&str, (TaskState, &str)> {
    updates
        .iter()
        .map(|update| {
            let outcome = (update.state, update.message.as_str());
            (update.container.as_str(), outcome)
        })
        .collect()
}

fn assert_finished(updates: &[TaskUpdate], containers: &[&str], log: &str) {
    let outcomes = outcomes(updates);
    let states: Vec<_> = containers
        .iter()
        .map(|name| outcomes.get(name).map(|(state, _)| *state))
        .collect();
    let expected = vec![Some(TaskState::Finished); containers.len()];
    assert_eq!(states, expected, "{outcomes:?} {log}");
}

fn stdout(host: &Host, run: RunId, container: &str) -> String {
    let dir = host.sandbox(run).join("containers").join(container);
    fs::read_to_string(dir.join("stdout")).unwrap()
}

#[test]
fn a_pod_on_the_hosts_root_runs_in_an_overlay_of_its_own() {
    let Some(host) = Host::new("overlay", HostRootfs::Overlay) else {
        return;
    };
    let state = host.containerizer.layout().state_dir.clone();
    let write = format!(
        "echo mine > /etc/monopod-ct; echo kept > here; echo shared > data/file; \
         ls {} | tr '\\n' ' '; echo $FROM_TASK $MESOS_SANDBOX; pwd; hostname",
        state.display()
    );
    let read = "until test -s /data/file; do sleep 0.01; done; cat /data/file; id -u; \
                touch /data/by-nobody; echo x > in-own-sandbox && cat in-own-sandbox";
    let mount = |path: &str| json!([{"name": "d", "mountPath": path}]);
    let group = pod(
        &[
            ("writer", &write, json!({"volumeMounts": mount("data")})),
            (
                "reader",
                read,
                json!({"volumeMounts": mount("/data"), "user": "65534:65534"}),
            ),
        ],
        &json!([{"name": "d"}]),
        &json!([{"mode": "container", "name": "n"}]),
    );
    let updates = host.run_to_end(&group);
    assert_finished(&updates, &["writer", "reader"], &host.log(group.run));
    let own = host.sandbox(group.run).join("containers/writer");
    let own = own.display();
    assert_eq!(
        stdout(&host, group.run, "writer"),
        format!("sandboxes yes {own}\n{own}\ntest-00000000\n")
    );
    assert_eq!(stdout(&host, group.run, "reader"), "shared\n65534\nx\n");
    assert!(!Path::new("/etc/monopod-ct").exists());
    host.containerizer.destroy(group.run).unwrap();
    let sandbox = host.sandbox(group.run);
    assert!(sandbox.join("containers/writer/here").exists());
    assert!(sandbox.join("volumes/d/by-nobody").exists());
    assert!(!sandbox.join("root").exists());
    assert!(host.containerizer.recover().unwrap().is_empty());
}

#[test]
fn a_pod_runs_on_the_hosts_root_itself() {
    let cases = [
        ("ro", HostRootfs::ReadOnly, "refused"),
        ("rw", HostRootfs::ReadWrite, "written"),
    ];
    for (test, policy, expected) in cases {
        let Some(host) = Host::new(test, policy) else {
            return;
        };
        let probe = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        let file = probe.path().display();
        let script = format!(
            "(echo x > {file}) 2>/dev/null && echo written || echo refused; echo y > own && cat own"
        );
        let group = pod(&[("web", &script, json!({}))], &json!([]), &json!([]));
        let updates = host.run_to_end(&group);
        assert_finished(&updates, &["web"], &host.log(group.run));
        let output = stdout(&host, group.run, "web");
        assert_eq!(output, format!("{expected}\ny\n"), "{test}");
    }
}

#[test]
fn what_outlives_its_executor_is_found_and_destroyed() {
    let Some(host) = Host::new("orphan", HostRootfs::ReadOnly) else {
        return;
    };
    let script = "trap '' TERM; echo up; while :; do sleep 300; done";
    let group = pod(&[("web", script, json!({}))], &json!([]), &json!([]));
    let launched = host.containerizer.launch(&group).unwrap();
    let output = host.sandbox(group.run).join("containers/web/stdout");
    wait_for("output", || {
        fs::read(&output).is_ok_and(|text| text == b"up\n")
    });
    let found = host.containerizer.recover().unwrap();
    let [found] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(matches!(&found.state, FoundState::Alive(alive) if alive.pid == launched.pid));
    rustix::process::pidfd_send_signal(&launched.pidfd, rustix::process::Signal::KILL).unwrap();
    assert!(has_ended(&launched));
    let found = host.containerizer.recover().unwrap();
    assert!(matches!(found[0].state, FoundState::Over), "{found:?}");
    host.containerizer.destroy(group.run).unwrap();
    let cgroups = Cgroups::detect().unwrap();
    assert!(!cgroups.exists(&format!("{}/{}", host.parent, group.run)));
    assert!(
        host.containerizer.launch(&group).is_ok(),
        "a run forgotten is new"
    );
}
