//! What is found of earlier daemons: runs to take over, leftovers to remove.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use model::id::RunId;
use uuid::Uuid;

use super::{
    Containerizer, DestroyError, END_PATIENCE, LOOK_AGAIN, Launched, Moment, Remains,
    identity_file, lock,
    process::Identity,
    shortage::{is_shortage, outlast},
};
use crate::{cgroup::CgroupError, journal};

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
    /// Its lock is held, but its executor is not to be seen: spawned just now, or survived by a child of it. To be
    /// told by [`Containerizer::resolve`], which may take a while.
    Hidden,
    /// It was launched and has ended: read its journal, then destroy it.
    Over,
    /// It was never launched: launch it again, or destroy it.
    NotStarted,
    /// Its run directory does not tell: end it, and believe what its journal still says.
    Damaged {
        /// Why not.
        source: io::Error,
    },
}

/// The directory of runs could not be read. It tells what is running, so that nothing may be launched.
#[derive(Debug, thiserror::Error)]
#[error("read {path}")]
pub struct RecoverError {
    path: PathBuf,
    source: io::Error,
}

/// What the daemon's records know of; everything else is a leftover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Runs that are wanted or not yet over.
    pub runs: BTreeSet<RunId>,
}

/// What was found on this host that no record knows. To be removed by [`Containerizer::remove`].
#[derive(Debug, Default)]
pub struct Unknown {
    runs: Vec<RunId>,
    cgroups: Vec<String>,
    /// Of runs that are over, or that nobody knows.
    sandboxes: Vec<RunId>,
    failures: Vec<SweepFailure>,
}

/// What a sweep removed, and what it could not.
#[derive(Debug, Default)]
pub struct Swept {
    /// Run directories of unknown runs, with everything of the run.
    pub runs: Vec<RunId>,
    /// Cgroups without a run directory.
    pub cgroups: Vec<String>,
    /// Sandboxes of all runs that are over; they stay until they are collected.
    pub remains: Vec<Remains>,
    /// Runs of which something is still there: to be destroyed and marked again.
    pub unfinished: BTreeSet<RunId>,
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
    /// Finds every run that has a run directory. Touches nothing, and waits for nothing.
    ///
    /// # Errors
    /// The directory of all runs cannot be read. What is wrong with a single run is that run's state.
    pub fn recover(&self) -> Result<Vec<FoundRun>, RecoverError> {
        let found = |run| FoundRun {
            run,
            state: self.look_at(run),
        };
        Ok(self.runs_found()?.into_iter().map(found).collect())
    }

    /// Finds out what a [`FoundState::Hidden`] run is: waits two seconds for its executor to be seen, and else ends
    /// what is left of it.
    ///
    /// # Errors
    /// Something of it does not end.
    pub fn resolve(&self, run: RunId) -> Result<FoundState, DestroyError> {
        if let Some(launched) = self.find_executor(run) {
            return Ok(FoundState::Alive(launched));
        }
        self.end(run)?;
        Ok(match self.look_at(run) {
            // Nothing of it is left; whose lock that may be is nothing to the run.
            FoundState::Hidden => FoundState::Over,
            state @ (FoundState::Alive(_)
            | FoundState::Over
            | FoundState::NotStarted
            | FoundState::Damaged { .. }) => state,
        })
    }

    /// Removes whatever the records do not know: runs, cgroups of this containerizer's parent; finds the sandboxes of
    /// runs that are over. Goes on past failures.
    pub fn sweep(&self, known: &Known, now: &Moment) -> Swept {
        self.remove(self.find_unknown(known), now)
    }

    /// Finds what the records do not know, and touches nothing. What is launched afterwards is not among it.
    pub fn find_unknown(&self, known: &Known) -> Unknown {
        let mut unknown = Unknown::default();
        self.find_unknown_runs(known, &mut unknown);
        self.find_unknown_cgroups(known, &mut unknown);
        self.find_unknown_sandboxes(known, &mut unknown);
        unknown
    }

    /// Removes what was found, but for sandboxes: those are marked, as over since `now` where they were not, and stay
    /// until they are collected. Goes on past failures.
    pub fn remove(&self, unknown: Unknown, now: &Moment) -> Swept {
        let mut swept = Swept {
            failures: unknown.failures,
            ..Swept::default()
        };
        for run in unknown.runs {
            match self.destroy(run) {
                Ok(()) => swept.runs.push(run),
                Err(source) => {
                    swept.unfinished.insert(run);
                    swept.failures.push(SweepFailure::Run { run, source });
                }
            }
        }
        for path in unknown.cgroups {
            match self.cgroups.destroy(&path, Instant::now() + END_PATIENCE) {
                Ok(()) => swept.cgroups.push(path),
                Err(source) => {
                    let run = path
                        .rsplit('/')
                        .next()
                        .and_then(|name| name.parse::<RunId>().ok());
                    swept.unfinished.extend(run);
                    swept.failures.push(SweepFailure::Cgroup { path, source });
                }
            }
        }
        for run in unknown.sandboxes {
            match self.remains(run, now) {
                // Something of it may still run.
                _ if self.run_dir(run).path().exists() => {}
                Ok(remains) => swept.remains.push(remains),
                Err(source) => {
                    let path = self.layout.sandbox(run);
                    swept.unfinished.insert(run);
                    swept
                        .failures
                        .push(SweepFailure::Directory { path, source });
                }
            }
        }
        swept
    }

