//! Removal of everything that monopod left on this host, for whoever no longer wants it.
//!
//! Pods are stopped gracefully first. Mounts are undone before a directory is removed, and a directory that still has
//! a mount in it is not entered. Everything may be gone already: a second cleanup finds nothing to do.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::mount::{UnmountFlags, unmount};

use crate::{
    cgroup::{CgroupError, Cgroups},
    containerizer::{lock, remove_tree},
    keeper::{self, KeeperError, Record},
    layout::Layout,
    mountinfo,
};

/// How long processes may take to end after SIGKILL.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// What to clean up.
#[derive(Clone, Debug)]
pub struct Cleanup {
    /// The daemon's directories.
    pub layout: Layout,
    /// Where pods live without a keeper.
    pub cgroup_parent: String,
    /// How long pods may take to stop.
    pub grace: Duration,
    /// Whether images, sandboxes, volumes and records go, too.
    pub state: bool,
}

/// Something that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Pods were stopped.
    Pods(keeper::Stopped),
    /// A cgroup.
    Cgroup(String),
    /// A mount.
    Mount(PathBuf),
    /// A directory with all it held.
    Directory(PathBuf),
}

/// Why something could not be cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// A daemon runs, and would make everything anew.
    #[error(
        "clean up {path}: a daemon (process {pid}) uses it; stop it first, by `systemctl stop monopod` where systemd \
         started it"
    )]
    InUse {
        /// What is locked.
        path: PathBuf,
        /// Who says to have it; empty if unknown.
        pid: String,
    },
    /// Pods could not be stopped.
    #[error("stop all pods")]
    Pods {
        /// Why.
        source: KeeperError,
    },
    /// A cgroup could not be removed.
    #[error("remove cgroup {path}")]
    Cgroup {
        /// Which.
        path: String,
        /// Why.
        source: CgroupError,
    },
    /// Something else.
    #[error("{action} {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What was removed, and what could not be.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In the order in which it went.
    pub removed: Vec<Removed>,
    /// What is still there.
    pub failures: Vec<CleanupError>,
}

impl Cleanup {
    /// Removes everything; goes on past failures.
    ///
    /// # Errors
    /// A daemon runs, or that cannot be told; nothing was removed then.
    pub fn run(&self) -> Result<Outcome, CleanupError> {
        let cgroups = Cgroups::detect().map_err(|source| CleanupError::Cgroup {
            path: self.cgroup_parent.clone(),
            source,
        })?;
        let Layout { state_dir, run_dir } = &self.layout;
        let parents = self.parents(&cgroups);
        // Held to the end, so that no daemon starts meanwhile.
        let claims = [claim(state_dir)?, claim(run_dir)?];
        for parent in &parents {
            unclaimed(&cgroups, parent)?;
        }
        let mut outcome = Outcome::default();
        for parent in &parents {
            self.stop_pods(&cgroups, parent, &mut outcome);
        }
        // Without an end of all processes nothing else may go: they may use it.
        if outcome.failures.is_empty() {
            let mut directories = vec![run_dir];
            directories.extend(self.state.then_some(state_dir));
            unmount_below(&[state_dir, run_dir], &mut outcome);
            for directory in directories {
                remove(directory, &mut outcome);
            }
        }
        drop(claims);
        Ok(outcome)
    }

    /// The cgroups that are there of those in which pods may be.
    fn parents(&self, cgroups: &Cgroups) -> Vec<String> {
        let kept = Record::current(&self.layout.run_dir, cgroups)
            .ok()
            .flatten();
        let mut parents = vec![self.cgroup_parent.clone()];
        parents.extend(kept.map(|record| record.cgroup_parent));
        parents.dedup();
        parents.retain(|parent| cgroups.exists(parent));
        parents
    }

    fn stop_pods(&self, cgroups: &Cgroups, parent: &str, outcome: &mut Outcome) {
        match keeper::stop(&self.layout.run_dir, parent, self.grace) {
            Ok(stopped) if stopped == keeper::Stopped::default() => {}
            Ok(stopped) => outcome.removed.push(Removed::Pods(stopped)),
            Err(source) => outcome.failures.push(CleanupError::Pods { source }),
        }
        let path = parent.to_owned();
        match cgroups.destroy(parent, Instant::now() + END_PATIENCE) {
            Ok(()) => outcome.removed.push(Removed::Cgroup(path)),
            Err(source) => outcome.failures.push(CleanupError::Cgroup { path, source }),
        }
    }
}

/// Takes the lock that a daemon would take. A directory that is not there has none.
fn claim(directory: &Path) -> Result<Option<File>, CleanupError> {
    if !directory.exists() {
        return Ok(None);
    }
    let path = directory.join("lock");
    let taken = lock::try_take(&path).map_err(failed("lock", &path))?;
    taken.map(Some).ok_or_else(|| CleanupError::InUse {
        pid: lock::signature(&path),
        path: directory.to_owned(),
    })
}

/// A daemon with other directories may have the same cgroup.
fn unclaimed(cgroups: &Cgroups, parent: &str) -> Result<(), CleanupError> {
    let path = cgroups.directory(parent);
    let taken = File::open(&path).and_then(|directory| lock::try_lock(&directory));
    if taken.map_err(failed("lock", &path))? {
        return Ok(());
    }
    let pid = "unknown".to_owned();
    Err(CleanupError::InUse { path, pid })
}

/// Undoes mounts below the directories, the latest first.
fn unmount_below(directories: &[&PathBuf], outcome: &mut Outcome) {
    let mounts = mountinfo::read().unwrap_or_default();
    let below = mounts.iter().rev().filter(|mount| {
        let point = &mount.mount_point;
        directories
            .iter()
            .any(|directory| point.starts_with(directory) && point != *directory)
    });
    for mount in below {
        let path = mount.mount_point.clone();
        match unmount(&path, UnmountFlags::empty()) {
            Ok(()) => outcome.removed.push(Removed::Mount(path)),
            Err(errno) => {
                let error = failed("unmount", &path)(errno.into());
                outcome.failures.push(error);
            }
        }
    }
}

fn remove(directory: &Path, outcome: &mut Outcome) {
    if !directory.exists() {
        return;
    }
    match remove_tree(directory) {
        Ok(()) => outcome
            .removed
            .push(Removed::Directory(directory.to_owned())),
        Err(source) => outcome.failures.push(failed("remove", directory)(source)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CleanupError {
    let path = path.to_owned();
    move |source| CleanupError::Io {
        action,
        path,
        source,
    }
}
