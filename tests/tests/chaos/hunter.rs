//! Executors that die, or stand still for a while, at a random moment of their birth.
//!
//! The library that makes weather does not reach them: they are started with an empty environment.

use std::{
    fs,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use e2e::{kernel::Process, random::Random};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    process::Signal,
};
use serde_json::Value;

/// An executor is hit so many microseconds after its run directory was made at the latest.
const LATEST_US: u64 = 40_000;

/// One that stands still goes on after so many milliseconds at the latest.
const LONGEST_STOP_MS: u64 = 200;

/// A run whose executor was not spawned within this time has none to be hit.
const BORN_WITHIN: Duration = Duration::from_millis(100);

/// Looks for new runs until it is called back.
pub(crate) struct Hunter {
    called_back: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Hunter {
    /// Hits about every second executor that is born below this directory of runs.
    pub(crate) fn send_out(runs: PathBuf, random: Random) -> Self {
        let called_back = Arc::new(AtomicBool::new(false));
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
        // Before any request is sent, so that none is missed; a host may have no watch left.
        let watch = watch.and_then(|watch| {
            inotify::add_watch(&watch, &runs, inotify::WatchFlags::CREATE)?;
            Ok(watch)
        });
        let told = Arc::clone(&called_back);
        let thread = std::thread::spawn(move || match watch {
            Ok(watch) => hunt(&watch, &runs, random, &told),
            Err(error) => {
                eprintln!("no executor is hit in this round: {error}");
                0
            }
        });
        Self {
            called_back,
            thread,
        }
    }

    /// Calls it back; gives how many executors it hit. None stands still any more.
    pub(crate) fn call_back(self) -> u32 {
        self.called_back.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn hunt(watch: &OwnedFd, runs: &Path, mut random: Random, called_back: &AtomicBool) -> u32 {
    let mut hits = 0;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let tick = Timespec::try_from(Duration::from_millis(10)).unwrap();
    while !called_back.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&tick));
        let mut reader = inotify::Reader::new(watch.as_fd(), &mut buffer);
        // Where launches fail, runs come as fast as they are looked at: it may be called back among them.
        while !called_back.load(Ordering::Relaxed)
            && let Ok(event) = reader.next()
        {
            let made = event.file_name().and_then(|name| name.to_str().ok());
            if let Some(run) = made.filter(|_| random.below(2) == 0) {
                hits += u32::from(hit(&runs.join(run), &mut random));
            }
        }
    }
    hits
}

/// Whether there was one to hit.
fn hit(run: &Path, random: &mut Random) -> bool {
    let made = Instant::now();
    let moment = Duration::from_micros(random.below(LATEST_US));
    let Some(executor) = born(run, made + BORN_WITHIN) else {
        return false;
    };
    std::thread::sleep(moment.saturating_sub(made.elapsed()));
    if random.below(4) == 0 {
        executor.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(random.below(LONGEST_STOP_MS)));
        executor.signal(Signal::CONT);
    } else {
        executor.kill();
    }
    true
}

/// Waits for the executor whose process id the daemon records.
fn born(run: &Path, deadline: Instant) -> Option<Process> {
    while Instant::now() < deadline {
        if let Some(executor) = recorded(run) {
            return Some(executor);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    None
}

fn recorded(run: &Path) -> Option<Process> {
    let text = fs::read(run.join("executor.pid")).ok()?;
    let identity: Value = serde_json::from_slice(&text).ok()?;
    Some(Process {
        pid: i32::try_from(identity["pid"].as_i64()?).ok()?,
        start_time: identity["start_ticks"].as_u64()?,
        leads_session: true,
        cgroup: run.file_name()?.to_str()?.to_owned(),
    })
}
