//! What is found of earlier daemons: runs to take over, leftovers to remove.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use model::id::RunId;
use uuid::Uuid;

use super::{
    Containerizer, DestroyError, END_PATIENCE, LOOK_AGAIN, Launched, identity_file, lock,
    process::Identity, removal,
};
use crate::{
    cgroup::CgroupError,
    journal::{self, JournalError},
};

/// How long an executor whose process id was not recorded may take to move into its cgroup.
const APPEAR_PATIENCE: Duration = Duration::from_secs(2);

/// A run of which a run directory was found.
#[derive(Debug)]
pub struct FoundRun {
    /// The run.
    pub run: RunId,
    /// What became of it.
    pub state: FoundState,
}

/// What became of a run.
#[derive(Debug)]
pub enum FoundState {
    /// Its executor lives; it is to be talked to.
    Alive(Launched),
    /// It was launched and has ended: read its journal, then destroy it.
    Over,
    /// It was never launched: launch it again, or destroy it.
    NotStarted,
}

/// A directory of runs or a run in it that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A directory or lock cannot be read.
    #[error("read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A journal cannot be read.
    #[error("read the journal of run {run}")]
    Journal {
        /// The run.
        run: RunId,
        /// Why.
        source: JournalError,
    },
    /// An executor that cannot be found could not be ended either.
    #[error("end run {run}, whose executor cannot be found")]
    End {
        /// The run.
        run: RunId,
        /// Why.
        source: DestroyError,
    },
}

/// What the daemon's records know of; everything else is a leftover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Runs that are wanted or not yet over.
    pub runs: BTreeSet<RunId>,
    /// Instances whose sandboxes stay.
    pub instances: BTreeSet<Uuid>,
}

/// What a sweep removed, and what it could not.
#[derive(Debug, Default)]
pub struct Swept {
    /// Run directories of unknown runs, with everything of the run.
    pub runs: Vec<RunId>,
    /// Cgroups without a run directory.
    pub cgroups: Vec<String>,
    /// Sandboxes of unknown instances.
    pub sandboxes: Vec<Uuid>,
    /// What is still there.
    pub failures: Vec<SweepFailure>,
}

/// Something that a sweep could not remove.
#[derive(Debug, thiserror::Error)]
pub enum SweepFailure {
    /// A run.
    #[error("remove run {run}")]
    Run {
        /// Which.
        run: RunId,
        /// Why.
        source: DestroyError,
    },
    /// A cgroup.
    #[error("remove cgroup {path}")]
    Cgroup {
        /// Which.
        path: String,
        /// Why.
        source: CgroupError,
    },
    /// A directory.
    #[error("remove {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Containerizer {
    /// Finds every run that has a run directory. Nothing that runs is touched, but for an executor that holds its
    /// run's lock and cannot be found within two seconds: that one is killed.
    ///
    /// # Errors
    /// The first directory, lock or journal that cannot be read.
    pub fn recover(&self) -> Result<Vec<FoundRun>, RecoverError> {
        let runs = self.runs_found()?;
        runs.into_iter()
            .map(|run| {
                let state = self.look_at(run)?;
                Ok(FoundRun { run, state })
            })
            .collect()
    }

    /// Removes whatever the records do not know: runs, cgroups of this containerizer's parent, sandboxes. Goes on
    /// past failures. Cgroups of known runs that have no run directory go too: nobody can talk to what is in them.
    pub fn sweep(&self, known: &Known) -> Swept {
        let mut swept = Swept::default();
        self.sweep_runs(known, &mut swept);
        self.sweep_cgroups(&mut swept);
        self.sweep_sandboxes(known, &mut swept);
        swept
    }

    /// Removes all sandboxes of an instance.
    ///
    /// # Errors
    /// Something in them cannot be removed; mounts below them are not entered.
    pub fn forget(&self, instance: Uuid) -> io::Result<()> {
        removal::remove_tree(&self.layout.instance_sandboxes(instance))
    }

    /// Removes the instance's sandboxes but for the `keep` newest.
    ///
    /// # Errors
    /// The directory cannot be read, or something in it cannot be removed.
    pub fn prune_sandboxes(&self, instance: Uuid, keep: usize) -> io::Result<()> {
        let dir = self.layout.instance_sandboxes(instance);
        let names = names_in(&dir)?;
        let by_age: BTreeMap<u32, &String> = names
            .iter()
            .filter_map(|name| Some((name.parse().ok()?, name)))
            .collect();
        for name in by_age.values().rev().skip(keep) {
            removal::remove_tree(&dir.join(name))?;
        }
        Ok(())
    }

