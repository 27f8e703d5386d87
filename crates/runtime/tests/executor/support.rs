//! One executor under test: its own directories, cgroup parent and run, all removed in the end.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use model::{
    id::RunId,
    state::{Reason, TaskState},
    update::TaskUpdate,
};
use runtime::{
    cgroup::{Cgroups, Limits},
    journal,
    launch::{CgroupPaths, ContainerLaunch, Launch, LogLimits, PROTOCOL_VERSION, Rootfs},
    layout::RunDir,
    protocol::{FromExecutor, ToExecutor},
    seccomp::Program,
    sys::socket,
};
use uuid::Uuid;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const CAPABILITIES: [&str; 3] = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"];

/// Whether these tests can run; says why not.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: not root");
    }
    root
}

/// Waits until `found` finds something.
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The example binary beside this test's directory.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/executor");
    assert!(
        binary.exists(),
        "{} is built by cargo test",
        binary.display()
    );
    binary
}

/// The surroundings of one test.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    pub(crate) cgroups: Cgroups,
    parent: String,
    pub(crate) launch: Launch,
}

impl Bed {
    pub(crate) fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let parent = format!("monopod-rt-test-{}-{name}", std::process::id());
        let run = RunId {
            instance: Uuid::from_u128(u128::from(std::process::id())),
            incarnation: 1,
        };
        let path = |name: &str| dir.path().join(name);
        for name in ["run", "sandbox"] {
            fs::create_dir(path(name)).unwrap();
        }
        let names: Vec<String> = CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        fs::write(path("filter"), Program::compile(&names).unwrap().bytes()).unwrap();
        let launch = Launch {
            version: PROTOCOL_VERSION,
            run,
            run_dir: path("run"),
            sandbox: path("sandbox"),
            cgroups: CgroupPaths {
                run: format!("{parent}/run"),
                executor: format!("{parent}/run/executor"),
                leaving: format!("{parent}/leaving"),
            },
            hostname: Some("pod-of-the-test".to_owned()),
            own_network: true,
            seccomp_program: path("filter"),
            die_with_parent: false,
            shm_bytes: 1 << 20,
            logs: LogLimits {
                file_bytes: 1 << 20,
                rotated_files: 2,
            },
            create_timeout_ms: 20_000,
            containers: Vec::new(),
        };
        let cgroups = Cgroups::detect().unwrap();
        cgroups.create_parent(&parent).unwrap();
        Self {
            dir,
            cgroups,
            parent,
            launch,
        }
    }

    /// Adds a container that runs `argv` on the host's root, read-only.
    pub(crate) fn add(&mut self, name: &str, argv: &[&str]) -> &mut ContainerLaunch {
        let sandbox = self.launch.sandbox.join("containers").join(name);
        fs::create_dir_all(&sandbox).unwrap();
        let covered = vec![self.launch.run_dir.clone()];
        self.launch.containers.push(ContainerLaunch {
            name: name.to_owned(),
            task_id: format!("test.{name}"),
            sandbox_mount: sandbox.clone(),
            cwd: sandbox.clone(),
            sandbox,
            argv: argv.iter().map(|text| (*text).to_owned()).collect(),
            environment: BTreeMap::from([
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("SECRET".to_owned(), "hush".to_owned()),
            ]),
            create_cwd: false,
            user: None,
            rootfs: Rootfs::HostReadOnly { covered },
            mounts: Vec::new(),
            capabilities: CAPABILITIES.iter().map(|name| (*name).to_owned()).collect(),
            seccomp: true,
            cpus_milli: 100,
            cpu_quota_milli: Some(500),
            memory_request_bytes: 0,
            memory_limit_bytes: None,
            pids_limit: 64,
            kill_grace_ms: 3000,
            stop_signal: 15,
        });
        self.launch.containers.last_mut().unwrap()
    }

    /// Adds a container that runs a shell script.
    pub(crate) fn script(&mut self, name: &str, script: &str) -> &mut ContainerLaunch {
        self.add(name, &["/bin/busybox", "sh", "-c", script])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes the cgroups and spawns the executor.
    pub(crate) fn spawn(&self) -> Run<'_> {
        self.spawn_by(r#"exec "$0" executor"#)
    }

    /// The same by shell words, in which `$0` is the binary.
    pub(crate) fn spawn_by(&self, words: &str) -> Run<'_> {
        let message = serde_json::to_string(&self.launch).unwrap();
        self.spawn_with(&message, words)
    }

    /// Spawns the executor with a launch message of any wording, which must ask for what [`Self::launch`] has.
    pub(crate) fn spawn_with(&self, message: &str, words: &str) -> Run<'_> {
        self.make_cgroups();
        let launch = self.path("launch.json");
        fs::write(&launch, message).unwrap();
        let run_dir = RunDir(self.launch.run_dir.clone());
        // A descriptor that must not reach anybody, and what a service manager leaves behind.
        let script = format!(r#"exec 3<"$1" 4<>"$2" 9<"$1" && flock 4 && umask 077 && {words}"#);
        let child = Command::new("sh")
            .args(["-c", &script])
            .arg(binary())
            .arg(&launch)
            .arg(run_dir.lock())
            .env("LISTEN_FDS", "5")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(run_dir.log()).unwrap())
            .spawn()
            .unwrap();
        Run {
            bed: self,
            child,
            run_dir,
            connection: None,
            updates: Vec::new(),
        }
    }

    fn make_cgroups(&self) {
        let containers = self.launch.containers.iter().map(|container| {
            let limits = Limits {
                cpus_milli: container.cpus_milli,
                memory_request_bytes: container.memory_request_bytes,
                memory_bytes: container.memory_limit_bytes,
                pids: Some(container.pids_limit),
                oom_group: true,
            };
            (container.name.as_str(), limits)
        });
        let paths = &self.launch.cgroups;
        self.cgroups
            .create_run(
                paths,
                &Limits::default(),
                containers,
                &self.cgroups.device_filter().unwrap(),
            )
            .unwrap();
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        if let Err(error) = self.cgroups.destroy(&self.parent, deadline) {
            eprintln!("failed to clean up: {error}");
        }
    }
}

