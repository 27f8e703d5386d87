//! The cgroups of runs: `<parent>/<run>/{executor,<container>…}` in every hierarchy that containers join.
//!
//! The runtime makes every cgroup and sets every limit before a container exists; libcgroups, inside
//! libcontainer, then finds them there and only attaches the container's process. What else libcgroups offers is
//! not used, for these reasons: it discovers the hierarchies anew for every container by a dozen reads of
//! mountinfo (1.4 ms of a 6 ms creation), it removes a cgroup but not those that the payload made below it, it
//! kills only once, it has neither `memory.oom.group` nor a way to wait until a cgroup is empty, its pid list on
//! version 1 knows the devices hierarchy only, and its device lists allow what they should not (see `devices`).
//! (libcgroups: `v1/manager.rs`, `v2/manager.rs`.)
//!
//! Paths are relative to the mount point of each hierarchy, without leading slash; libcontainer's
//! `cgroupsPath` is the same path with one.

mod devices;
mod hierarchy;
mod limits;
mod pressure;
mod processes;
mod usage;

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write as _,
    path::{Component, Path, PathBuf},
};

pub use devices::DeviceFilter;
pub use hierarchy::{Hierarchies, Hierarchy, Mode};
pub use limits::{Limits, MEMORY_FLOOR_BYTES, PIDS_FLOOR};
pub use pressure::{MemoryKill, Shortage};
pub use usage::Usage;

use crate::{launch::CgroupPaths, mountinfo};

/// The controllers whose limits are set here; without one of them no pod can be held to what it was given.
const REQUIRED: [&str; 3] = ["cpu", "memory", "pids"];

/// What is passed down to runs where it can be had. Nothing is written to its files: every cgroup then has the
/// kernel's default weight, so that disks are shared evenly, and accounts are kept.
const WELCOME: [&str; 1] = ["io"];

/// A cgroup that could not be made, changed, emptied or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Neither version is mounted where libcgroups looks.
    #[error("find cgroups: none are mounted at /sys/fs/cgroup")]
    NotMounted,
    /// The path is absolute, empty or has `..`.
    #[error("use '{path}' as a cgroup: it must be relative and free of '..'")]
    Path {
        /// The path as given.
        path: String,
    },
    /// A controller that limits need is not to be had.
    #[error(
        "limit {controller} in cgroup {path}: the controller is not available there; the kernel may have it switched \
         off (cgroup_disable=), or it was not delegated (systemd: Delegate=yes)"
    )]
    Controller {
        /// The controller.
        controller: String,
        /// The cgroup.
        path: PathBuf,
    },
    /// A cgroup does not pass a controller down.
    #[error(
        "pass the {controller} controller down from cgroup {path}: no process may be in that very cgroup, only in \
         ones below it"
    )]
    Delegation {
        /// The controller.
        controller: &'static str,
        /// The cgroup's directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device list cannot be enforced.
    #[error(
        "load the program that keeps containers from the host's devices (it needs CAP_SYS_ADMIN and a kernel with \
         CONFIG_CGROUP_BPF)"
    )]
    DeviceProgram {
        /// Why.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried: `read`, `write`, `create`, `remove`.
        action: &'static str,
        /// File or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes outlived every SIGKILL until the deadline.
    #[error("empty cgroup {path}: processes {pids:?} do not end")]
    NotEmpty {
        /// The cgroup.
        path: String,
        /// Those left.
        pids: Vec<i32>,
    },
}

impl CgroupError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    fn missing(controller: &str, path: impl Into<PathBuf>) -> Self {
        Self::Controller {
            controller: controller.to_owned(),
            path: path.into(),
        }
    }
}

/// The host's cgroup hierarchies, found once.
#[derive(Clone, Debug)]
pub struct Cgroups {
    hierarchies: Hierarchies,
}

impl Cgroups {
    /// Finds the hierarchies of this host.
    ///
    /// # Errors
    /// Mountinfo cannot be read, or no cgroups are mounted.
    pub fn detect() -> Result<Self, CgroupError> {
        let mounts = mountinfo::read()
            .map_err(|source| CgroupError::io("read", Path::new("/proc/self/mountinfo"), source))?;
        Hierarchies::from_mounts(&mounts)
            .map(Self::new)
            .ok_or(CgroupError::NotMounted)
    }

    /// Uses hierarchies found elsewhere.
    pub const fn new(hierarchies: Hierarchies) -> Self {
        Self { hierarchies }
    }

    /// Which version this host has.
    pub const fn mode(&self) -> Mode {
        self.hierarchies.mode
    }

