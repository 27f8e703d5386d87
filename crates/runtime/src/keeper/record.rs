//! `<run_dir>/keeper.json`: where the subtree is, and who keeps it.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{KeeperError, Subtree};
use crate::{boot, cgroup::Cgroups, containerizer::process::Identity};

/// Name of the record below the run directory.
const FILE: &str = "keeper.json";

/// What the keeper tells whoever reads it. Members that a reader does not know are ignored by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The keeper's process id.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub start_ticks: u64,
    /// How often it has executed itself anew: 0 at first.
    pub executions: u32,
    /// The boot that this is about (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: Uuid,
    /// The keeper's version of monopod.
    pub version: String,
    /// Where pods go, relative to the mount point, as `cgroup_parent` in the configuration.
    pub cgroup_parent: String,
}

impl Record {
    /// The record of this process, which keeps `subtree`.
    pub(super) fn of_this_process(
        run_dir: &Path,
        version: &str,
        subtree: &Subtree,
    ) -> Result<Self, KeeperError> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let stat = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let identity = Identity::of(pid)
            .ok_or_else(stat)
            .map_err(KeeperError::io("read", Path::new("/proc/self/stat")))?;
        let record = Self {
            pid,
            start_ticks: identity.start_ticks,
            executions: 0,
            boot_id: boot_id()?,
            version: version.to_owned(),
            cgroup_parent: subtree.pods(),
        };
        // Executing anew changes neither process id nor start time.
        let before = Self::read(run_dir).ok().flatten();
        let before = before.filter(|before| before.is_same_process(&record));
        let executions = before.map_or(0, |before| before.executions.saturating_add(1));
        Ok(Self {
            executions,
            ..record
        })
    }

    /// Reads the record; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(run_dir: &Path) -> Result<Option<Self>, KeeperError> {
        let path = run_dir.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(KeeperError::io("read", &path))?,
        };
        let record = serde_json::from_slice(&text).map_err(std::io::Error::from);
        record
            .map(Some)
            .map_err(KeeperError::io("understand", &path))
    }

    /// Reads the record if it is of this boot and the subtree is still there. The keeper itself may be dead: its
    /// subtree stays as long as the unit is active.
    ///
    /// # Errors
    /// Something cannot be read.
    pub fn current(run_dir: &Path, cgroups: &Cgroups) -> Result<Option<Self>, KeeperError> {
        let Some(record) = Self::read(run_dir)? else {
            return Ok(None);
        };
        let current = record.boot_id == boot_id()? && cgroups.exists(&record.cgroup_parent);
        Ok(current.then_some(record))
    }

    /// Whether the process that wrote it still lives.
    pub fn is_alive(&self) -> bool {
        self.identity().is_alive()
    }

    /// The process that wrote it.
    pub(super) const fn identity(&self) -> Identity {
        Identity {
            pid: self.pid,
            start_ticks: self.start_ticks,
            boot: Some(self.boot_id),
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, run_dir: &Path) -> Result<(), KeeperError> {
        let path = run_dir.join(FILE);
        let fresh = run_dir.join("keeper.new");
        let text = serde_json::to_vec(self).map_err(std::io::Error::from);
        crate::containerizer::make_run_dir(run_dir)
            .and_then(|()| fs::write(&fresh, text?))
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(KeeperError::io("write", &path))
    }

    /// Removes it: the subtree is no longer to be used.
    pub(super) fn remove(run_dir: &Path) {
        // One that stays names a cgroup that is gone, and counts for nothing.
        let _ = fs::remove_file(run_dir.join(FILE));
    }

    fn is_same_process(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

fn boot_id() -> Result<Uuid, KeeperError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    boot::id().map_err(KeeperError::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(run_dir: &Path) -> Record {
        let subtree = Subtree::at("no-such-cgroup-of-monopod");
        Record::of_this_process(run_dir, "1.2.3", &subtree).unwrap()
    }

    #[test]
    fn a_keeper_that_executes_anew_is_counted_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), None);
        let first = record(dir.path());
        assert_eq!((first.executions, first.is_alive()), (0, true));
        first.write(dir.path()).unwrap();
        assert_eq!(Record::read(dir.path()).unwrap(), Some(first.clone()));
        assert_eq!(record(dir.path()).executions, 1);
        let other = Record {
            start_ticks: first.start_ticks + 1,
            ..first
        };
        assert!(!other.is_alive());
        other.write(dir.path()).unwrap();
        assert_eq!(record(dir.path()).executions, 0);
    }

    #[test]
    fn a_subtree_that_is_gone_does_not_count_and_nonsense_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path()).write(dir.path()).unwrap();
        let cgroups = Cgroups::detect().unwrap();
        assert_eq!(Record::current(dir.path(), &cgroups).unwrap(), None);
        fs::write(dir.path().join(FILE), "{").unwrap();
        let error = Record::current(dir.path(), &cgroups).unwrap_err();
        assert!(error.to_string().contains("understand"), "{error}");
    }
}
