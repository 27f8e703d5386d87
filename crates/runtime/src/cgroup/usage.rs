//! What a cgroup uses, read from its files when somebody asks.

use std::{fs::File, io::Read as _, path::Path};

use super::{Cgroups, Mode, keyed_value, relative};

/// The largest file that is read here: `cpu.stat` of version 2 has some 300 bytes.
const FILE_BYTES: usize = 1024;

/// What version 1 writes for "no limit" of memory: the largest page-aligned signed number (linux: `page_counter.h`).
const V1_UNLIMITED_BYTES: u64 = i64::MAX as u64 & !4095;

/// What one cgroup and all below it use. Absent is what this kernel does not tell, and limits that are not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Cpu time since the cgroup was made, in microseconds.
    pub cpu_usec: Option<u64>,
    /// Time for which its quota held it back, in microseconds.
    pub throttled_usec: Option<u64>,
    /// Quota periods in which it was held back.
    pub throttled_periods: Option<u64>,
    /// Bytes of memory charged now, page cache included.
    pub memory_bytes: Option<u64>,
    /// The most bytes ever charged (version 2 from Linux 5.19).
    pub memory_peak_bytes: Option<u64>,
    /// Bytes that may be charged.
    pub memory_limit_bytes: Option<u64>,
    /// Processes killed for lack of memory.
    pub oom_kills: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// Processes and threads that there may be.
    pub pids_limit: Option<u64>,
}

impl Cgroups {
    /// What the cgroup uses now; `None` if it is not there. Takes some eight short reads.
    ///
    /// Sources: `cgroup-v1/{cpuacct,memory,pids}.rst`, `cgroup-v2.rst` of the kernel.
    pub fn usage(&self, path: &str) -> Option<Usage> {
        let usage = match self.mode() {
            Mode::V1 | Mode::Hybrid => self.usage_v1(path),
            Mode::V2 => self.usage_v2(path),
        };
        (usage != Usage::default()).then_some(usage)
    }

    fn usage_v1(&self, path: &str) -> Usage {
        let file = |controller, name| self.content(controller, path, name);
        let number = |controller, name| file(controller, name)?.trim().parse().ok();
        let cpu = file("cpu", "cpu.stat").unwrap_or_default();
        let oom = file("memory", "memory.oom_control").unwrap_or_default();
        let nsec = |value: u64| value / 1000;
        Usage {
            cpu_usec: number("cpuacct", "cpuacct.usage").map(nsec),
            throttled_usec: keyed_value(&cpu, "throttled_time").map(nsec),
            throttled_periods: keyed_value(&cpu, "nr_throttled"),
            memory_bytes: number("memory", "memory.usage_in_bytes"),
            memory_peak_bytes: number("memory", "memory.max_usage_in_bytes"),
            memory_limit_bytes: number("memory", "memory.limit_in_bytes")
                .filter(|bytes| *bytes < V1_UNLIMITED_BYTES),
            oom_kills: keyed_value(&oom, "oom_kill"),
            pids: number("pids", "pids.current"),
            // "max" is no number.
            pids_limit: number("pids", "pids.max"),
        }
    }

    fn usage_v2(&self, path: &str) -> Usage {
        let file = |name| self.content("", path, name);
        let number = |name| file(name)?.trim().parse().ok();
        let cpu = file("cpu.stat").unwrap_or_default();
        let events = file("memory.events").unwrap_or_default();
        Usage {
            cpu_usec: keyed_value(&cpu, "usage_usec"),
            throttled_usec: keyed_value(&cpu, "throttled_usec"),
            throttled_periods: keyed_value(&cpu, "nr_throttled"),
            memory_bytes: number("memory.current"),
            memory_peak_bytes: number("memory.peak"),
            memory_limit_bytes: number("memory.max"),
            oom_kills: keyed_value(&events, "oom_kill"),
            pids: number("pids.current"),
            pids_limit: number("pids.max"),
        }
    }

