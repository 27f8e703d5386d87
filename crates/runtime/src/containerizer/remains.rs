//! What runs leave on disk when they are over: their sandboxes, with logs, until somebody collects them.
//!
//! A sandbox of a run that is over has a mark in it that tells when that was, so that a restart neither takes it
//! for a leftover nor begins to count anew. Collecting renames first, then removes: nobody sees half a sandbox,
//! and what a crash leaves in the trash is nobody's any more.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::Duration,
};

use model::{id::RunId, time::Timestamp};
use rustix::{
    mount::{UnmountFlags, unmount},
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Containerizer, removal};
use crate::{boot, mountinfo};

/// Name of the mark in a sandbox, beside the directories of containers.
const MARK: &str = "ended.json";

/// Name of the file in a sandbox that tells whose it is.
const OWNER: &str = "run.json";

/// A point in time that survives both a restart of the host and a step of its clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// The wall clock.
    pub wall: Timestamp,
    /// Which boot of the host it was (`/proc/sys/kernel/random/boot_id`).
    pub boot: Uuid,
    /// Time since that boot, in milliseconds (`CLOCK_BOOTTIME`).
    pub since_boot_ms: u64,
}

impl Moment {
    /// Reads the clocks.
    ///
    /// # Errors
    /// The boot's id cannot be read.
    pub fn now(wall: Timestamp) -> io::Result<Self> {
        let boot = boot::id()?;
        let since_boot = clock_gettime(ClockId::Boottime);
        let since_boot = Duration::try_from(since_boot).unwrap_or_default();
        Ok(Self {
            wall,
            boot,
            since_boot_ms: u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Time from `self` to `now`; zero if the clock says that it is yet to come. Within one boot no step of the
    /// wall clock counts.
    pub fn age(&self, now: &Self) -> Duration {
        if self.boot == now.boot {
            return Duration::from_millis(now.since_boot_ms.saturating_sub(self.since_boot_ms));
        }
        now.wall.since(self.wall)
    }
}

/// The sandbox of a run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The run.
    pub run: RunId,
    /// When its end was seen.
    pub ended: Moment,
}

/// Whose sandbox it is.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    pod: String,
}

/// A sandbox that could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Something mounted in it cannot be unmounted; nothing was removed.
    #[error("unmount {path}, which is mounted in a sandbox that is to go")]
    Mounted {
        /// The mount point.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory could not be looked at or removed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CollectError {
    let path = path.to_owned();
    move |source| CollectError::Io {
        action,
        path,
        source,
    }
}

impl Containerizer {
    /// Marks the run's sandbox as one that may be collected. A mark that is there already stays.
    ///
    /// # Errors
    /// It cannot be written, as on a full disk; the next start marks what has no mark.
    pub fn mark_ended(&self, run: RunId, now: &Moment) -> io::Result<()> {
        let sandbox = self.layout.sandbox(run);
        if !sandbox.is_dir() || mark(&sandbox).is_some() {
            return Ok(());
        }
        write_whole(&sandbox.join(MARK), &serde_json::to_vec(now)?)
    }

    /// The newest sandbox of an instance that belongs to this pod: where logs are after instance or pod are gone.
    /// `None` if it was collected.
    pub fn latest_sandbox(&self, instance: Uuid, pod: &str) -> Option<RunId> {
        let runs = self.runs_with_sandboxes(instance).unwrap_or_default();
        let latest = runs.into_iter().max_by_key(|run| run.incarnation)?;
        (self.pod_of(latest)? == pod).then_some(latest)
    }

    /// The pod that a run's sandbox belongs to; `None` if that cannot be read.
    pub fn pod_of(&self, run: RunId) -> Option<String> {
        let bytes = fs::read(self.layout.sandbox(run).join(OWNER)).ok()?;
        let owner: Owner = serde_json::from_slice(&bytes).ok()?;
        Some(owner.pod)
    }

    /// Removes the sandbox of a run that is over. Whatever is mounted in it is unmounted first; what cannot be
    /// unmounted keeps the sandbox as it is. No mount is entered and no link followed. A sandbox that is not there is
    /// collected already.
    ///
    /// # Errors
    /// [`CollectError`].
    pub fn collect(&self, run: RunId) -> Result<(), CollectError> {
        let sandbox = self.layout.sandbox(run);
        unmount_below(&sandbox)?;
        let trash = self.layout.trash();
        fs::create_dir_all(&trash).map_err(io_error("make", &trash))?;
        let place = trash.join(run.to_string());
        match fs::rename(&sandbox, &place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(io_error("move away", &sandbox))?,
        }
        removal::remove_tree(&place).map_err(io_error("remove", &place))?;
        self.leave_instance(run.instance);
        Ok(())
    }

