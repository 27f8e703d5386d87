//! Runs of a daemon that kept them in another run directory, or below another cgroup.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use model::id::RunId;
use serde::{Deserialize, Serialize};

use super::{Containerizer, lock, removal, run_record::RunRecord, sandbox};
use crate::{
    cgroup::CgroupError,
    layout::{Layout, RunDir},
    prepare::cgroup_paths,
};

/// Where a daemon keeps its runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The run directory.
    pub run_dir: PathBuf,
    /// Parent of all runs' cgroups, relative to the mount point of each hierarchy.
    pub cgroup_parent: String,
}

/// What was kept elsewhere could not be looked at or taken over.
#[derive(Debug, thiserror::Error)]
pub enum RelocationError {
    /// A file or directory.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A cgroup.
    #[error("look for processes in cgroup {path}")]
    Cgroup {
        /// Which.
        path: String,
        /// Why not.
        source: CgroupError,
    },
}

impl Containerizer {
    /// Where this one keeps its runs.
    pub fn places(&self) -> Places {
        Places {
            run_dir: self.layout.run_dir.clone(),
            cgroup_parent: self.cgroup_parent.clone(),
        }
    }

    /// Those of the runs that live where a daemon before kept them, and that this one would not find. With only
    /// another cgroup, it finds all of which there are run directories. Touches nothing.
    ///
    /// # Errors
    /// That cannot be told of one of them.
    pub fn out_of_reach(
        &self,
        before: &Places,
        runs: &BTreeSet<RunId>,
    ) -> Result<Vec<RunId>, RelocationError> {
        let mut found = Vec::new();
        for run in runs {
            if self.lives_elsewhere(before, *run)? {
                found.push(*run);
            }
        }
        Ok(found)
    }

    fn lives_elsewhere(&self, before: &Places, run: RunId) -> Result<bool, RelocationError> {
        let dir = self.earlier_layout(before).run(run);
        if dir.path().exists() {
            let is_found = before.run_dir == self.layout.run_dir;
            return Ok(
                !is_found && lock::is_held(&dir.lock()).map_err(failed("lock", &dir.lock()))?
            );
        }
        // Somebody took its run directory away: whether it lives only its cgroup tells. One of ours is looked at
        // anyway.
        let path = cgroup_paths(&before.cgroup_parent, &run.to_string()).run;
        Ok(before.cgroup_parent != self.cgroup_parent && self.is_populated(&path)?)
    }

    /// Whether a process is in the cgroup or right below it.
    fn is_populated(&self, path: &str) -> Result<bool, RelocationError> {
        if !self.cgroups.exists(path) {
            return Ok(false);
        }
        let failed = |path: &str| {
            let path = path.to_owned();
            move |source| RelocationError::Cgroup { path, source }
        };
        let children = self.cgroups.children(path).map_err(failed(path))?;
        let children = children.iter().map(|name| format!("{path}/{name}"));
        for path in children.chain([path.to_owned()]) {
            if !self.cgroups.procs(&path).map_err(failed(&path))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings over what dead runs left in the run directory of a daemon before, so that they are concluded as if they
    /// had been launched here; gives those of which there was something. May be repeated after a crash.
    ///
    /// # Errors
    /// Something cannot be brought over; it is still where it was then.
    pub fn take_over(
        &self,
        before: &Places,
        runs: &BTreeSet<RunId>,
    ) -> Result<Vec<RunId>, RelocationError> {
        if before.run_dir == self.layout.run_dir {
            return Ok(Vec::new());
        }
        let earlier = self.earlier_layout(before);
        let mut taken = Vec::new();
        for run in runs {
            let (from, to) = (earlier.run(*run), self.layout.run(*run));
            // What has no record was never spawned, and begins anew.
            if RunRecord::read(from.path(), *run).is_some() {
                bring_over(&from, &to)?;
                taken.push(*run);
            }
        }
        Ok(taken)
    }

    fn earlier_layout(&self, before: &Places) -> Layout {
        Layout {
            state_dir: self.layout.state_dir.clone(),
            run_dir: before.run_dir.clone(),
        }
    }
}

/// Copies, since the other directory may be another filesystem; whole or not at all.
fn bring_over(from: &RunDir, to: &RunDir) -> Result<(), RelocationError> {
    if !to.path().exists() {
        // No run has a name like this.
        let fresh = to.path().with_extension("arriving");
        removal::remove_tree(&fresh).map_err(failed("remove", &fresh))?;
        sandbox::make_directory(&fresh, sandbox::ROOT_ONLY).map_err(failed("make", &fresh))?;
        for entry in fs::read_dir(from.path()).map_err(failed("read", from.path()))? {
            let entry = entry.map_err(failed("read", from.path()))?;
            let path = entry.path();
            let is_file = entry
                .file_type()
                .map_err(failed("look at", &path))?
                .is_file();
            if is_file && path != from.lock() {
                fs::copy(&path, fresh.join(entry.file_name())).map_err(failed("copy", &path))?;
            }
        }
        fs::rename(&fresh, to.path()).map_err(failed("rename", &fresh))?;
    }
    removal::remove_tree(from.path()).map_err(failed("remove", from.path()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RelocationError {
    let path = path.to_owned();
    move |source| RelocationError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_runs_files_are_brought_over_whole_also_at_a_second_attempt() {
        let base = tempfile::tempdir().unwrap();
        let dir = |name: &str| RunDir(base.path().join(name).join("9.1"));
        let (from, to) = (dir("old"), dir("new"));
        fs::create_dir_all(from.path()).unwrap();
        fs::create_dir(base.path().join("new")).unwrap();
        for name in ["run.json", "journal", "run.lock"] {
            fs::write(from.path().join(name), name).unwrap();
        }
        // An attempt that was cut short.
        let half = base.path().join("new/9.arriving");
        fs::create_dir(&half).unwrap();
        fs::write(half.join("rest"), "").unwrap();

        bring_over(&from, &to).unwrap();
        let mut names: Vec<_> = fs::read_dir(to.path()).unwrap().flatten().collect();
        names.sort_by_key(fs::DirEntry::file_name);
        let names: Vec<_> = names.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(names, ["journal", "run.json"]);
        assert!(!from.path().exists() && !half.exists());

        // One that was cut short before its last step: what has arrived holds.
        fs::create_dir_all(from.path()).unwrap();
        fs::write(from.journal(), "longer").unwrap();
        bring_over(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.journal()).unwrap(), "journal");
        assert!(!from.path().exists());
    }
}
