//! A cgroup for each contestant, below one of this run's own: it accounts for all that the contestant spends,
//! wherever a process was re-parented to, and finds every process at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::{clock, contestant::Kind};

/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// The hierarchy that accounts for CPU time, and this run's name in it.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    name: String,
    mount: PathBuf,
    all_mounts: Vec<PathBuf>,
    version_2: bool,
    hybrid: Option<PathBuf>,
    before: PathBuf,
}

impl Cgroups {
    /// Finds the hierarchy: `cpuacct` of version 1 where it is mounted, else version 2.
    pub(crate) fn find(name: &str) -> anyhow::Result<Self> {
        let mountinfo =
            fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
        let mut mounts = mountinfo.lines().filter_map(hierarchy);
        let is_cgroup = |mount: &Hierarchy<'_>| mount.kind == "cgroup" || mount.kind == "cgroup2";
        let all_mounts = mounts
            .clone()
            .filter(is_cgroup)
            .map(|mount| mount.path)
            .collect();
        let version_2 = mounts
            .clone()
            .find(|mount| mount.kind == "cgroup2")
            .map(|mount| mount.path);
        let accounting = mounts.find(|mount| {
            mount.kind == "cgroup" && mount.options.split(',').any(|option| option == "cpuacct")
        });
        let own = fs::read_to_string("/proc/self/cgroup").context("read this process's cgroups")?;
        let (mount, hybrid, marker) = match accounting {
            Some(accounting) => (accounting.path, version_2, "cpuacct"),
            None => (
                version_2.context("find a mounted cgroup hierarchy")?,
                None,
                "",
            ),
        };
        let own = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            controllers
                .split(',')
                .any(|controller| controller == marker)
                .then_some(path)
        });
        let before = mount.join(own.unwrap_or_default().trim_start_matches('/'));
        let version_2 = marker.is_empty();
        Ok(Self {
            name: name.to_owned(),
            mount,
            all_mounts,
            version_2,
            hybrid,
            before,
        })
    }

    /// Where version 2 is mounted beside version 1: there, crun does not know what to do.
    pub(crate) fn hybrid_mount(&self) -> Option<&Path> {
        self.hybrid.as_deref()
    }

    /// What a contestant puts its pods' cgroups below.
    pub(crate) fn pods_of(&self, kind: Kind) -> String {
        format!("{}/{kind}/pods", self.name)
    }

    /// The same in all hierarchies, as directories.
    pub(crate) fn directories_of(&self, kind: Kind) -> Vec<PathBuf> {
        self.all_mounts
            .iter()
            .map(|mount| mount.join(self.pods_of(kind)))
            .collect()
    }

    /// Moves this process into a contestant's cgroup, so that all it starts is accounted for there.
    pub(crate) fn enter(&self, kind: Kind) -> anyhow::Result<()> {
        let contestant = self.contestant(kind);
        let harness = contestant.join("harness");
        let what = || format!("make the cgroup {}", harness.display());
        fs::create_dir_all(&harness).with_context(what)?;
        if self.version_2 {
            for parent in [&self.mount, &self.mount.join(&self.name), &contestant] {
                delegate_controllers(parent);
            }
        }
        move_this_process(&harness).with_context(|| format!("enter {}", harness.display()))
    }

    /// Moves this process back to where it was.
    fn leave(&self) {
        if let Err(error) = move_this_process(&self.before) {
            eprintln!(
                "bench: failed to go back to {}: {error}",
                self.before.display()
            );
        }
    }

    /// CPU time in milliseconds that a contestant has spent, without what this process itself has; only the
    /// difference of two such values means anything.
    pub(crate) fn spent_ms(&self, kind: Kind) -> anyhow::Result<f64> {
        let contestant = self.contestant(kind);
        let all = if self.version_2 {
            let stat = fs::read_to_string(contestant.join("cpu.stat")).context("read cpu.stat")?;
            let usage = stat
                .lines()
                .find_map(|line| line.strip_prefix("usage_usec "));
            Duration::from_micros(
                usage
                    .context("find usage_usec")?
                    .parse()
                    .context("read usage_usec")?,
            )
        } else {
            let usage = fs::read_to_string(contestant.join("cpuacct.usage"))
                .context("read cpuacct.usage")?;
            Duration::from_nanos(usage.trim().parse().context("read cpuacct.usage")?)
        };
        Ok(clock::milliseconds(all) - clock::milliseconds(clock::own_cpu()))
    }

    /// All processes of a contestant, without this process.
    pub(crate) fn processes(&self, kind: Kind) -> Vec<i32> {
        processes_below(&self.contestant(kind))
    }

    /// Kills all processes of a contestant and waits until they are gone.
    pub(crate) fn kill(&self, kind: Kind) {
        kill_all_below(&self.contestant(kind));
    }

    /// Kills every process of this run but this one.
    pub(crate) fn kill_all(&self) {
        kill_all_below(&self.mount.join(&self.name));
    }

    /// Kills every process of this run and removes its cgroups from all hierarchies.
    pub(crate) fn remove(&self) {
        self.kill_all();
        self.leave();
        e2e::kernel::remove_cgroups(&self.name);
    }

    fn contestant(&self, kind: Kind) -> PathBuf {
        self.mount.join(&self.name).join(kind.to_string())
    }
}

struct Hierarchy<'a> {
    path: PathBuf,
    kind: &'a str,
    options: &'a str,
}

fn hierarchy(line: &str) -> Option<Hierarchy<'_>> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1)?;
    Some(Hierarchy {
        path: PathBuf::from(left.split(' ').nth(4)?),
        kind,
        options,
    })
}

/// Makes every controller available below a cgroup of version 2. What is refused one by one stays off.
fn delegate_controllers(cgroup: &Path) {
    let available = fs::read_to_string(cgroup.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        let _ = fs::write(
            cgroup.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
}

fn move_this_process(cgroup: &Path) -> std::io::Result<()> {
    fs::write(cgroup.join("cgroup.procs"), std::process::id().to_string())
}

fn processes_below(cgroup: &Path) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut processes: Vec<_> = text
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid != own)
        .collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes.extend(processes_below(&entry.path()));
        }
    }
    processes
}

fn kill_all_below(cgroup: &Path) {
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        let processes = processes_below(cgroup);
        if processes.is_empty() || Instant::now() > deadline {
            return;
        }
        for pid in processes.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_mount_table() {
        let line =
            "33 32 0:28 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct";
        let found = hierarchy(line).unwrap();
        assert_eq!(found.path, PathBuf::from("/sys/fs/cgroup/cpu"));
        assert_eq!((found.kind, found.options), ("cgroup", "rw,cpu,cpuacct"));
        assert!(hierarchy("nonsense").is_none());
    }
}