    /// Makes `<parent>` and `<parent>/leaving`, where executors go at their end.
    ///
    /// # Errors
    /// The first directory that could not be made.
    pub fn create_parent(&self, parent: &str) -> Result<(), CgroupError> {
        self.create(&format!("{parent}/leaving"), &Limits::default())
    }

    /// The controllers that cgroups below `parent` have, ordered by name. On version 2 `parent` must exist.
    pub fn controllers(&self, parent: &str) -> BTreeSet<String> {
        if self.mode() != Mode::V2 {
            let all = self.hierarchies.list.iter();
            return all
                .flat_map(|hierarchy| hierarchy.controllers.iter().cloned())
                .collect();
        }
        let enabled = self.read_of("", parent, "cgroup.subtree_control");
        let enabled = enabled.unwrap_or_default();
        enabled.split_whitespace().map(str::to_owned).collect()
    }

    /// Makes sure that every limit can be set below `parent`, which must exist.
    ///
    /// # Errors
    /// The first controller that is not to be had.
    pub fn require_controllers(&self, parent: &str) -> Result<(), CgroupError> {
        let present = self.controllers(parent);
        let missing = REQUIRED.iter().find(|name| !present.contains(**name));
        missing.map_or(Ok(()), |name| Err(CgroupError::missing(name, parent)))
    }

    /// Makes all cgroups of a run: the pod's own with `run` as limits, the executor's, and each container's, which
    /// is kept from all devices that are not allowed.
    ///
    /// # Errors
    /// The first step that failed; what was made stays, see [`Cgroups::remove`].
    pub fn create_run<'a>(
        &self,
        paths: &CgroupPaths,
        run: &Limits,
        containers: impl IntoIterator<Item = (&'a str, Limits)>,
        devices: &DeviceFilter,
    ) -> Result<(), CgroupError> {
        self.create(&paths.run, run)?;
        self.create(&paths.executor, &Limits::default())?;
        for (name, limits) in containers {
            let path = format!("{}/{name}", paths.run);
            self.create(&path, &limits)?;
            self.restrict_devices(&path, devices)?;
        }
        Ok(())
    }

    /// Makes one cgroup, with its ancestors, and sets its limits. One that exists gets the limits.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn create(&self, path: &str, limits: &Limits) -> Result<(), CgroupError> {
        let path = relative(path)?;
        for hierarchy in &self.hierarchies.list {
            self.create_in(hierarchy, path)?;
        }
        self.write_settings(path, &limits.settings(self.mode()))
    }

    /// Limits cpu time to thousandths of a cpu; `None` lifts the limit. To be called once the payload runs.
    ///
    /// # Errors
    /// The kernel refused, for example because an ancestor has less.
    pub fn set_cpu_quota(&self, path: &str, cpus_milli: Option<u64>) -> Result<(), CgroupError> {
        self.write_settings(relative(path)?, &limits::cpu_quota(self.mode(), cpus_milli))
    }

    /// Moves a process into the cgroup, in every hierarchy.
    ///
    /// # Errors
    /// The first hierarchy that refused; it may then be in some and not in others.
    pub fn join(&self, path: &str, pid: i32) -> Result<(), CgroupError> {
        let path = relative(path)?;
        for hierarchy in &self.hierarchies.list {
            let file = hierarchy.mount_point.join(path).join("cgroup.procs");
            write(&file, &pid.to_string())?;
        }
        Ok(())
    }

    /// Whether the cgroup is there in any hierarchy.
    pub fn exists(&self, path: &str) -> bool {
        self.directories(Path::new(path)).any(|dir| dir.is_dir())
    }

    /// The cgroup's directory in the first hierarchy, for locking.
    pub fn directory(&self, path: &str) -> PathBuf {
        let first = self.hierarchies.list.first();
        first.map_or_else(PathBuf::new, |first| first.mount_point.join(path))
    }

    /// Names of the cgroups directly below, over all hierarchies; none if the cgroup is not there.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn children(&self, path: &str) -> Result<BTreeSet<String>, CgroupError> {
        let mut names = BTreeSet::new();
        for dir in self.directories(relative(path)?) {
            let children = processes::child_directories(&dir)?;
            names.extend(children.iter().filter_map(|child| {
                let name = child.file_name()?.to_str()?;
                Some(name.to_owned())
            }));
        }
        Ok(names)
    }

    fn read_of(&self, controller: &str, path: &str, file: &str) -> Option<String> {
        let mount = self.mount_of(controller)?;
        fs::read_to_string(mount.join(relative(path).ok()?).join(file)).ok()
    }

    fn mount_of(&self, controller: &str) -> Option<&Path> {
        let hierarchy = match self.mode() {
            Mode::V1 | Mode::Hybrid => self.hierarchies.with_controller(controller),
            Mode::V2 => self.hierarchies.list.first(),
        };
        hierarchy.map(|hierarchy| hierarchy.mount_point.as_path())
    }

    fn directories<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        self.hierarchies
            .list
            .iter()
            .map(move |hierarchy| hierarchy.mount_point.join(path))
    }

    fn create_in(&self, hierarchy: &Hierarchy, path: &Path) -> Result<(), CgroupError> {
        let cpuset = hierarchy.controllers.iter().any(|name| name == "cpuset");
        let mut current = hierarchy.mount_point.clone();
        for component in path.components() {
            if self.mode() == Mode::V2 {
                enable_controllers(&current)?;
            }
            let parent = current.clone();
            current.push(component);
            let made = make_directory(&current)?;
            if cpuset && made && is_empty_cpuset(&current)? {
                copy_from_parent(&parent, &current, "cpuset.cpus")?;
                copy_from_parent(&parent, &current, "cpuset.mems")?;
                // Those below are made with the same: each write has the kernel look at every cpuset there is.
                write(&current.join("cgroup.clone_children"), "1")?;
            }
        }
        Ok(())
    }

    fn write_settings(&self, path: &Path, settings: &[limits::Setting]) -> Result<(), CgroupError> {
        for setting in settings {
            let mount = self.mount_of(setting.controller);
            let file = mount.map(|mount| mount.join(path).join(setting.file));
            let present = file.filter(|file| file.exists());
            match present {
                Some(file) => write(&file, &setting.value)?,
                None if setting.optional => {}
                None => return Err(CgroupError::missing(setting.controller, path)),
            }
        }
        Ok(())
    }
}