/// A spawned executor.
pub(crate) struct Run<'a> {
    bed: &'a Bed,
    pub(crate) child: Child,
    pub(crate) run_dir: RunDir,
    connection: Option<BufReader<UnixStream>>,
    pub(crate) updates: Vec<TaskUpdate>,
}

impl Run<'_> {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Connects as the daemon does, once the socket is there.
    pub(crate) fn connect(&mut self) {
        self.connection = Some(self.dial());
        self.say(&ToExecutor::Hello {
            version: PROTOCOL_VERSION,
            oldest: PROTOCOL_VERSION,
        });
        let FromExecutor::Hello { run, pid, .. } = self.hear().unwrap() else {
            panic!("no hello");
        };
        assert_eq!((run, pid), (self.bed.launch.run, self.pid()));
    }

    /// A connection on which nothing was said yet.
    pub(crate) fn dial(&self) -> BufReader<UnixStream> {
        let path = self.run_dir.socket();
        let stream = wait_for("the executor's socket", || socket::connect(&path).ok());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    }

    pub(crate) fn say(&mut self, verb: &ToExecutor) {
        self.say_raw(&serde_json::to_string(verb).unwrap());
    }

    pub(crate) fn say_raw(&mut self, line: &str) {
        let connection = self.connection.as_mut().expect("connected");
        writeln!(connection.get_mut(), "{line}").unwrap();
    }

    /// The next line; `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<FromExecutor> {
        let mut line = String::new();
        self.connection.as_mut()?.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Listens until a container is in a state, acknowledging nothing.
    pub(crate) fn until(&mut self, container: &str, state: TaskState) -> TaskUpdate {
        loop {
            let told = self.updates.iter();
            let mut told =
                told.filter(|update| update.container == container && update.state == state);
            if let Some(update) = told.next() {
                return update.clone();
            }
            match self.hear() {
                Some(FromExecutor::Update(update)) => self.updates.push(update),
                Some(_) => {}
                None => panic!(
                    "{container} never was {state}: {:?}; {}",
                    self.updates,
                    self.log()
                ),
            }
        }
    }

    pub(crate) fn kill(&mut self, grace_ms: Option<u64>) {
        self.say(&ToExecutor::Kill {
            reason: Reason::KillRequested,
            grace_ms,
        });
    }

    /// Acknowledges everything that was told.
    pub(crate) fn acknowledge(&mut self) {
        let sequence = self.updates.last().map_or(0, |update| update.sequence);
        self.say(&ToExecutor::Acknowledge { sequence });
    }

    /// Waits for the executor's end without a daemon, and gives what its journal tells.
    pub(crate) fn finish(mut self) -> Vec<TaskUpdate> {
        self.connection = None;
        let status = wait_for("the executor's end", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}; {}", self.log());
        assert!(
            !self.bed.cgroups.exists(&self.bed.launch.cgroups.run),
            "the run's cgroup is gone"
        );
        assert_eq!(self.log(), "", "nothing went wrong");
        let read = journal::salvage(&self.run_dir.journal(), self.bed.launch.run).unwrap();
        assert!(read.damage.is_none(), "{:?}", read.damage);
        let updates = read.updates;
        for (place, update) in (1..).zip(&updates) {
            assert_eq!(update.sequence, place, "no gaps: {updates:?}");
        }
        updates
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.run_dir.log()).unwrap_or_default()
    }

    /// What a container wrote.
    pub(crate) fn output(&self, container: &str, stream: &str) -> String {
        let sandbox = self.bed.launch.sandbox.join("containers").join(container);
        fs::read_to_string(sandbox.join(stream)).unwrap()
    }

    /// Processes of a container's cgroup.
    pub(crate) fn procs(&self, container: &str) -> Vec<i32> {
        let path = format!("{}/{container}", self.bed.launch.cgroups.run);
        self.bed.cgroups.procs(&path).unwrap()
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The states of one container, in order.
pub(crate) fn states(updates: &[TaskUpdate], container: &str) -> Vec<TaskState> {
    let of = updates
        .iter()
        .filter(|update| update.container == container);
    of.map(|update| update.state).collect()
}

/// The last update of one container.
pub(crate) fn last<'a>(updates: &'a [TaskUpdate], container: &str) -> &'a TaskUpdate {
    updates
        .iter()
        .rfind(|update| update.container == container)
        .unwrap()
}

/// What a probe printed.
pub(crate) fn facts(output: &str) -> BTreeMap<String, String> {
    let lines = output.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The mounts of the host below a directory.
pub(crate) fn mounts_below(dir: &Path) -> usize {
    let mounts = runtime::mountinfo::read().unwrap();
    mounts
        .iter()
        .filter(|mount| mount.mount_point.starts_with(dir))
        .count()
}