    /// The run's executor, if it lives. Waits a while for one that was spawned just now, and for as long as a shortage
    /// keeps it from being seen: a run is not ended for that.
    pub(super) fn find_executor(&self, run: RunId) -> Option<Launched> {
        let deadline = Instant::now() + APPEAR_PATIENCE;
        loop {
            // What cannot be seen for another reason is taken for what it may be: not there yet.
            let sight = outlast(|| self.look_for_executor(run)).unwrap_or(Sight::NotYet);
            if let Sight::Seen(launched) = sight {
                return Some(launched);
            }
            let held = outlast(|| lock::is_held(&self.run_dir(run).lock())).unwrap_or(true);
            if matches!(sight, Sight::Gone) || !held || Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// By its recorded process id, else the oldest process in its cgroup.
    ///
    /// # Errors
    /// It cannot be looked for, which tells nothing of it.
    fn look_for_executor(&self, run: RunId) -> io::Result<Sight> {
        let dir = self.run_dir(run);
        // If the recorded one is gone, whoever holds the lock is a child that outlived it, perhaps frozen.
        let recorded = match Identity::read_record(&identity_file(&dir))? {
            Some(recorded) => Some(recorded),
            None => self.executor_in_cgroup(run)?,
        };
        let Some(identity) = recorded else {
            return Ok(Sight::NotYet);
        };
        let seen = identity.look()?.map(|pidfd| Launched {
            pid: identity.pid,
            pidfd,
            socket: dir.socket(),
        });
        Ok(seen.map_or(Sight::Gone, Sight::Seen))
    }

    /// The executor is in its cgroup before any child of it, and older than all of them.
    fn executor_in_cgroup(&self, run: RunId) -> io::Result<Option<Identity>> {
        let path = format!("{}/executor", self.cgroup_of(run));
        let pids = self.cgroups.procs(&path).map_err(io::Error::other)?;
        let mut oldest: Option<Identity> = None;
        for pid in pids {
            let age = |identity: &Identity| (identity.start_ticks, identity.pid);
            let found = Identity::read(pid)?.into_iter();
            oldest = found.chain(oldest).min_by_key(age);
        }
        Ok(oldest)
    }

    fn runs_found(&self) -> Result<Vec<RunId>, RecoverError> {
        let path = self.layout.runs();
        let names = names_in(&path).map_err(|source| RecoverError { path, source })?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn look_at(&self, run: RunId) -> FoundState {
        let dir = self.run_dir(run);
        match lock::is_held(&dir.lock()) {
            Ok(true) => match self.look_for_executor(run) {
                Ok(Sight::Seen(launched)) => FoundState::Alive(launched),
                Ok(Sight::NotYet | Sight::Gone) | Err(_) => FoundState::Hidden,
            },
            Ok(false) if journal::salvage(&dir.journal(), run).is_some() => FoundState::Over,
            Ok(false) => FoundState::NotStarted,
            // Not to be seen now; looked at again by itself.
            Err(source) if is_shortage(&source) => FoundState::Hidden,
            Err(source) => FoundState::Damaged { source },
        }
    }

    fn find_unknown_runs(&self, known: &Known, unknown: &mut Unknown) {
        let found = unknown.names_in(self.layout.runs());
        let runs = found.iter().filter_map(|name| name.parse().ok());
        unknown
            .runs
            .extend(runs.filter(|run| !known.runs.contains(run)));
    }

    /// Those of known runs without a run directory are dealt with when the run is launched again or concluded.
    fn find_unknown_cgroups(&self, known: &Known, unknown: &mut Unknown) {
        let children = self.cgroups.children(&self.cgroup_parent);
        let names = children.unwrap_or_else(|source| {
            let path = self.cgroup_parent.clone();
            unknown.failures.push(SweepFailure::Cgroup { path, source });
            BTreeSet::new()
        });
        let runs = names.iter().filter_map(|name| name.parse::<RunId>().ok());
        let lost =
            runs.filter(|run| !known.runs.contains(run) && !self.run_dir(*run).path().exists());
        unknown.cgroups.extend(lost.map(|run| self.cgroup_of(run)));
    }

    fn find_unknown_sandboxes(&self, known: &Known, unknown: &mut Unknown) {
        let found = unknown.names_in(self.layout.sandboxes());
        for instance in found.iter().filter_map(|name| name.parse::<Uuid>().ok()) {
            let names = unknown.names_in(self.layout.instance_sandboxes(instance));
            let runs = names.iter().filter_map(|name| {
                let incarnation = name.parse().ok()?;
                Some(RunId {
                    instance,
                    incarnation,
                })
            });
            unknown
                .sandboxes
                .extend(runs.filter(|run| !known.runs.contains(run)));
        }
    }
}

impl Unknown {
    fn names_in(&mut self, path: PathBuf) -> Vec<String> {
        names_in(&path).unwrap_or_else(|source| {
            self.failures.push(SweepFailure::Directory { path, source });
            Vec::new()
        })
    }
}

/// What is seen of an executor.
enum Sight {
    Seen(Launched),
    /// Neither recorded nor in its cgroup.
    NotYet,
    /// It was there and has ended.
    Gone,
}

/// Names in a directory, ordered; none if it is not there. Names that are no text are nobody's here.
pub(crate) fn names_in(dir: &Path) -> io::Result<Vec<String>> {
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
