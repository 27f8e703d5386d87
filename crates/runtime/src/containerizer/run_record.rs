//! What is recorded of a run in its run directory before its executor is spawned, so that a daemon with another
//! configuration finds it where it was launched.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use model::id::RunId;
use serde::{Deserialize, Serialize};

use crate::launch::Launch;

/// Where a run is on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    /// The run's cgroup, relative to the mount point of each hierarchy.
    pub(super) cgroup: String,
    /// The run's sandbox.
    pub(super) sandbox: PathBuf,
}

impl RunRecord {
    pub(super) fn of(launch: &Launch) -> Self {
        Self {
            cgroup: launch.cgroups.run.clone(),
            sandbox: launch.sandbox.clone(),
        }
    }

    /// Reads what [`RunRecord::write`] wrote for this run; `None` if that is not there, not whole, or of another run:
    /// what it names is going to be killed and removed.
    pub(super) fn read(dir: &Path, run: RunId) -> Option<Self> {
        let record: Self = serde_json::from_slice(&fs::read(path(dir)).ok()?).ok()?;
        let sandbox = format!("{}/{}", run.instance, run.incarnation);
        let parts: Vec<_> = record.cgroup.split('/').collect();
        let is_ours = parts.len() > 1
            && parts.last() == Some(&run.to_string().as_str())
            && parts
                .iter()
                .all(|part| !part.is_empty() && !part.starts_with('.'))
            && record.sandbox.is_absolute()
            && record.sandbox.ends_with(sandbox);
        is_ours.then_some(record)
    }

    /// Writes it down, whole or not at all.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let fresh = path(dir).with_extension("new");
        fs::write(&fresh, serde_json::to_vec(self)?)?;
        fs::rename(&fresh, path(dir))
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("run.json")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// See `tests/golden`; what it has more today is ignored by those who wrote that.
    #[test]
    fn a_record_of_version_1_is_read_and_written() {
        let recorded = include_str!("../../tests/golden/v1/run.json");
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), recorded).unwrap();
        let run: RunId = "6f7f3a1e-2f7d-4f39-9a0e-5d1c0c7c2b11.3".parse().unwrap();
        let record = RunRecord::read(dir.path(), run).unwrap();
        assert_eq!(record.cgroup, format!("monopod/{run}"));
        let sandbox = format!("/var/lib/monopod/sandboxes/{}/3", run.instance);
        assert_eq!(record.sandbox, PathBuf::from(sandbox));
        record.write(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(path(dir.path())).unwrap(), recorded);
    }

    #[test]
    fn only_what_belongs_to_the_run_is_believed() {
        let run = RunId {
            instance: Uuid::from_u128(1),
            incarnation: 2,
        };
        let record = |cgroup: &str, sandbox: &str| RunRecord {
            cgroup: cgroup.to_owned(),
            sandbox: sandbox.into(),
        };
        let cgroup = format!("a/b/{run}");
        let sandbox = format!("/state/sandboxes/{}/2", run.instance);
        let dir = tempfile::tempdir().unwrap();
        let read_back = |record: &RunRecord| {
            record.write(dir.path()).unwrap();
            RunRecord::read(dir.path(), run)
        };
        let whole = record(&cgroup, &sandbox);
        assert_eq!(read_back(&whole), Some(whole.clone()));
        for (cgroup, sandbox) in [
            ("", sandbox.as_str()),
            ("a", &sandbox),
            (&run.to_string(), &sandbox),
            (&format!("a/../{run}"), &sandbox),
            (&format!("/{run}"), &sandbox),
            (&cgroup, "/"),
            (&cgroup, "/state/sandboxes/other/2"),
            (&cgroup, &sandbox[1..]),
        ] {
            assert_eq!(
                read_back(&record(cgroup, sandbox)),
                None,
                "{cgroup} {sandbox}"
            );
        }
        fs::write(path(dir.path()), "{\"cgroup\":").unwrap();
        assert_eq!(RunRecord::read(dir.path(), run), None);
    }
}
