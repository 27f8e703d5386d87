//! Processes of a cgroup: listing, killing, waiting for their end; and removal.

use std::{
    fs,
    io::{self, Read as _, Seek as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

use super::{CgroupError, Cgroups, Mode, keyed_value, relative, write};

/// How long a freeze may take before processes are killed unfrozen.
const FREEZE_PATIENCE: Duration = Duration::from_millis(50);

/// Between two looks where the kernel offers nothing to wait on.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Longest single wait on processes of a version 1 cgroup, in which new ones may have been forked.
const WAIT_SLICE: Duration = Duration::from_millis(100);

impl Cgroups {
    /// Every process of the cgroup and those below it, over all hierarchies; none if it is not there.
    /// Ended processes that nobody waited for do not count.
    ///
    /// # Errors
    /// A list cannot be read.
    pub fn procs(&self, path: &str) -> Result<Vec<i32>, CgroupError> {
        let mut pids = Vec::new();
        for dir in self.directories(relative(path)?) {
            collect_pids(&dir, &mut pids)?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Sends SIGKILL to every process of the cgroup and those below it, so that none can fork away. Does not
    /// wait for their end. A cgroup that is not there has none.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn kill(&self, path: &str) -> Result<(), CgroupError> {
        let path = relative(path)?;
        match self.mode() {
            Mode::V2 => self.kill_at_once(path),
            Mode::V1 | Mode::Hybrid => self.kill_frozen(path),
        }
    }

    /// Waits until the cgroup and those below it have no process left; tells whether that came before the
    /// deadline.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn wait_empty(&self, path: &str, deadline: Instant) -> Result<bool, CgroupError> {
        match self.mode() {
            Mode::V2 => self.wait_unpopulated(relative(path)?, deadline),
            Mode::V1 | Mode::Hybrid => self.wait_for_procs(path, deadline),
        }
    }

    /// Kills whatever is left in the cgroup, waits for its end, and removes it with everything below it, in
    /// every hierarchy. One that is not there is removed already.
    ///
    /// # Errors
    /// Processes that do not end before the deadline, or directories that cannot be removed.
    pub fn destroy(&self, path: &str, deadline: Instant) -> Result<(), CgroupError> {
        while self.exists(path) {
            self.kill(path)?;
            let slice = deadline.min(Instant::now() + WAIT_SLICE);
            if self.wait_empty(path, slice)? {
                let slice = deadline.min(Instant::now() + WAIT_SLICE);
                match self.remove(path, slice) {
                    // Somebody joined after the look: to be killed as well.
                    Err(_) if Instant::now() < deadline => continue,
                    result => return result,
                }
            }
            if Instant::now() >= deadline {
                return Err(CgroupError::NotEmpty {
                    path: path.to_owned(),
                    pids: self.procs(path)?,
                });
            }
        }
        Ok(())
    }

    /// Removes an empty cgroup with everything below it (the payload may have made some), in every hierarchy.
    /// A process that just ended may keep it busy for a moment: tried again until the deadline.
    ///
    /// # Errors
    /// The first directory that could not be removed.
    pub fn remove(&self, path: &str, deadline: Instant) -> Result<(), CgroupError> {
        for dir in self.directories(relative(path)?) {
            while let Err(error) = remove_tree(&dir) {
                if Instant::now() >= deadline {
                    return Err(error);
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    fn kill_at_once(&self, path: &Path) -> Result<(), CgroupError> {
        for dir in self.directories(path).filter(|dir| dir.is_dir()) {
            let kill = dir.join("cgroup.kill");
            if kill.exists() {
                write_unless_gone(&kill, "1")?;
            } else {
                kill_listed(&dir)?;
            }
        }
        Ok(())
    }

    /// Version 1 has no kill: the cgroup is frozen so that nothing forks while the list is worked off. The
    /// signals act when it thaws.
    fn kill_frozen(&self, path: &Path) -> Result<(), CgroupError> {
        let freezer = self.mount_of("freezer").map(|mount| mount.join(path));
        let state = freezer.map(|dir| dir.join("freezer.state"));
        let state = state.filter(|file| file.exists());
        if let Some(file) = &state {
            write_unless_gone(file, "FROZEN")?;
            wait_frozen(file);
        }
        let pids = self.procs(&path.to_string_lossy());
        for pid in pids.iter().flatten() {
            kill_one(*pid);
        }
        if let Some(dir) = state.as_deref().and_then(Path::parent) {
            thaw(dir)?;
        }
        pids.map(drop)
    }

    fn wait_unpopulated(&self, path: &Path, deadline: Instant) -> Result<bool, CgroupError> {
        for dir in self.directories(path) {
            let file = dir.join("cgroup.events");
            let Some(mut events) = open_existing(&file)? else {
                continue;
            };
            while populated(&mut events, &file)? {
                let changed = wait_on(&events, PollFlags::PRI, deadline);
                if !changed && Instant::now() >= deadline {
                    return Ok(!populated(&mut events, &file)?);
                }
            }
        }
        Ok(true)
    }

    fn wait_for_procs(&self, path: &str, deadline: Instant) -> Result<bool, CgroupError> {
        loop {
            let pids = self.procs(path)?;
            let Some(pidfd) = pids.iter().find_map(|pid| open_pidfd(*pid)) else {
                if pids.is_empty() || Instant::now() >= deadline {
                    return Ok(pids.is_empty());
                }
                // All of them ended between the list and the look; the next list is without them.
                thread::sleep(LOOK_AGAIN);
                continue;
            };
            let ended = wait_on(&pidfd, PollFlags::IN, deadline);
            if !ended && Instant::now() >= deadline {
                return Ok(self.procs(path)?.is_empty());
            }
        }
    }
}

/// Kernels before 5.14 have no `cgroup.kill`: a frozen cgroup does not fork while the list is worked off, and what is
/// frozen can be killed. A cgroup that is gone by now has nobody left.
pub(super) fn kill_listed(dir: &Path) -> Result<(), CgroupError> {
    let freeze = dir.join("cgroup.freeze");
    write_unless_gone(&freeze, "1")?;
    let mut pids = Vec::new();
    let listed = collect_pids(dir, &mut pids);
    pids.into_iter().for_each(kill_one);
    write_unless_gone(&freeze, "0")?;
    listed
}

/// Thaws a cgroup and every one below it: whoever froze one of those may have been killed before it thawed it,
/// and a signal acts on nothing that is frozen.
fn thaw(dir: &Path) -> Result<(), CgroupError> {
    for child in child_directories(dir)? {
        thaw(&child)?;
    }
    write_unless_gone(&dir.join("freezer.state"), "THAWED")
}

/// Directories directly below; none if it is not there.
pub(super) fn child_directories(dir: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let error = |source| CgroupError::io("read", dir, source);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(gone) if is_gone(&gone) => return Ok(Vec::new()),
        Err(source) => return Err(error(source)),
    };
    let mut children = Vec::new();
    for entry in entries {
        match entry.and_then(|entry| Ok((entry.file_type()?, entry.path()))) {
            Ok((kind, path)) if kind.is_dir() => children.push(path),
            Ok(_) => {}
            Err(gone) if is_gone(&gone) => {}
            Err(source) => return Err(error(source)),
        }
    }
    Ok(children)
}

fn collect_pids(dir: &Path, pids: &mut Vec<i32>) -> Result<(), CgroupError> {
    let file = dir.join("cgroup.procs");
    match fs::read_to_string(&file) {
        // 0 stands for processes of a pid namespace that is not visible from here.
        Ok(list) => {
            let listed = list.lines().filter_map(|line| line.parse::<i32>().ok());
            pids.extend(listed.filter(|pid| *pid > 0));
        }
        Err(error) if is_gone(&error) => return Ok(()),
        Err(source) => return Err(CgroupError::io("read", &file, source)),
    }
    child_directories(dir)?
        .iter()
        .try_for_each(|child| collect_pids(child, pids))
}

fn remove_tree(dir: &Path) -> Result<(), CgroupError> {
    for child in child_directories(dir)? {
        remove_tree(&child)?;
    }
    match fs::remove_dir(dir) {
        Err(error) if !is_gone(&error) => Err(CgroupError::io("remove", dir, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A cgroup removed meanwhile: its directory is missing, or a file of it that was open has no cgroup any more.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// The executor may remove its run's cgroup at any moment.
fn write_unless_gone(file: &Path, value: &str) -> Result<(), CgroupError> {
    match write(file, value) {
        Err(CgroupError::Io { source, .. }) if is_gone(&source) => Ok(()),
        other => other,
    }
}

fn wait_frozen(state: &Path) {
    let deadline = Instant::now() + FREEZE_PATIENCE;
    let frozen = || {
        let content = fs::read_to_string(state).unwrap_or_default();
        content.trim() != "FREEZING"
    };
    while !frozen() && Instant::now() < deadline {
        thread::sleep(LOOK_AGAIN);
    }
}

/// Fails only for a process that is gone already; anything else shows when the cgroup does not empty.
fn kill_one(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn open_pidfd(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

fn open_existing(file: &Path) -> Result<Option<fs::File>, CgroupError> {
    match fs::File::open(file) {
        Ok(open) => Ok(Some(open)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(CgroupError::io("read", file, source)),
    }
}

fn populated(events: &mut fs::File, path: &Path) -> Result<bool, CgroupError> {
    let mut content = String::new();
    let read = events
        .rewind()
        .and_then(|()| events.read_to_string(&mut content));
    match read {
        Ok(_) => Ok(keyed_value(&content, "populated") == Some(1)),
        Err(error) if is_gone(&error) => Ok(false),
        Err(source) => Err(CgroupError::io("read", path, source)),
    }
}

/// Waits for an event on a descriptor until the deadline, at most [`WAIT_SLICE`]; tells whether it came.
fn wait_on(fd: &impl std::os::fd::AsFd, flags: PollFlags, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left.min(WAIT_SLICE)).unwrap_or(Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    });
    let mut fds = [PollFd::new(fd, flags)];
    matches!(poll(&mut fds, Some(&timeout)), Ok(ready) if ready > 0)
}