    fn content(&self, controller: &str, path: &str, name: &str) -> Option<String> {
        let mount = self.mount_of(controller)?;
        read_short(&mount.join(relative(path).ok()?).join(name))
    }
}

/// Reads by one call, which is how cgroup files give a consistent answer.
fn read_short(path: &Path) -> Option<String> {
    let mut buffer = [0; FILE_BYTES];
    let read = File::open(path).ok()?.read(&mut buffer).ok()?;
    std::str::from_utf8(&buffer[..read]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::{super::Hierarchies, *};
    use crate::cgroup::Hierarchy;

    fn cgroups(mode: Mode, root: &Path, controllers: &[&str]) -> Cgroups {
        Cgroups::new(Hierarchies {
            mode,
            list: vec![Hierarchy {
                mount_point: root.to_owned(),
                controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            }],
        })
    }

    fn fill(root: &Path, files: &[(&str, &str)]) {
        let directory = root.join("p/run/c");
        std::fs::create_dir_all(&directory).unwrap();
        for (name, content) in files {
            std::fs::write(directory.join(name), content).unwrap();
        }
    }

    const EXPECTED: Usage = Usage {
        cpu_usec: Some(1500),
        throttled_usec: Some(20),
        throttled_periods: Some(3),
        memory_bytes: Some(4096),
        memory_peak_bytes: Some(8192),
        memory_limit_bytes: Some(65536),
        oom_kills: Some(2),
        pids: Some(5),
        pids_limit: None,
    };

    #[test]
    fn both_versions_tell_the_same_in_their_own_files() {
        let v2 = tempfile::tempdir().unwrap();
        fill(
            v2.path(),
            &[
                (
                    "cpu.stat",
                    "usage_usec 1500\nuser_usec 1000\nnr_periods 9\nnr_throttled 3\nthrottled_usec 20\n",
                ),
                ("memory.current", "4096\n"),
                ("memory.peak", "8192\n"),
                ("memory.max", "65536\n"),
                (
                    "memory.events",
                    "low 0\nmax 7\noom 2\noom_kill 2\noom_group_kill 0\n",
                ),
                ("pids.current", "5\n"),
                ("pids.max", "max\n"),
            ],
        );
        let found = cgroups(Mode::V2, v2.path(), &[]).usage("p/run/c");
        assert_eq!(found, Some(EXPECTED));

        let v1 = tempfile::tempdir().unwrap();
        fill(
            v1.path(),
            &[
                ("cpuacct.usage", "1500999\n"),
                (
                    "cpu.stat",
                    "nr_periods 9\nnr_throttled 3\nthrottled_time 20000\n",
                ),
                ("memory.usage_in_bytes", "4096\n"),
                ("memory.max_usage_in_bytes", "8192\n"),
                ("memory.limit_in_bytes", "65536\n"),
                (
                    "memory.oom_control",
                    "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                ),
                ("pids.current", "5\n"),
                ("pids.max", "max\n"),
            ],
        );
        let all = ["cpu", "cpuacct", "memory", "pids"];
        let found = cgroups(Mode::V1, v1.path(), &all).usage("p/run/c");
        assert_eq!(found, Some(EXPECTED));
    }

    #[test]
    fn what_is_not_there_uses_nothing_and_unlimited_is_no_limit() {
        let root = tempfile::tempdir().unwrap();
        let v1 = cgroups(Mode::V1, root.path(), &["memory"]);
        assert_eq!(v1.usage("p/run/c"), None);
        fill(
            root.path(),
            &[
                ("memory.usage_in_bytes", "1\n"),
                ("memory.limit_in_bytes", "9223372036854771712\n"),
            ],
        );
        let found = v1.usage("p/run/c").unwrap();
        assert_eq!(
            (found.memory_bytes, found.memory_limit_bytes),
            (Some(1), None)
        );
        assert_eq!(found.cpu_usec, None, "no such controller here");
    }
}
