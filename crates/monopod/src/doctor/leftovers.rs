//! What pods left behind that nobody owns any more.

use std::collections::BTreeSet;

use runtime::{cgroup::Cgroups, mountinfo};

use super::{Finding, Place};

/// The cgroup that executors leave by; it is the daemon's own.
const LEAVING: &str = "leaving";

/// Looks at cgroups and mounts of ours.
pub(super) fn check(place: &Place) -> Vec<Finding> {
    vec![mounts(place), cgroups(place)]
}

/// Pods mount in namespaces of their own, so the host never has a mount below our directories, but for whole
/// filesystems that are mounted there on purpose.
fn mounts(place: &Place) -> Finding {
    let check = "mounts";
    let Ok(mounts) = mountinfo::read() else {
        return Finding::unchecked(check, "the mounts cannot be read");
    };
    let places = [
        place.state_dir.join("sandboxes"),
        place.run_dir.join("runs"),
    ];
    let ours: Vec<_> = mounts
        .iter()
        .filter(|mount| {
            places
                .iter()
                .any(|place| mount.mount_point.starts_with(place))
        })
        .map(|mount| mount.mount_point.display().to_string())
        .collect();
    if ours.is_empty() {
        return Finding::ok(check, "none of ours in the host's mount namespace");
    }
    Finding::warn(
        check,
        ours.join(" "),
        "umount them; nothing of monopod mounts there",
    )
}

/// Without a daemon, cgroups of runs are of pods that run on, or empty and left over.
fn cgroups(place: &Place) -> Finding {
    let check = "left cgroups";
    if place.held != Some(false) {
        return Finding::ok(check, "the daemon looks after them");
    }
    let Ok(cgroups) = Cgroups::detect() else {
        return Finding::unchecked(check, "there are no cgroups");
    };
    let parent = place.cgroup_parent(&cgroups);
    let runs = match cgroups.children(&parent) {
        Ok(runs) => runs,
        Err(error) => return Finding::unchecked(check, error.to_string()),
    };
    let runs: BTreeSet<_> = runs.into_iter().filter(|run| run != LEAVING).collect();
    let alive = |run: &&String| {
        let usage = cgroups.usage(&format!("{parent}/{run}"));
        usage.and_then(|usage| usage.pids).unwrap_or(0) > 0
    };
    let running = runs.iter().filter(alive).count();
    let left = runs.len() - running;
    if left == 0 {
        return Finding::ok(check, format!("none below {parent}; {running} pods run"));
    }
    Finding::warn(
        check,
        format!("{left} empty below {parent}; {running} pods run"),
        "start the daemon: it removes what nobody knows",
    )
}