    /// Removes what a crash left of sandboxes that were being collected.
    ///
    /// # Errors
    /// The first thing that cannot be removed.
    pub fn empty_trash(&self) -> Result<(), CollectError> {
        let trash = self.layout.trash();
        unmount_below(&trash)?;
        removal::remove_tree(&trash).map_err(io_error("remove", &trash))
    }

    /// Tells later readers whose sandbox it is, and that its run is not over.
    pub(super) fn own_sandbox(&self, run: RunId, pod: &str) -> io::Result<()> {
        let sandbox = self.layout.sandbox(run);
        // Of a state that was put back from a backup: this run is being launched, whatever became of it then.
        match fs::remove_file(sandbox.join(MARK)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let pod = pod.to_owned();
        write_whole(&sandbox.join(OWNER), &serde_json::to_vec(&Owner { pod })?)
    }

    /// Sandboxes of an instance, by their names.
    pub(super) fn runs_with_sandboxes(&self, instance: Uuid) -> io::Result<Vec<RunId>> {
        let names = super::recovery::names_in(&self.layout.instance_sandboxes(instance))?;
        let incarnations = names.iter().filter_map(|name| name.parse().ok());
        Ok(incarnations
            .map(|incarnation| RunId {
                instance,
                incarnation,
            })
            .collect())
    }

    /// The remains of a run that is over; a sandbox without a mark gets one, since its end was missed.
    pub(super) fn remains(&self, run: RunId, now: &Moment) -> io::Result<Remains> {
        self.mark_ended(run, now)?;
        let ended = mark(&self.layout.sandbox(run)).unwrap_or_else(|| now.clone());
        Ok(Remains { run, ended })
    }

    /// Removes the instance's directory if nothing is in it, and not while a launch fills it.
    fn leave_instance(&self, instance: Uuid) {
        let _nobody_launches = self
            .sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // It has other sandboxes, or is gone: both are fine.
        let _ = fs::remove_dir(self.layout.instance_sandboxes(instance));
    }
}

fn mark(sandbox: &Path) -> Option<Moment> {
    serde_json::from_slice(&fs::read(sandbox.join(MARK)).ok()?).ok()
}

fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path)
}

/// Unmounts whatever is mounted at or below the path, the latest first.
fn unmount_below(path: &Path) -> Result<(), CollectError> {
    let below = || -> Result<Vec<PathBuf>, CollectError> {
        let mounts = mountinfo::read().map_err(io_error("look for mounts below", path))?;
        let points = mounts.into_iter().map(|mount| mount.mount_point);
        Ok(points.filter(|point| point.starts_with(path)).collect())
    };
    for point in below()?.into_iter().rev() {
        unmount(&point, UnmountFlags::NOFOLLOW).map_err(|errno| CollectError::Mounted {
            path: point,
            source: errno.into(),
        })?;
    }
    match below()?.pop() {
        None => Ok(()),
        Some(point) => Err(CollectError::Mounted {
            path: point,
            source: io::ErrorKind::ResourceBusy.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(boot: u128, wall_ms: i64, since_boot_ms: u64) -> Moment {
        Moment {
            wall: Timestamp::from_millis(wall_ms),
            boot: Uuid::from_u128(boot),
            since_boot_ms,
        }
    }

    #[test]
    fn no_step_of_the_clock_ages_anything_within_a_boot() {
        const YEAR: i64 = 365 * 24 * 3600 * 1000;
        let ended = moment(1, YEAR, 1000);
        let cases = [
            ("same boot", moment(1, YEAR + 500, 1500), 500),
            ("a year forwards", moment(1, 2 * YEAR, 1500), 500),
            ("a year backwards", moment(1, 0, 1500), 500),
            ("after a reboot", moment(2, YEAR + 9000, 10), 9000),
            ("after a reboot into the past", moment(2, 0, 10), 0),
        ];
        for (name, now, expected) in cases {
            assert_eq!(ended.age(&now), Duration::from_millis(expected), "{name}");
        }
    }
}
