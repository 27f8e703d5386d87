//! One daemon and everything that belongs to it.

mod remains;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    binary,
    http::{self, Answer},
    image,
    kernel::{self, Process},
    openapi::Document,
    pods, wait_for,
};

/// How long a thing that takes moments may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A daemon with state, run directory, port, cgroup parent and name prefix of its own.
#[derive(Debug)]
pub struct Host {
    directory: PathBuf,
    name: String,
    /// The executable; [`Host::use_binary`] changes it.
    binary: PathBuf,
    /// The run directory's name; [`Host::use_run_dir`] changes it.
    run_dir: &'static str,
    /// The cgroup parent; [`Host::use_cgroup_parent`] changes it.
    parent: String,
    /// What everything of this test is below.
    cgroup_parent: String,
    config: String,
    flags: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    daemon: Option<Child>,
}

impl Host {
    /// Starts a daemon that offers plenty.
    pub fn start() -> Self {
        Self::start_with(&["--resources", "cpus:64;mem:65536;disk:65536"])
    }

    /// Starts a daemon with further flags.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn start_with(flags: &[&str]) -> Self {
        Self::start_configured("", flags)
    }

    /// Starts a daemon with a configuration file of this content, and further flags.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn start_configured(config: &str, flags: &[&str]) -> Self {
        let mut host = Self::prepare(config, flags);
        host.start_daemon();
        host
    }

    /// Makes everything but the daemon. Without a configuration, unnamed container networks are called `test`.
    pub fn prepare(config: &str, flags: &[&str]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mpt{}-{number}", std::process::id());
        // Short, for the sake of socket paths.
        let directory = PathBuf::from("/tmp").join(&name);
        fs::create_dir(&directory).unwrap();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let cgroup_parent = match std::env::var("MONOPOD_TEST_CGROUP_PARENT") {
            Ok(parent) => format!("{}/{name}", parent.trim_matches('/')),
            Err(_) => name.clone(),
        };
        Self {
            directory,
            binary: binary::monopod().to_owned(),
            run_dir: "run",
            parent: cgroup_parent.clone(),
            name,
            cgroup_parent,
            config: match config {
                "" => "[marathon]\ndefault_network_name = \"test\"\n".to_owned(),
                config => config.to_owned(),
            },
            flags,
            environment: Vec::new(),
            daemon: None,
        }
    }

    /// Gives daemons that are started from now on a variable of their environment.
    pub fn set_environment(&mut self, name: &'static str, value: PathBuf) {
        self.environment.push((name, value));
    }

    /// Where state, run directory and files of the test are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.directory.join(self.run_dir)
    }

    /// The state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The cgroup that all pods are below.
    pub fn cgroup_parent(&self) -> &str {
        &self.cgroup_parent
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state_dir().join("monopod.db")
    }

    /// Lets the next daemon have these flags instead of those before.
    pub fn use_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// Lets the next daemon be this executable.
    pub fn use_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Lets the next daemon have another run directory.
    pub fn use_run_dir(&mut self, name: &'static str) {
        self.run_dir = name;
    }

    /// Lets the next daemon have another cgroup parent, below the one before.
    pub fn use_cgroup_parent(&mut self, name: &str) {
        self.parent = format!("{}/{name}", self.cgroup_parent);
    }

    /// Starts a daemon that must refuse, and gives what it said.
    #[track_caller]
    pub fn refused_daemon(&mut self) -> String {
        self.spawn_daemon();
        // It stays ours until it has ended, for the test ends here if it does not.
        let status = wait_for("the daemon to refuse", SOON, || self.daemon_end());
        self.daemon = None;
        assert_eq!(status.code(), Some(1), "{}", self.log_tail());
        self.log_tail()
    }

    /// Starts the daemon and waits until it has recovered.
    pub fn start_daemon(&mut self) {
        self.spawn_daemon();
        self.wait_until_ready();
    }

    /// Starts the daemon and returns at once.
    pub fn spawn_daemon(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let config = self.directory.join("monopod.toml");
        fs::write(&config, &self.config).unwrap();
        let child = Command::new(&self.binary)
            .arg("--run-dir")
            .arg(self.run_dir())
            .arg("daemon")
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(["--cgroup-parent", &self.parent, "--name-prefix", &self.name])
            .args(["--listen", "127.0.0.1:0", "--log-level", "debug"])
            .arg("--config")
            .arg(config)
            .args(&self.flags)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.daemon = Some(child.unwrap());
    }

    /// Waits until the daemon has recovered.
    pub fn wait_until_ready(&mut self) {
        if let Some(status) = self.wait_until_ready_or_ended() {
            self.daemon = None;
            panic!("the daemon ended ({status}):\n{}", self.log_tail());
        }
    }

    /// Waits until the daemon answers, or has ended: then tells how.
    pub fn wait_until_ready_or_ended(&mut self) -> Option<ExitStatus> {
        let socket = self.socket();
        let deadline = Instant::now() + SOON;
        loop {
            // Not `/ping`, which is answered during recovery, too.
            if http::request(&socket, "GET", "/v2/info", None)
                .is_ok_and(|answer| answer.status == 200)
            {
                return None;
            }
            if let Some(status) = self.daemon_end() {
                return Some(status);
            }
            assert!(
                Instant::now() < deadline,
                "the daemon is not ready:\n{}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How the daemon ended, if it did by itself.
    pub fn daemon_end(&mut self) -> Option<ExitStatus> {
        let daemon = self.daemon.as_mut()?;
        daemon.try_wait().unwrap()
    }

    /// Kills the daemon with SIGKILL.
    pub fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// The daemon's process id.
    pub fn daemon_pid(&self) -> Option<i32> {
        self.daemon
            .as_ref()
            .and_then(|daemon| i32::try_from(daemon.id()).ok())
    }

    /// Asks the daemon to stop and waits until it has.
    pub fn stop_daemon(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        let pid = i32::try_from(daemon.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.unwrap(), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if daemon.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
        assert!(
            std::thread::panicking(),
            "the daemon did not stop:\n{}",
            self.log_tail()
        );
    }

    /// The API's Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir().join("monopod.sock")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("daemon.log")
    }

    /// All that the daemon logged.
    pub fn whole_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    /// The first address that TCP listens on.
    #[track_caller]
    pub fn tcp(&self) -> std::net::SocketAddr {
        let info = self.request("GET", "/v2/info?monopod=true", None).json();
        let listen = info["monopod"]["listen"].as_str().unwrap();
        listen.split(',').next().unwrap().parse().unwrap()
    }

    /// The token that may do everything.
    pub fn token(&self) -> String {
        let token = fs::read_to_string(self.state_dir().join("token")).unwrap();
        token.trim().to_owned()
    }

    /// The end of what the daemon logged.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Sends a request that may fail because the daemon is killed meanwhile.
    ///
    /// # Errors
    /// As [`http::request`].
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> std::io::Result<Answer> {
        let body = body.map(Value::to_string);
        http::request(&self.socket(), method, path, body.as_deref())
    }

    /// Sends a request.
    ///
    /// # Panics
    /// There is no answer, or it is a 5xx.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(Value::to_string);
        self.request_text(method, path, text.as_deref())
    }

    /// Sends a request whose body may be anything. The answer must be as the API is described.
    ///
    /// # Panics
    /// As [`Self::request`].
    #[track_caller]
    pub fn request_text(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        let answer = http::request(&self.socket(), method, path, body);
        let answer =
            answer.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log_tail()));
        assert!(
            answer.status < 500,
            "{method} {path}: {answer:?}\n{}",
            self.log_tail()
        );
        if self.binary == binary::monopod() {
            let described = Document::of_binary().check(method, path, &answer);
            described.unwrap_or_else(|problem| panic!("not as the API is described: {problem}"));
        }
        answer
    }

    /// Adds a pod.
    #[track_caller]
    pub fn add(&self, pod: &Value) {
        let answer = self.request("POST", "/v2/pods", Some(pod));
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// Adds a pod and waits until it is stable; gives its status.
    #[track_caller]
    pub fn launch(&self, pod: &Value) -> Value {
        self.add(pod);
        self.wait_until_stable(pod["id"].as_str().unwrap())
    }

    /// Waits until the pod is stable with all its instances running and no deployment under way.
    #[track_caller]
    pub fn wait_until_stable(&self, id: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let status = self.status(id);
            if is_settled(&status) && self.deployments().is_empty() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{id} is not stable: {status:#}\n{}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The pod's status; null if there is no such pod.
    #[track_caller]
    pub fn status(&self, id: &str) -> Value {
        let answer = self.request("GET", &format!("/v2/pods{id}::status"), None);
        if answer.status == 404 {
            Value::Null
        } else {
            answer.json()
        }
    }

    /// Running deployments.
    #[track_caller]
    pub fn deployments(&self) -> Vec<Value> {
        let answer = self.request("GET", "/v2/deployments", None).json();
        answer.as_array().cloned().unwrap_or_default()
    }

    /// Removes a pod and waits until nothing of it is left.
    #[track_caller]
    pub fn remove(&self, id: &str) {
        let answer = self.request("DELETE", &format!("/v2/pods{id}?force=true"), None);
        assert_eq!(answer.status, 202, "{}", answer.body);
        wait_for(&format!("{id} is gone"), SOON, || {
            self.status(id).is_null().then_some(())
        });
    }

    /// What a container of the pod's latest run wrote to `stdout` or `stderr` so far.
    pub fn log_of(&self, id: &str, container: &str, stream: &str) -> String {
        let path = format!("/v2/pods{id}::logs?container={container}&stream={stream}");
        let answer = self.request("GET", &path, None);
        if answer.status == 200 {
            answer.body
        } else {
            String::new()
        }
    }

    /// Waits until a container wrote a line that `accept` takes.
    #[track_caller]
    pub fn wait_for_line(
        &self,
        id: &str,
        container: &str,
        accept: impl Fn(&str) -> bool,
    ) -> String {
        wait_for(&format!("a line of {container} of {id}"), SOON, || {
            let log = self.log_of(id, container, "stdout");
            let complete = log
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            complete
                .map(str::trim_end)
                .find(|line| accept(line))
                .map(str::to_owned)
        })
    }

    /// Waits for the probe's report.
    #[track_caller]
    pub fn report(&self, id: &str, container: &str) -> Value {
        let line = self.wait_for_line(id, container, |line| line.starts_with('{'));
        serde_json::from_str(&line).unwrap()
    }

    /// Runs the command line against this daemon.
    pub fn monopod(&self, arguments: &[&str]) -> Output {
        Command::new(binary::monopod())
            .arg("--run-dir")
            .arg(self.run_dir())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Imports the probe's image, see [`pods::IMAGE`].
    #[track_caller]
    pub fn import_probe(&self) {
        let layout = image::oci_layout(&self.directory, pods::IMAGE, image::Says::default());
        let body = json!({"path": layout, "name": pods::IMAGE});
        let answer = self.request("POST", "/v2/images", Some(&body));
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// All processes of pods, executors among them.
    pub fn processes(&self) -> BTreeSet<Process> {
        kernel::processes(&self.cgroup_parent)
    }

    /// Processes of containers, without executors.
    pub fn container_processes(&self) -> BTreeSet<Process> {
        self.processes()
            .into_iter()
            .filter(|process| process.cgroup.matches('/').count() >= 1 && !process.is_of_executor())
            .collect()
    }

    /// Executors.
    pub fn executors(&self) -> BTreeSet<Process> {
        self.processes()
            .into_iter()
            .filter(Process::is_executor)
            .collect()
    }
}

/// Whether the pod is stable and has exactly the instances it should, all running.
pub fn is_settled(status: &Value) -> bool {
    let instances = status["instances"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    status["status"] == "STABLE"
        && status["spec"]["scaling"]["instances"] == json!(instances.len())
        && instances
            .iter()
            .all(|instance| instance["status"] == "STABLE")
}