    /// The run's executor, if it lives: by its recorded process id, else the oldest process in its cgroup.
    pub(super) fn find_executor(&self, run: RunId) -> Option<Launched> {
        let dir = self.layout.run(run);
        let deadline = Instant::now() + APPEAR_PATIENCE;
        loop {
            let open = |identity: Identity| Some((identity.pid, identity.open()?));
            let identity = match Identity::recorded(&identity_file(&dir)) {
                // If this one is gone, whoever holds the lock is a child that outlived it, perhaps frozen.
                Some(recorded) => Some(recorded),
                None => self.executor_in_cgroup(run),
            };
            if identity.is_some_and(|identity| !identity.is_alive()) {
                return None;
            }
            if let Some((pid, pidfd)) = identity.and_then(open) {
                let socket = dir.socket();
                return Some(Launched { pid, pidfd, socket });
            }
            let held = lock::is_held(&dir.lock()).unwrap_or(false);
            if !held || Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The executor is in its cgroup before any child of it, and older than all of them.
    fn executor_in_cgroup(&self, run: RunId) -> Option<Identity> {
        let path = format!("{}/executor", self.cgroup_of(run));
        let pids = self.cgroups.procs(&path).ok()?;
        pids.into_iter()
            .filter_map(Identity::of)
            .min_by_key(|identity| (identity.start_ticks, identity.pid))
    }

    fn runs_found(&self) -> Result<Vec<RunId>, RecoverError> {
        let dir = self.layout.runs();
        let names = names_in(&dir).map_err(|source| RecoverError::Io { path: dir, source })?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn look_at(&self, run: RunId) -> Result<FoundState, RecoverError> {
        let dir = self.layout.run(run);
        let held = || {
            lock::is_held(&dir.lock()).map_err(|source| RecoverError::Io {
                path: dir.lock(),
                source,
            })
        };
        if held()? {
            if let Some(launched) = self.find_executor(run) {
                return Ok(FoundState::Alive(launched));
            }
            if held()? {
                self.end(run)
                    .map_err(|source| RecoverError::End { run, source })?;
            }
        }
        match journal::read(&dir.journal()) {
            Ok(Some(_)) => Ok(FoundState::Over),
            Ok(None) => Ok(FoundState::NotStarted),
            Err(source) => Err(RecoverError::Journal { run, source }),
        }
    }

    fn sweep_runs(&self, known: &Known, swept: &mut Swept) {
        let dir = self.layout.runs();
        let names = names_in(&dir).unwrap_or_else(|source| {
            swept
                .failures
                .push(SweepFailure::Directory { path: dir, source });
            Vec::new()
        });
        let found = names.iter().filter_map(|name| name.parse::<RunId>().ok());
        for run in found.filter(|run| !known.runs.contains(run)) {
            match self.destroy(run) {
                Ok(()) => swept.runs.push(run),
                Err(source) => swept.failures.push(SweepFailure::Run { run, source }),
            }
        }
    }

    fn sweep_cgroups(&self, swept: &mut Swept) {
        let children = self.cgroups.children(&self.cgroup_parent);
        let names = children.unwrap_or_else(|source| {
            let path = self.cgroup_parent.clone();
            swept.failures.push(SweepFailure::Cgroup { path, source });
            BTreeSet::new()
        });
        for run in names.iter().filter_map(|name| name.parse::<RunId>().ok()) {
            if self.layout.run(run).path().exists() {
                continue;
            }
            let path = self.cgroup_of(run);
            match self.cgroups.destroy(&path, Instant::now() + END_PATIENCE) {
                Ok(()) => swept.cgroups.push(path),
                Err(source) => swept.failures.push(SweepFailure::Cgroup { path, source }),
            }
        }
    }

    fn sweep_sandboxes(&self, known: &Known, swept: &mut Swept) {
        let dir = self.layout.sandboxes();
        let names = names_in(&dir).unwrap_or_else(|source| {
            let path = dir.clone();
            swept
                .failures
                .push(SweepFailure::Directory { path, source });
            Vec::new()
        });
        let found = names.iter().filter_map(|name| name.parse::<Uuid>().ok());
        for instance in found.filter(|instance| !known.instances.contains(instance)) {
            match self.forget(instance) {
                Ok(()) => swept.sandboxes.push(instance),
                Err(source) => swept.failures.push(SweepFailure::Directory {
                    path: self.layout.instance_sandboxes(instance),
                    source,
                }),
            }
        }
    }
}

/// Names in a directory, ordered; none if it is not there. Names that are no text are nobody's here.
fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