fn relative(path: &str) -> Result<&Path, CgroupError> {
    let normal = |component| matches!(component, Component::Normal(_));
    if path.is_empty() || !Path::new(path).components().all(normal) {
        return Err(CgroupError::Path {
            path: path.to_owned(),
        });
    }
    Ok(Path::new(path))
}

/// Lets the cgroups below `dir` have the controllers that limits need, and those that are welcome. Ones that cannot
/// be had are left out: the limit that needs one fails with its name. What is enabled already, as in a subtree that
/// systemd delegated, is not touched.
fn enable_controllers(dir: &Path) -> Result<(), CgroupError> {
    let file = dir.join("cgroup.subtree_control");
    let available = read(&dir.join("cgroup.controllers"))?;
    let enabled = read(&file)?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|item| item == name);
    let wanted = |name: &&&str| has(&available, name) && !has(&enabled, name);
    for controller in REQUIRED.iter().filter(wanted) {
        match write(&file, &format!("+{controller}")) {
            Err(CgroupError::Io { source, .. }) => {
                return Err(CgroupError::Delegation {
                    controller,
                    path: dir.to_owned(),
                    source,
                });
            }
            other => other?,
        }
    }
    for controller in WELCOME.iter().filter(wanted) {
        // Without it disks are shared by chance, which is no reason to run nothing.
        let _ = write(&file, &format!("+{controller}"));
    }
    Ok(())
}

/// A new version 1 cpuset has neither cpus nor memory nodes, and refuses every process until it has; unless it was made
/// like its parent (`cgroup.clone_children`, kernel: `admin-guide/cgroup-v1/cgroups.rst`).
fn is_empty_cpuset(dir: &Path) -> Result<bool, CgroupError> {
    let is_empty = |file| Ok(read(&dir.join(file))?.trim().is_empty());
    Ok(is_empty("cpuset.cpus")? || is_empty("cpuset.mems")?)
}

fn copy_from_parent(parent: &Path, child: &Path, file: &str) -> Result<(), CgroupError> {
    let target = child.join(file);
    if read(&target)?.trim().is_empty() {
        write(&target, read(&parent.join(file))?.trim())?;
    }
    Ok(())
}

fn make_directory(dir: &Path) -> Result<bool, CgroupError> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(CgroupError::io("create", dir, source)),
    }
}

fn read(file: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(file).map_err(|source| CgroupError::io("read", file, source))
}

/// Writes without creating: a cgroup filesystem answers a missing file with "permission denied".
fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    let open = fs::OpenOptions::new().write(true).open(file);
    open.and_then(|mut open| open.write_all(value.as_bytes()))
        .map_err(|source| CgroupError::io("write", file, source))
}

/// The value behind a key in a file of `key value` lines.
fn keyed_value(content: &str, key: &str) -> Option<u64> {
    content
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests;
