//! What the kernel knows of a daemon's pods: processes, cgroups, mounts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process in a cgroup of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// In clock ticks since boot; tells a process from a later one of the same id.
    pub start_time: u64,
    /// Whether it is the first of its session, as executors are.
    pub leads_session: bool,
    /// Its cgroup below the parent, such as `<run>/<container>`.
    pub cgroup: String,
}

impl Process {
    /// Whether it is the executor of a run; not one of the children by which it makes containers.
    pub fn is_executor(&self) -> bool {
        self.leads_session && self.is_of_executor()
    }

    /// Whether it is an executor or a child of one that is no container.
    pub fn is_of_executor(&self) -> bool {
        self.cgroup.ends_with("/executor")
    }

    /// The run it belongs to.
    pub fn run(&self) -> &str {
        self.cgroup.split('/').next().unwrap_or_default()
    }

    /// Sends SIGKILL; nothing happens if it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends a signal; nothing happens if it is gone.
    pub fn signal(&self, signal: Signal) {
        if start_time(self.pid) == Some(self.start_time)
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

/// All processes in cgroups below `parent`, a name that nobody else uses.
pub fn processes(parent: &str) -> BTreeSet<Process> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let marker = format!("/{parent}/");
        let cgroup = cgroups
            .lines()
            .find_map(|line| Some(line.split_once(&marker)?.1.to_owned()))?;
        let (session, start_time) = stat(pid)?;
        let leads_session = session == pid;
        Some(Process {
            pid,
            start_time,
            leads_session,
            cgroup,
        })
    })
    .collect()
}

/// When a process that is no zombie started.
fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start_time)| start_time)
}

/// Session and start time of a process that is no zombie.
fn stat(pid: i32) -> Option<(i32, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if fields.first() == Some(&"Z") {
        return None;
    }
    Some((fields.get(3)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Where the hierarchies of cgroups are mounted.
fn hierarchies() -> Vec<PathBuf> {
    mounts()
        .into_iter()
        .filter(|(_, kind)| kind == "cgroup" || kind == "cgroup2")
        .map(|(path, _)| path)
        .collect()
}

/// Mount points of this mount namespace and their kinds of file system.
fn mounts() -> Vec<(PathBuf, String)> {
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        Some((
            PathBuf::from(left.split(' ').nth(4)?),
            right.split(' ').next()?.to_owned(),
        ))
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Mount points at or below a directory, deepest last.
pub fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    mounts()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.starts_with(directory))
        .collect()
}

/// The names of the cgroups right below `parent`, with the hierarchies that have them.
pub fn child_cgroups(parent: &str) -> BTreeMap<String, usize> {
    let mut children = BTreeMap::new();
    for hierarchy in hierarchies() {
        let Ok(entries) = fs::read_dir(hierarchy.join(parent)) else {
            continue;
        };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            *children
                .entry(entry.file_name().to_string_lossy().into_owned())
                .or_default() += 1;
        }
    }
    children
}

/// Whether controllers are on version 2 of cgroups.
pub fn has_cgroup_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A file of a cgroup, where the hierarchy of `controller` has it; without the last line end.
///
/// # Panics
/// It cannot be read.
#[track_caller]
pub fn cgroup_file(controller: &str, cgroup: &str, file: &str) -> String {
    let path = cgroup_path(controller, cgroup, file);
    let content = fs::read_to_string(&path);
    let content = content.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    content.trim_end().to_owned()
}

/// Where a file of a cgroup is.
pub fn cgroup_path(controller: &str, cgroup: &str, file: &str) -> PathBuf {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchy = if has_cgroup_v2() {
        root.to_owned()
    } else {
        root.join(controller)
    };
    hierarchy.join(cgroup).join(file)
}

/// The number behind a key in a cgroup's file of `key value` lines.
///
/// # Panics
/// It is not there.
#[track_caller]
pub fn cgroup_count(controller: &str, cgroup: &str, file: &str, key: &str) -> u64 {
    let content = cgroup_file(controller, cgroup, file);
    let value = content
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {key} in {file} of {cgroup}: {content}"))
}

/// Thaws `parent` and all below it: what is frozen does not die of SIGKILL under version 1.
pub fn thaw_cgroups(parent: &str) {
    for hierarchy in hierarchies() {
        thaw_tree(&hierarchy.join(parent));
    }
}

fn thaw_tree(cgroup: &Path) {
    for (file, thawed) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
        let path = cgroup.join(file);
        if path.exists() {
            // It may be gone by now.
            let _ = fs::write(path, thawed);
        }
    }
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            thaw_tree(&entry.path());
        }
    }
}

/// Removes `parent` from every hierarchy; whether nothing of it was busy.
pub fn remove_cgroups(parent: &str) -> bool {
    let paths: Vec<_> = hierarchies()
        .iter()
        .map(|hierarchy| hierarchy.join(parent))
        .collect();
    paths.iter().for_each(|path| remove_tree(path));
    !paths.iter().any(|path| path.exists())
}

fn remove_tree(cgroup: &Path) {
    let Ok(entries) = fs::read_dir(cgroup) else {
        return;
    };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        remove_tree(&entry.path());
    }
    let _ = fs::remove_dir(cgroup);
}
