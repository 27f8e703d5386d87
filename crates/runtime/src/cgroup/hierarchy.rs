//! Which cgroup hierarchies this host has. Pure: from mountinfo to [`Hierarchies`].

use std::path::{Path, PathBuf};

use crate::mountinfo::MountEntry;

/// Where libcgroups looks; it knows no other place (libcgroups: `common.rs`, `DEFAULT_CGROUP_ROOT`).
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// The controllers that libcgroups attaches containers to on version 1, where they are mounted
/// (libcgroups: `v1/controller_type.rs`). Named hierarchies are not among them.
const V1_CONTROLLERS: [&str; 12] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "hugetlb",
    "memory",
    "pids",
    "perf_event",
    "blkio",
    "net_prio",
    "net_cls",
    "freezer",
];

/// Which version of cgroups holds the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Version 1 alone.
    V1,
    /// Controllers on version 1, and a version 2 hierarchy beside them that is left alone.
    Hybrid,
    /// Version 2 alone.
    V2,
}

impl Mode {
    /// The mode as `monopod info` tells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Hybrid => "hybrid",
            Self::V2 => "v2",
        }
    }
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its controllers on version 1; empty on version 2, where each cgroup's files tell.
    pub controllers: Vec<String>,
}

/// Every hierarchy that runs are kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    /// Which version.
    pub mode: Mode,
    /// At least one; exactly one on version 2.
    pub list: Vec<Hierarchy>,
}

impl Hierarchies {
    /// Finds the hierarchies that libcgroups finds, by the same rule: version 2 exactly if `/sys/fs/cgroup`
    /// itself is of that kind; else every version 1 mount whose directory is named for a controller.
    /// `None` if there is neither.
    pub fn from_mounts(mounts: &[MountEntry]) -> Option<Self> {
        let root = mounts
            .iter()
            .rfind(|mount| mount.mount_point == Path::new(CGROUP_ROOT))?;
        if root.fs_type == "cgroup2" {
            return Some(Self {
                mode: Mode::V2,
                list: vec![Hierarchy {
                    mount_point: root.mount_point.clone(),
                    controllers: Vec::new(),
                }],
            });
        }
        let mut list: Vec<Hierarchy> = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.fs_type == "cgroup") {
            let controllers = v1_controllers(mount);
            let known = |hierarchy: &Hierarchy| hierarchy.controllers == controllers;
            if !controllers.is_empty() && !list.iter().any(known) {
                list.push(Hierarchy {
                    mount_point: mount.mount_point.clone(),
                    controllers,
                });
            }
        }
        let hybrid = mounts.iter().any(|mount| mount.fs_type == "cgroup2");
        let mode = if hybrid { Mode::Hybrid } else { Mode::V1 };
        (!list.is_empty()).then_some(Self { mode, list })
    }

    /// The version 1 hierarchy of a controller.
    pub fn with_controller(&self, controller: &str) -> Option<&Hierarchy> {
        self.list
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }
}

fn v1_controllers(mount: &MountEntry) -> Vec<String> {
    mount
        .super_options
        .iter()
        .filter(|option| V1_CONTROLLERS.contains(&option.as_str()))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mountinfo;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 31 0:32 / /elsewhere/memory rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    const UNIFIED: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate
32 31 0:29 / /run/net_cls rw - cgroup cgroup rw,net_cls
";

    #[test]
    fn finds_what_libcgroups_finds() {
        let legacy: String = HYBRID.lines().take(3).map(|l| format!("{l}\n")).collect();
        let cases = [
            (HYBRID, Some((Mode::Hybrid, 2))),
            (legacy.as_str(), Some((Mode::V1, 2))),
            (UNIFIED, Some((Mode::V2, 1))),
            ("27 1 254:0 / / rw - ext4 /dev/vda rw\n", None),
        ];
        for (text, expected) in cases {
            let found = Hierarchies::from_mounts(&mountinfo::parse(text.as_bytes()));
            let summary = found.as_ref().map(|found| (found.mode, found.list.len()));
            assert_eq!(summary, expected, "{text}");
        }
        let found = Hierarchies::from_mounts(&mountinfo::parse(HYBRID.as_bytes())).unwrap();
        let memory = found.with_controller("memory").unwrap();
        assert_eq!(memory.mount_point, Path::new("/sys/fs/cgroup/memory"));
        assert!(found.with_controller("freezer").is_none());
    }
}
