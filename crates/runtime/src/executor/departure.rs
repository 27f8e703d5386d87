//! The executor's last steps: nothing of the run but its sandbox and its journal stays.

use std::time::{Duration, Instant};

use rustix::process::{WaitOptions, wait};

use crate::{
    cgroup::{CgroupError, Cgroups},
    launch::CgroupPaths,
};

/// How long processes may take to die, and cgroups to be removable. The daemon sweeps what is left.
const PATIENCE: Duration = Duration::from_secs(10);

/// Leaves the run's cgroups, ends every process still in them, such as those of abandoned creations, and
/// removes them. Goes on past failures and gives all of them.
pub(super) fn depart(cgroups: &Cgroups, paths: &CgroupPaths) -> Vec<CgroupError> {
    let own_pid = rustix::process::getpid().as_raw_nonzero().get();
    if let Err(error) = cgroups.join(&paths.leaving, own_pid) {
        // Destroying the run's cgroups would now end this process before it is done.
        return vec![error];
    }
    let destroyed = cgroups.destroy(&paths.run, Instant::now() + PATIENCE);
    while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
    destroyed.err().into_iter().collect()
}
