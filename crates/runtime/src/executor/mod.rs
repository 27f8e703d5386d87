//! The executor: one process per run, inside the pod's namespaces, parent of the pod's containers.
//!
//! ```text
//! be_born ─► journal begins ─► set_up ─► EventLoop ─► depart
//! (birth)    (from here on      (surroundings)  (event_loop, over crate::pod)  (departure)
//!             the run counts)
//! ```
//!
//! It has one thread for all its life: libcontainer forks without exec, which is safe only then. What changes a
//! process for good happens in forked children ([`crate::container`]). It decides nothing itself: what happens
//! goes into [`crate::pod`], and what comes out is done.
//!
//! Start with [`main`], then `event_loop`.
//!
//! # Where libcontainer's traps have their remedies
//!
//! Numbers are those of the list that was measured with libcontainer 0.7.0.
//!
//! | trap | remedy |
//! |---|---|
//! | 1 exec'd processes run unfiltered and as root | none is made yet; `container::payload` serves for them, too |
//! | 2 an empty `HOME` asks the image's NSS libraries | `spec` always sets it; `user` parses the image's files itself |
//! | 3 supplementary groups leak | `birth` drops them; `spec` always passes the primary one |
//! | 4 `noNewPrivileges: false` with seccomp fails | `spec` always sets it; the filter is loaded by `container::payload` |
//! | 5 no new session keyring | `birth` for the executor, `container::create` for each container |
//! | 6 devices are allowed by default | `cgroup::devices` has a list of its own; the specification names none |
//! | 7 `LISTEN_FDS` is honoured | `birth` clears the environment |
//! | 8 the executable check looks at others' bit only | `container::command` asks the kernel, as the user |
//! | 9 ignored and blocked signals are inherited | `container::payload` resets all right before exec |
//! | 10 umask, nice, OOM score, limits are inherited | `birth` resets them; `spec` sets umask, OOM score and limits. Affinity is kept: whoever pins the daemon means its pods |
//! | 11 `build` changes its process for good | it runs in a forked child (`container::create`) |
//! | 12 closed standard descriptors | `birth` opens them on `/dev/null` |
//! | 13 created containers hold the caller's descriptors | the creating child closes all but its own; `vessel` closes the writing ends before the next fork |
//! | 14 a failed create leaks descriptors and zombies | they end with the forked child; `event_loop` waits for every child |
//! | 15 an unreaped zombie keeps a PID namespace alive | the same: every child is waited for at once |
//! | 16 sockets of execs stay | none is made yet; the whole state is on a tmpfs that ends with the executor |
//! | 17 a created container ignores all but SIGKILL | `pod` destroys what was not started; `vessel` looks before it sends |
//! | 18 `kill` makes the state file lie | it is never called; `container::start` records that a container runs |
//! | 19 a process id may be another's by now | signals go through pidfds; ids are used only for children not waited for |
//! | 20 pausing under a quota is slow | nothing is paused |
//! | 21 `delete` fails on cgroups of the payload's own | it is never called; `departure` destroys the run's cgroups recursively |
//! | 22 `events` prints, `stats` is slow | never called; `cgroup` reads files |
//! | 23 no notice of memory kills | `event_loop` reads the container's own counter at its end |
//! | 24, 25 tiny process and memory limits break create | `cgroup` raises them |
//! | 26 a cpu quota throttles the creation | the quota is set once the command runs |
//! | 27 tiny resource limits break create | `spec` sets none that is tiny |
//! | 28 a strict filter breaks libcontainer | the filter is loaded right before exec |
//! | 29 a failed exec is an exit status 255 | the status pipe tells the reason; its end without one means exec |
//! | 30 propagation options of binds are ignored | all mounts here are slaves of the host's, which is what is wanted |
//! | 31 a joined UTS namespace keeps its name | `surroundings` sets the name when it makes the namespace |
//! | 32 mount points are made in the root filesystem | in the writable layer, which is the run's own; a read-only host root must have them |

mod birth;
mod connection;
mod departure;
mod event_loop;
mod loss;
mod surroundings;
mod vessel;
mod wakeups;

use std::{fs, io, path::PathBuf, process::ExitCode};

pub use birth::BirthError;
pub use surroundings::SurroundingsError;

use birth::Born;
use event_loop::{EventLoop, Means};

