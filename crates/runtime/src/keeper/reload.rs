//! The keeper's upgrade, and its return after it died.

use std::{
    ffi::OsString,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
};

use super::{KeeperError, Record};
use crate::{cgroup::Cgroups, containerizer::process::Identity, sys::signals};

/// How long a keeper may take until its subtree is prepared.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest single wait, for what no file tells: the end of the process.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The keeper executed itself anew.
    Anew(Record),
    /// There was none; one was started, which is to be told to systemd as the unit's main process.
    Started(Record),
}

/// Has the keeper execute itself anew, or starts one as this process's child where it died. To be called from within
/// the unit's cgroup. Returns once the subtree is prepared.
///
/// # Errors
/// No keeper answers in time.
pub fn reload(
    run_dir: &Path,
    executable: &Path,
    arguments: &[OsString],
) -> Result<Reloaded, KeeperError> {
    let record = Record::current(run_dir, &Cgroups::detect()?)?;
    let changes = watch(run_dir)?;
    match record
        .as_ref()
        .and_then(|record| Some((record, record.identity().open()?)))
    {
        Some((record, pidfd)) => anew(run_dir, record, &pidfd, &changes).map(Reloaded::Anew),
        None => start(run_dir, executable, arguments, &changes).map(Reloaded::Started),
    }
}

fn anew(
    run_dir: &Path,
    before: &Record,
    pidfd: &OwnedFd,
    changes: &OwnedFd,
) -> Result<Record, KeeperError> {
    let unresponsive = || KeeperError::Unresponsive { pid: before.pid };
    signals::send(pidfd, Signal::SIGHUP as i32).map_err(|_| unresponsive())?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && before.identity().is_alive() {
        let now = Record::read(run_dir)?;
        if let Some(now) = now.filter(|now| now.executions > before.executions) {
            return Ok(now);
        }
        wait_for_change(changes);
    }
    Err(unresponsive())
}

fn start(
    run_dir: &Path,
    executable: &Path,
    arguments: &[OsString],
    changes: &OwnedFd,
) -> Result<Record, KeeperError> {
    let mut keeper = spawn(executable, arguments).map_err(KeeperError::io("start", executable))?;
    let pid = i32::try_from(keeper.id()).unwrap_or_default();
    let identity = Identity::of(pid);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !matches!(keeper.try_wait(), Ok(Some(_))) {
        let now = Record::read(run_dir)?;
        if let Some(now) = now.filter(|now| Some(now.identity()) == identity) {
            return Ok(now);
        }
        wait_for_change(changes);
    }
    Err(KeeperError::Unresponsive { pid })
}

/// Outlives this process; what it logs goes where this process logs.
fn spawn(executable: &Path, arguments: &[OsString]) -> std::io::Result<Child> {
    Command::new(executable)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .env_remove("NOTIFY_SOCKET")
        .spawn()
}

fn watch(run_dir: &Path) -> Result<OwnedFd, KeeperError> {
    let failed = |errno: rustix::io::Errno| KeeperError::io("watch", run_dir)(errno.into());
    crate::containerizer::make_run_dir(run_dir).map_err(KeeperError::io("make", run_dir))?;
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let changes = inotify::init(flags).map_err(failed)?;
    inotify::add_watch(&changes, run_dir, inotify::WatchFlags::MOVED_TO).map_err(failed)?;
    Ok(changes)
}

fn wait_for_change(changes: &OwnedFd) {
    let timeout = Timespec::try_from(LOOK_AGAIN).ok();
    let _ = poll(&mut [PollFd::new(changes, PollFlags::IN)], timeout.as_ref());
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(changes, &mut buffer);
    while events.next().is_ok() {}
}
