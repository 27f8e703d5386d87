//! A [`Guest`] is a small Debian with systemd and cgroup v2 in an emulated machine: what a user's host is like.
//!
//! It is for meaning, not for speed: everything is 7 to 25 times slower inside, so tests wait for conditions with long
//! deadlines and assert no durations. Its disk outlives [`Guest::reboot`] and [`Guest::power_cut`], and is gone when
//! the `Guest` is dropped. No network is needed to drive it.
//!
//! `MONOPOD_GUEST_SUITE` chooses the Debian: `trixie` (the default: kernel 6.12, systemd 257) or `bookworm` (6.1, 252).
//! `MONOPOD_GUEST_ACCEL` is qemu's accelerator: `tcg` (the default, which works everywhere) or `kvm`.

mod image;
mod link;
mod machine;
mod programs;
mod service;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

pub use image::{Image, suite};
pub use link::Outcome;
use link::{Kind, Link};
use machine::Machine;
pub use machine::PowerSwitch;
pub use programs::test_binary;
pub use service::marked_pod;

use crate::http::{self, Answer};

/// How long a thing that takes a moment may take inside a guest on a busy machine.
pub const SOON: Duration = Duration::from_secs(180);
/// How long a guest may take from its start to the end of systemd's.
const BOOT: Duration = Duration::from_secs(400);
/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(300);
/// How often a guest is asked again; a question costs it some milliseconds of work.
const INTERVAL: Duration = Duration::from_millis(200);
/// Where the daemon listens.
const SOCKET: &str = "/run/monopod/monopod.sock";

static COUNT: AtomicU32 = AtomicU32::new(0);
/// Two emulated machines at once are slower than one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An emulated machine with a disk of its own.
///
/// It ends with the thread that started it, so that no qemu outlives a test that was killed.
#[derive(Debug)]
pub struct Guest {
    directory: PathBuf,
    image: Image,
    running: Option<(Machine, Link)>,
    _turn: MutexGuard<'static, ()>,
}

impl Guest {
    /// Boots a new guest from the image; `None`, said loudly, where none can be had.
    ///
    /// # Panics
    /// The image could not be built, or the guest does not boot.
    pub fn start() -> Option<Self> {
        let image = Image::find_or_build()?;
        // Poisoned by a test that failed, which is no reason for the next one to fail too.
        let turn = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut guest = Self {
            directory: machine::new_directory(COUNT.fetch_add(1, Ordering::Relaxed)),
            image,
            running: None,
            _turn: turn,
        };
        machine::make_disk(&guest.directory, &guest.image);
        guest.boot();
        Some(guest)
    }

    /// Starts the machine on the disk as it is and waits until systemd has started everything.
    ///
    /// # Panics
    /// It does not within minutes.
    pub fn boot(&mut self) {
        assert!(self.running.is_none(), "the guest runs already");
        let (machine, port) = Machine::start(&self.directory, &self.image);
        self.running = Some((machine, Link::new(port)));
        let state = self
            .link()
            .wait_until_ready(BOOT)
            .and_then(|()| self.try_run(&["systemctl", "is-system-running", "--wait"], BOOT));
        match state.as_ref().map(|outcome| outcome.stdout.trim()) {
            Ok("running" | "degraded") => {}
            _ => panic!("the guest did not boot: {state:?}"),
        }
    }

    /// Shuts the guest down as `systemctl reboot` does and boots it again.
    ///
    /// # Panics
    /// It does not within minutes.
    pub fn reboot(&mut self) {
        // Its answer may get lost in the shutdown.
        let _ = self.try_run(&["systemctl", "reboot"], COMMAND);
        let (mut machine, _link) = self.running.take().expect("a guest that runs");
        machine.wait_until_ended(BOOT);
        self.boot();
    }

    /// The power goes: what the guest did not sync is lost. [`Self::boot`] follows.
    pub fn power_cut(&mut self) {
        if let Some((mut machine, _link)) = self.running.take() {
            machine.kill();
        }
    }

    /// What cuts the power while others use the guest; [`Self::power_cut`] follows.
    pub fn power_switch(&self) -> PowerSwitch {
        let (machine, _) = self.running.as_ref().expect("a guest that runs");
        machine.power_switch()
    }

    fn link(&self) -> &Link {
        &self.running.as_ref().expect("a guest that runs").1
    }