use crate::{
    cgroup::{CgroupError, Cgroups},
    container::report::chain,
    journal::{Header, Journal, JournalError},
    launch::Launch,
    layout::RunDir,
    pod::{Action, Event, Pod},
    sys::{seccomp::Filter, socket},
};

/// Why an executor ended without having seen its run to the end.
#[derive(Debug, thiserror::Error)]
enum ExecutorError {
    #[error("become an executor")]
    Birth { source: BirthError },
    #[error("begin the run")]
    Journal { source: JournalError },
    #[error("find the host's cgroups")]
    Cgroups { source: CgroupError },
    #[error("wait for what happens")]
    Loop { source: io::Error },
}

/// Why a run's surroundings are not there.
#[derive(Debug, thiserror::Error)]
enum SetUpError {
    #[error("prepare the pod")]
    Surroundings { source: SurroundingsError },
    #[error("read the system call filter {path}")]
    Filter { path: PathBuf, source: io::Error },
    #[error("listen on {path}")]
    Socket { path: PathBuf, source: io::Error },
}

/// Runs an executor until its pod is over. To be called first thing in a process without threads, with the
/// launch message on descriptor 3 and the run's held lock on descriptor 4.
///
/// Succeeds whenever the journal tells how the run went, however that was.
pub fn main() -> ExitCode {
    let born = birth::be_born().map_err(|source| ExecutorError::Birth { source });
    match born.and_then(live) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn live(born: Born) -> Result<(), ExecutorError> {
    let Born {
        launch,
        proof,
        parent,
        lock,
    } = born;
    let run_dir = RunDir(launch.run_dir.clone());
    let header = Header {
        version: launch.version,
        run: launch.run,
    };
    let journal = Journal::create(&run_dir.journal(), header)
        .map_err(|source| ExecutorError::Journal { source })?;
    let cgroups = Cgroups::detect().map_err(|source| ExecutorError::Cgroups { source })?;
    let paths = launch.cgroups.clone();
    match set_up(&launch, &cgroups) {
        Ok((workplace, filter, listener)) => {
            let means = Means {
                launch,
                proof,
                parent,
                cgroups: cgroups.clone(),
                workplace,
                listener,
                journal,
                filter,
            };
            EventLoop::new(means)
                .and_then(EventLoop::run)
                .map_err(|source| ExecutorError::Loop { source })?;
        }
        Err(error) => tell_not_set_up(&launch, journal, &format!("failed to {}", chain(&error))),
    }
    for error in departure::depart(&cgroups, &paths) {
        eprintln!("failed to {}", chain(&error));
    }
    // Released only now: a free lock means that the run is over.
    drop(lock);
    Ok(())
}

type Surroundings = (
    crate::container::create::Workplace,
    Option<Filter>,
    std::os::unix::net::UnixListener,
);

fn set_up(launch: &Launch, cgroups: &Cgroups) -> Result<Surroundings, SetUpError> {
    let filter = read_filter(launch)?;
    let path = RunDir(launch.run_dir.clone()).socket();
    let listener = socket::listen(&path).map_err(|source| SetUpError::Socket { path, source })?;
    let workplace = surroundings::make(launch, cgroups)
        .map_err(|source| SetUpError::Surroundings { source })?;
    Ok((workplace, filter, listener))
}

fn read_filter(launch: &Launch) -> Result<Option<Filter>, SetUpError> {
    let path = &launch.seccomp_program;
    if path.as_os_str().is_empty() || !launch.containers.iter().any(|container| container.seccomp) {
        return Ok(None);
    }
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let bytes = fs::read(path).and_then(|bytes| Filter::from_bytes(&bytes).ok_or_else(invalid));
    bytes.map(Some).map_err(|source| SetUpError::Filter {
        path: path.clone(),
        source,
    })
}

/// Writes into the journal that every container failed: the daemon finds it there, as of every dead run.
fn tell_not_set_up(launch: &Launch, mut journal: Journal, message: &str) {
    let now = event_loop::moment(std::time::Instant::now());
    let (mut pod, mut actions) = Pod::begin(event_loop::plan(launch), now);
    let message = message.to_owned();
    actions.extend(pod.handle(Event::NotSetUp { message }, now));
    for action in actions {
        if let Action::Report(update) = action
            && let Err(error) = journal.append(&update)
        {
            eprintln!("failed to {}", chain(&error));
        }
    }
}
