//! Executors of other versions under this daemon: an old one that is played by literal bytes alone, and ones that
//! nothing is spoken with.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use e2e::{
    host::{Host, SOON},
    kernel::Process,
    needs_root, pods, wait_for,
};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

/// An executor without containers: a process that holds the run's lock, and a socket that this test answers.
struct Peer {
    child: Child,
    listener: UnixListener,
    run: String,
}

impl Peer {
    /// Takes the place of the only run's executor, which is killed with its containers. The daemon must not run.
    fn take_over(host: &Host) -> Self {
        let directory = only_run(host);
        host.executors().iter().for_each(Process::kill);
        wait_for("the executor's end", SOON, || {
            host.processes().is_empty().then_some(())
        });
        let run = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let lock = lock(&directory.join("run.lock"));
        // It inherits the lock and holds it as long as it lives.
        let child = Command::new("sleep").arg("100000").stdin(lock).spawn();
        let child = child.unwrap();
        let record = format!(
            r#"{{"pid":{},"start_ticks":{}}}"#,
            child.id(),
            start_ticks(child.id())
        );
        fs::write(directory.join("executor.pid"), record).unwrap();
        let journal = format!("{{\"version\":1,\"run\":\"{run}\"}}\n");
        fs::write(directory.join("journal"), journal).unwrap();
        let socket = directory.join("executor.sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            child,
            listener,
            run,
        }
    }

    /// The daemon's next connection, its hello read.
    fn accept(&self) -> Conversation {
        let accepted = || self.listener.accept().ok();
        let (stream, _) = wait_for("the daemon to connect", SOON, accepted);
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut conversation = Conversation(BufReader::new(stream));
        let hello = conversation.hear();
        assert_eq!(hello["verb"], "hello");
        assert!(hello["version"].as_u64() >= Some(1), "{hello}");
        conversation
    }

    /// Says hello with these members, and says who it is.
    fn greet(&self, conversation: &mut Conversation, versions: &str) {
        let (run, pid) = (&self.run, self.child.id());
        conversation.say(&format!(
            r#"{{"verb":"hello",{versions},"run":"{run}","pid":{pid}}}"#
        ));
    }

    /// An update as version 1 writes it.
    fn update(&self, sequence: u64, state: &str, reason: &str, exit: &str) -> String {
        let run = &self.run;
        format!(
            r#"{{"verb":"update","run":"{run}","sequence":{sequence},"at":"2026-11-28T19:50:00.000Z","container":"c","state":"{state}","reason":{reason},"message":"","exit":{exit},"healthy":null}}"#
        )
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

struct Conversation(BufReader<UnixStream>);

impl Conversation {
    fn say(&mut self, line: &str) {
        writeln!(self.0.get_mut(), "{line}").unwrap();
    }

    #[track_caller]
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// Reads acknowledgements up to this one.
    fn wait_until_acknowledged(&mut self, sequence: u64) {
        loop {
            let heard = self.hear();
            assert_eq!(heard["verb"], "acknowledge", "{heard}");
            if heard["sequence"] == sequence {
                return;
            }
        }
    }
}

fn only_run(host: &Host) -> PathBuf {
    let runs = fs::read_dir(host.run_dir().join("runs")).unwrap();
    let runs: Vec<_> = runs.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

fn lock(path: &Path) -> Stdio {
    let file = File::options().read(true).write(true).open(path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file.into()
}

fn start_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(19).unwrap().parse().unwrap()
}

/// A host whose daemon is dead and whose only pod `/old` has a peer as its executor.
fn host_with_peer() -> (Host, Peer) {
    let mut host = Host::start();
    let container = pods::shell_container("c", "exec sleep 100000");
    host.launch(&pods::pod("/old", &[container]));
    host.kill_daemon();
    let peer = Peer::take_over(&host);
    (host, peer)
}

fn ask_for_removal(host: &Host) {
    let answer = host.request("DELETE", "/v2/pods/old?force=true", None);
    assert_eq!(answer.status, 202, "{}", answer.body);
}

fn wait_until_removed(host: &Host) {
    wait_for("the pod's end", SOON, || {
        host.status("/old").is_null().then_some(())
    });
    host.wait_until_clean();
}

#[test]
fn an_executor_of_version_1_is_taken_over_and_obeys() {
    needs_root!();
    let (mut host, mut peer) = host_with_peer();
    host.start_daemon();
    // Connections end at bad moments; what was not acknowledged is told again.
    let mut daemon = peer.accept();
    peer.greet(&mut daemon, r#""version":1"#);
    daemon.say(&peer.update(3, "TASK_RUNNING", "null", "null"));
    drop(daemon);
    let mut daemon = peer.accept();
    peer.greet(&mut daemon, r#""version":1"#);
    daemon.say(&peer.update(3, "TASK_RUNNING", "null", "null"));
    daemon.wait_until_acknowledged(3);
    daemon.say(r#"{"verb":"unsupported"}"#);
    let status = host.wait_until_stable("/old");
    assert_eq!(status["instances"].as_array().map(Vec::len), Some(1));
    assert!(peer.is_alive());

    ask_for_removal(&host);
    let kill = json!({"verb": "kill", "reason": "REASON_KILL_REQUESTED", "grace_ms": null});
    // What was told twice is acknowledged twice.
    let told = std::iter::repeat_with(|| daemon.hear()).find(|told| told["verb"] != "acknowledge");
    assert_eq!(told, Some(kill));
    daemon.say(&peer.update(4, "TASK_KILLING", "\"REASON_KILL_REQUESTED\"", "null"));
    let exit = r#"{"signaled":15}"#;
    daemon.say(&peer.update(5, "TASK_KILLED", "\"REASON_KILL_REQUESTED\"", exit));
    daemon.wait_until_acknowledged(5);
    assert!(peer.is_alive(), "it ends by itself");
    peer.end();
    wait_until_removed(&host);
}

#[test]
fn an_executor_that_speaks_nothing_known_is_left_running_and_can_be_stopped() {
    needs_root!();
    let cases = [
        (r#""version":0"#, "the other side speaks 1 to 0"),
        (
            r#""version":99,"oldest":98"#,
            "the other side speaks 98 to 99",
        ),
    ];
    for (versions, told) in cases {
        let (mut host, mut peer) = host_with_peer();
        // A restart changes nothing.
        for _ in 0..2 {
            host.start_daemon();
            let mut daemon = peer.accept();
            peer.greet(&mut daemon, versions);
            let mut rest = String::new();
            daemon.0.read_line(&mut rest).unwrap();
            assert_eq!(rest, "", "nothing is told, the connection is closed");
            wait_for("a clear line in the log", Duration::from_secs(10), || {
                let log = host.whole_log();
                (log.contains("cannot be talked to") && log.contains(told)).then_some(())
            });
            host.wait_until_stable("/old");
            assert!(peer.is_alive());
            host.kill_daemon();
        }
        host.start_daemon();
        let mut daemon = peer.accept();
        peer.greet(&mut daemon, versions);
        ask_for_removal(&host);
        let ended = || peer.child.try_wait().unwrap();
        let status = wait_for("the signal that stops it", SOON, ended);
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(status.signal(), Some(15));
        wait_until_removed(&host);
    }
}
