//! The end of all pods: gracefully, then by force.

use std::{
    collections::BTreeSet,
    os::fd::OwnedFd,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tracing::{info, warn};

use super::{KeeperError, Record};
use crate::{
    cgroup::Cgroups,
    containerizer::{identity_file, names_in, process, process::Identity},
    layout::{Layout, RunDir},
    sys::signals,
};

/// How long processes may take to end after SIGKILL.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How pods ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Executors that were asked to stop their pods.
    pub asked: usize,
    /// Cgroups that had to be killed, because their pods did not stop in time.
    pub killed: usize,
}

/// Ends every pod of the daemon with this run directory: asks each executor to stop its pod, waits up to `grace` until
/// none is left, kills what is, and removes their cgroups. Journals stay for the daemon to read. The daemon must not
/// run: it would launch the pods again.
///
/// # Errors
/// Something cannot be read, or outlives SIGKILL.
pub fn stop(run_dir: &Path, parent: &str, grace: Duration) -> Result<Stopped, KeeperError> {
    let cgroups = Cgroups::detect()?;
    let deadline = Instant::now() + grace;
    let executors = ask(run_dir, parent, &cgroups)?;
    let mut emptied = cgroups.wait_empty(parent, deadline)?;
    // One that was just spawned may not have been in its cgroup yet.
    for executor in &executors {
        emptied &= process::reap(executor, deadline);
    }
    if !emptied {
        let seconds = grace.as_secs();
        warn!(seconds, "not all pods stopped in time; they are killed");
        executors.iter().for_each(process::kill);
    }
    let killed = destroy(&cgroups, parent)?;
    Record::remove(run_dir);
    let asked = executors.len();
    Ok(Stopped { asked, killed })
}

/// Sends SIGTERM to every executor. It stops its pod as a kill by the API would, with each container's grace period.
fn ask(run_dir: &Path, parent: &str, cgroups: &Cgroups) -> Result<Vec<OwnedFd>, KeeperError> {
    let layout = Layout {
        state_dir: Path::new("/").into(),
        run_dir: run_dir.to_owned(),
    };
    let runs = layout.runs();
    let mut names: BTreeSet<String> = cgroups.children(parent)?;
    names.extend(names_in(&runs).map_err(KeeperError::io("read", &runs))?);
    let mut asked = Vec::new();
    for name in names {
        let dir = RunDir(runs.join(&name));
        let cgroup = format!("{parent}/{name}/executor");
        let Some(executor) = executor(&dir, &cgroup, cgroups) else {
            continue;
        };
        info!(run.id = name, "asks an executor to stop its pod");
        // One that has ended meanwhile needs not be asked.
        if signals::send(&executor, Signal::SIGTERM as i32).is_ok() {
            asked.push(executor);
        }
    }
    Ok(asked)
}

/// By its recorded process id, else the oldest process in its cgroup.
fn executor(dir: &RunDir, cgroup: &str, cgroups: &Cgroups) -> Option<OwnedFd> {
    if let Some(recorded) = Identity::recorded(&identity_file(dir)) {
        return recorded.open();
    }
    let pids = cgroups.procs(cgroup).ok()?;
    let found = pids.into_iter().filter_map(Identity::of);
    found
        .min_by_key(|identity| (identity.start_ticks, identity.pid))?
        .open()
}

/// Removes every cgroup below the parent, with what is left in it; tells how many had something left.
fn destroy(cgroups: &Cgroups, parent: &str) -> Result<usize, KeeperError> {
    let deadline = Instant::now() + END_PATIENCE;
    let mut killed = 0;
    for name in cgroups.children(parent)? {
        let path = format!("{parent}/{name}");
        killed += usize::from(!cgroups.procs(&path)?.is_empty());
        cgroups.destroy(&path, deadline)?;
    }
    Ok(killed)
}