    /// Runs a command as root.
    ///
    /// # Errors
    /// The guest went away, or the command took longer than `limit` and was killed.
    pub fn try_run(&self, command: &[&str], limit: Duration) -> io::Result<Outcome> {
        self.link().run(command, &[], limit)
    }

    /// Runs a command as root.
    ///
    /// # Panics
    /// The guest went away, or the command takes minutes.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Outcome {
        self.try_run(command, COMMAND)
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Runs a shell script as root.
    ///
    /// # Panics
    /// As [`Self::run`].
    #[track_caller]
    pub fn sh(&self, script: &str) -> Outcome {
        self.run(&["bash", "-c", script])
    }

    /// What a shell script prints.
    ///
    /// # Panics
    /// Its status is not 0; or as [`Self::run`].
    #[track_caller]
    pub fn check(&self, script: &str) -> String {
        let outcome = self.sh(script);
        assert_eq!(outcome.status, 0, "{script}: {outcome:#?}");
        outcome.stdout.trim_end().to_owned()
    }

    /// Waits until a shell script ends with 0; gives what it printed.
    ///
    /// # Panics
    /// After `limit`, naming what was waited for and what the script said last.
    #[track_caller]
    pub fn wait_until(&self, what: &str, limit: Duration, script: &str) -> String {
        let mut last = None;
        let deadline = std::time::Instant::now() + limit;
        while std::time::Instant::now() < deadline {
            let outcome = self.sh(script);
            if outcome.status == 0 {
                return outcome.stdout.trim_end().to_owned();
            }
            last = Some(outcome);
            std::thread::sleep(INTERVAL);
        }
        panic!("{what}: not so within {limit:?}: {last:#?}");
    }

    /// Copies a file of the host into the guest; its directory is made.
    ///
    /// # Panics
    /// It cannot.
    #[track_caller]
    pub fn put(&self, file: &Path, path: &str, mode: u32) {
        let content = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.write(&content, path, mode);
    }

    /// Makes a file in the guest.
    ///
    /// # Panics
    /// It cannot.
    #[track_caller]
    pub fn write(&self, content: &[u8], path: &str, mode: u32) {
        let script =
            r#"mkdir -p "${1%/*}/" && cat >"$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1""#;
        let mode = format!("{mode:o}");
        let command = ["sh", "-c", script, "sh", path, &mode];
        let outcome = self.link().run(&command, content, COMMAND);
        let outcome = outcome.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(outcome.status, 0, "{path}: {outcome:#?}");
    }

    /// What is in a file of the guest.
    ///
    /// # Panics
    /// There is none, or it is no text.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        let outcome = self.run(&["cat", path]);
        assert_eq!(outcome.status, 0, "{path}: {outcome:#?}");
        outcome.stdout
    }

    /// Sends a request to the daemon's Unix socket.
    ///
    /// # Errors
    /// The daemon is not there, or it or the guest went away before the answer was complete.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let body = body.map(Value::to_string);
        let message = http::message(method, path, body.as_deref());
        let answer =
            self.link()
                .exchange(Kind::Socket, SOCKET.as_bytes(), message.as_bytes(), SOON)?;
        http::parse(answer.stdout.as_bytes()).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// A number that is another one after each boot.
    #[track_caller]
    pub fn boot_id(&self) -> String {
        self.read("/proc/sys/kernel/random/boot_id")
            .trim()
            .to_owned()
    }

    /// Where files of the test that are to vanish with the guest can be on the host.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What there is to say about a failure.
    fn tell_all(&self) {
        eprintln!("the console ends:\n{}", machine::console(&self.directory));
        if let Some((_, link)) = &self.running {
            let script = "systemctl --failed --no-pager; systemctl status --no-pager -n 0 'monopod*'; journalctl -b --no-pager -n 120 -u 'monopod*' -o short-precise";
            match link.run(&["sh", "-c", script], &[], Duration::from_secs(60)) {
                Ok(outcome) => eprintln!("the guest says:\n{}{}", outcome.stdout, outcome.stderr),
                Err(error) => eprintln!("the guest says nothing: {error}"),
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell_all();
        }
        self.power_cut();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Boots a guest, or ends the test early where none can be had.
#[macro_export]
macro_rules! guest {
    () => {
        match $crate::guest::Guest::start() {
            Some(guest) => guest,
            None => return,
        }
    };
}
