//! Where everything of this run is: directories and cgroups under one name that nobody else uses.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::Context as _;

use crate::cgroups::Cgroups;

/// Set once everything is being removed: nothing may be started any more.
static ENDING: AtomicBool = AtomicBool::new(false);

/// Lets a process in the middle of being started appear in its cgroup, where it is killed.
const STRAGGLERS: Duration = Duration::from_millis(200);

/// Stops the calling thread for good if everything is being removed.
pub(crate) fn stop_if_ending() {
    while ENDING.load(Ordering::Relaxed) {
        std::thread::park();
    }
}

/// Magic number of a tmpfs.
const TMPFS: u64 = 0x0102_1994;

/// Names, directories and cgroups of this run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// In every name that others could see.
    pub(crate) name: String,
    /// On a disk, where durable writes cost what they cost.
    pub(crate) state: PathBuf,
    /// In memory, as run directories are on most hosts.
    pub(crate) run: PathBuf,
    /// The contestants' cgroups.
    pub(crate) cgroups: Cgroups,
}

impl Place {
    /// Chooses names; makes nothing yet.
    ///
    /// # Panics
    /// No cgroup hierarchy is mounted.
    pub(crate) fn choose() -> Self {
        let name = format!("mpb{}", std::process::id());
        let run = if is_tmpfs(Path::new("/run")) {
            "/run"
        } else {
            "/dev/shm"
        };
        let cgroups = Cgroups::find(&name);
        Self {
            state: Path::new("/var/tmp").join(&name),
            run: Path::new(run).join(&name),
            cgroups: cgroups.expect("a host without cgroups cannot run pods"),
            name,
        }
    }

    /// Makes the directories.
    pub(crate) fn prepare(&self) -> anyhow::Result<()> {
        for directory in [&self.state, &self.run] {
            fs::create_dir(directory).with_context(|| format!("make {}", directory.display()))?;
        }
        Ok(())
    }

    /// Makes a directory of a contestant's below one of the two.
    pub(crate) fn directory(&self, parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let directory = parent.join(name);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(directory)
    }

    /// Removes everything while other threads are still at work.
    pub(crate) fn abandon(&self) {
        ENDING.store(true, Ordering::Relaxed);
        self.cgroups.kill_all();
        std::thread::sleep(STRAGGLERS);
        self.sweep();
    }

    /// Removes everything; goes on past what cannot be removed, and says so.
    pub(crate) fn sweep(&self) {
        self.cgroups.remove();
        for directory in [&self.state, &self.run] {
            for mount in e2e::kernel::mounts_below(directory).iter().rev() {
                let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
            }
            // What is still mounted below would be emptied with it.
            if e2e::kernel::mounts_below(directory).is_empty() {
                let _ = fs::remove_dir_all(directory);
            }
            if directory.exists() {
                eprintln!("bench: {} is left behind", directory.display());
            }
        }
    }
}

fn is_tmpfs(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(TMPFS))
}
