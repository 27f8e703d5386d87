//! The daemon's side of the runtime: launches executors, finds them again, and removes what they leave.
//!
//! What exists of a run, and what tells its state:
//!
//! | `run.lock` | journal | the run |
//! |---|---|---|
//! | held | – | is alive: its executor holds the lock as long as it lives |
//! | free | has a header | is over; it is never launched again |
//! | free | none | was not launched; launching it again is safe |
//!
//! The lock is taken before the executor is spawned, and inherited by it; so there are never two executors of one
//! run, whenever the daemon is killed. All functions block and may be called from any thread.

mod config;
mod error;
pub(crate) mod lock;
pub(crate) mod process;
mod recovery;
mod relocation;
mod remains;
mod removal;
mod run_record;
mod sandbox;
mod shortage;
mod usage;

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::{self, File},
    io::{self, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::{id::RunId, task_group::TaskGroup};
use rustix::fs::MemfdFlags;

pub use config::{Config, DEFAULT_CAPABILITIES};
pub use error::{DestroyError, LaunchError, OpenError};
pub(crate) use recovery::names_in;
pub use recovery::{FoundRun, FoundState, Known, RecoverError, SweepFailure, Swept, Unknown};
pub use relocation::{Places, RelocationError};
pub use remains::{CollectError, Moment, Remains};
pub(crate) use removal::remove_tree;

use self::{process::Identity, run_record::RunRecord};
use crate::{
    cgroup::{Cgroups, DeviceFilter, Mode},
    image::ImageStore,
    journal::{self, Salvaged},
    launch::Launch,
    layout::{Layout, RunDir},
    prepare::{
        self, HostFacts, Preparation, ResolvedImage, cgroup_paths, container_limits, run_limits,
        writable_layers,
    },
    seccomp,
    sys::spawn::Spawn,
};

/// How long processes may take to end after SIGKILL before a run counts as stuck.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// How long a claim of an earlier daemon may linger.
const CLAIM_PATIENCE: Duration = Duration::from_millis(500);

/// Mode of the run directory: whoever may use the socket in it need not list it.
const RUN_DIR_MODE: u32 = 0o711;

/// How often a held lock is looked at where there is no process to wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// An executor that is alive.
#[derive(Debug)]
pub struct Launched {
    /// Its process id.
    pub pid: i32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// Where it listens, or will.
    pub socket: PathBuf,
}

/// The daemon's side of the runtime. One value per state directory and host.
#[derive(Debug)]
pub struct Containerizer {
    layout: Layout,
    cgroup_parent: String,
    executor_exe: CString,
    cgroups: Cgroups,
    devices: DeviceFilter,
    images: ImageStore,
    facts: HostFacts,
    seccomp_program: PathBuf,
    /// Held while an instance's directory of sandboxes is filled, or removed because it is empty.
    sandboxes: Mutex<()>,
    /// State directory, run directory and cgroup parent are ours as long as these are open.
    _claims: Vec<File>,
}

impl Containerizer {
    /// Makes the directories and the parent cgroup, claims them, and loads or compiles the system call filter.
    ///
    /// # Errors
    /// Another daemon has one of them, or something cannot be made.
    pub fn open(mut config: Config) -> Result<Self, OpenError> {
        let Layout { state_dir, run_dir } = &config.layout;
        let directories = [
            (state_dir.clone(), 0o700),
            (config.layout.sandboxes(), 0o700),
            (run_dir.clone(), RUN_DIR_MODE),
            (config.layout.runs(), 0o700),
        ];
        for (path, mode) in &directories {
            sandbox::make_directory(path, *mode).map_err(open_error("make", path))?;
        }
        // Containers without an image see their sandbox at its host path, which must not lead through links.
        config.layout = Layout {
            state_dir: fs::canonicalize(state_dir).map_err(open_error("find", state_dir))?,
            run_dir: fs::canonicalize(run_dir).map_err(open_error("find", run_dir))?,
        };
        let Layout { state_dir, run_dir } = &config.layout;
        let cgroups = Cgroups::detect()?;
        let claims = vec![
            claim(state_dir)?,
            claim(run_dir)?,
            claim_cgroup(&cgroups, &config.cgroup_parent)?,
        ];
        cgroups.require_controllers(&config.cgroup_parent)?;
        let facts = host_facts(&config)?;
        let program = seccomp::load_cached(run_dir, &facts.capabilities)?;
        let executor_exe = CString::new(config.executor_exe.as_os_str().as_bytes())
            .map_err(|error| open_error("use", &config.executor_exe)(error.into()))?;
        Ok(Self {
            images: ImageStore::open(&config.layout.images())?,
            layout: config.layout,
            cgroup_parent: config.cgroup_parent,
            executor_exe,
            devices: cgroups.device_filter()?,
            cgroups,
            facts,
            seccomp_program: program.path,
            sandboxes: Mutex::default(),
            _claims: claims,
        })
    }

    /// What launches know of this host.
    pub const fn host_facts(&self) -> &HostFacts {
        &self.facts
    }

    /// Which version of cgroups the host has.
    pub const fn cgroup_mode(&self) -> Mode {
        self.cgroups.mode()
    }

    /// Parent of all runs' cgroups, relative to the mount point of each hierarchy.
    pub fn cgroup_parent(&self) -> &str {
        &self.cgroup_parent
    }

    /// The controllers that runs' cgroups have, ordered by name.
    pub fn cgroup_controllers(&self) -> Vec<String> {
        let controllers = self.cgroups.controllers(&self.cgroup_parent);
        controllers.into_iter().collect()
    }

    /// The image store, for importing and listing.
    pub const fn images(&self) -> &ImageStore {
        &self.images
    }

    /// Where things are.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Starts an executor for the run, unless it has one: then that one is given.
    ///
    /// # Errors
    /// The run is over, cannot be launched as it is, or a step failed; what was made is undone.
    pub fn launch(&self, group: &TaskGroup) -> Result<Launched, LaunchError> {
        let run = group.run;
        let dir = self.run_dir(run);
        sandbox::make_directory(dir.path(), sandbox::ROOT_ONLY)
            .map_err(launch_error("make", dir.path()))?;
        let Some(lock) = lock::try_take(&dir.lock()).map_err(launch_error("lock", &dir.lock()))?
        else {
            return self.find_executor(run).ok_or(LaunchError::Held { run });
        };
        if journal::salvage(&dir.journal(), run).is_some() {
            return Err(LaunchError::Over { run });
        }
        self.launch_locked(group, &dir, &lock)
            .inspect_err(|_| self.undo(run, &dir))
    }

    /// What the run's executor wrote, acknowledged updates perhaps left out, as far as it can be read. For runs whose
    /// executor is dead; a live one tells by its socket. Waits for as long as a shortage keeps it from being read.
    pub fn journal(&self, run: RunId) -> Salvaged {
        let path = self.run_dir(run).journal();
        let read = || match journal::salvage(&path, run).unwrap_or_default() {
            Salvaged {
                damage: Some(damage),
                ..
            } if shortage::is_shortage(&damage) => Err(damage),
            salvaged => Ok(salvaged),
        };
        // Shortages are the only errors that come out of this.
        shortage::outlast(read).unwrap_or_default()
    }

    /// Ends the run: kills whatever is left of it, waits until nothing is, removes its cgroup, writable layers and
    /// run directory. The rest of its sandbox stays. To be called for every run, also one that ended by itself, once
    /// its journal has been read.
    ///
    /// # Errors
    /// Something does not end or cannot be removed; the run directory is kept then.
    pub fn destroy(&self, run: RunId) -> Result<(), DestroyError> {
        self.end(run)?;
        let dir = self.run_dir(run);
        let sandbox = RunRecord::read(dir.path(), run)
            .map_or_else(|| self.layout.sandbox(run), |record| record.sandbox);
        for path in [writable_layers(&sandbox).as_path(), dir.path()] {
            removal::remove_tree(path).map_err(|source| DestroyError::Io {
                action: "remove",
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// Kills every process of the run and waits for their end: those in its cgroup, and an executor that has not
    /// yet moved there.
    ///
    /// # Errors
    /// Something does not end.
    pub fn end(&self, run: RunId) -> Result<(), DestroyError> {
        let deadline = Instant::now() + END_PATIENCE;
        let (dir, cgroup) = (self.run_dir(run), self.cgroup_of(run));
        loop {
            let executor = Identity::recorded(&identity_file(&dir)).and_then(Identity::open);
            // First, so that one that was spawned just now does not join the cgroup while it is removed.
            executor.iter().for_each(process::kill);
            self.cgroups.destroy(&cgroup, deadline)?;
            if let Some(pidfd) = &executor {
                process::reap(pidfd, deadline);
            }
            // One that cannot be looked at tells nothing; cgroup and process id do.
            let held = lock::is_held(&dir.lock()).unwrap_or(false);
            // What the executor did before it died may have come after the cgroup was removed.
            if !held && !self.cgroups.exists(&cgroup) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DestroyError::Held { run });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The run's directory.
    fn run_dir(&self, run: RunId) -> RunDir {
        self.layout.run(run)
    }

    /// The run's cgroup: where it was launched, or would be now.
    fn cgroup_of(&self, run: RunId) -> String {
        RunRecord::read(self.run_dir(run).path(), run).map_or_else(
            || cgroup_paths(&self.cgroup_parent, &run.to_string()).run,
            |record| record.cgroup,
        )
    }

    fn launch_locked(
        &self,
        group: &TaskGroup,
        dir: &RunDir,
        lock: &File,
    ) -> Result<Launched, LaunchError> {
        let launch = prepare::prepare(&Preparation {
            group,
            layout: &self.layout,
            cgroup_parent: &self.cgroup_parent,
            seccomp_program: &self.seccomp_program,
            facts: &self.facts,
            images: &self.resolve_images(group)?,
        })?;
        // An attempt that was cut short may have left an empty one, with other limits, perhaps below another parent.
        for cgroup in [self.cgroup_of(launch.run), launch.cgroups.run.clone()] {
            self.cgroups
                .destroy(&cgroup, Instant::now() + END_PATIENCE)?;
        }
        RunRecord::of(&launch)
            .write(dir.path())
            .map_err(launch_error("record the places of", dir.path()))?;
        self.make_sandbox(group, &launch)?;
        let containers = launch.containers.iter();
        self.cgroups.create_run(
            &launch.cgroups,
            &run_limits(&launch, &group.definition.executor_resources.0),
            containers.map(|container| (container.name.as_str(), container_limits(container))),
            &self.devices,
        )?;
        self.spawn(&launch, dir, lock)
    }

    fn make_sandbox(&self, group: &TaskGroup, launch: &Launch) -> Result<(), LaunchError> {
        let _nobody_removes = self
            .sandboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sandbox::make(launch)?;
        self.own_sandbox(launch.run, group.definition.id.as_str())
            .map_err(launch_error("sign", &launch.sandbox))
    }

    fn resolve_images(
        &self,
        group: &TaskGroup,
    ) -> Result<BTreeMap<String, ResolvedImage>, LaunchError> {
        let mut resolved = BTreeMap::new();
        let images = group
            .definition
            .containers
            .iter()
            .filter_map(|container| container.image.as_ref());
        for image in images {
            let found = self.images.resolve(&image.id);
            let found = found.map_err(|source| LaunchError::Image {
                image: image.id.clone(),
                source,
            })?;
            if let Some(found) = found {
                let layers = found.layers;
                let config = found.config;
                resolved.insert(image.id.clone(), ResolvedImage { layers, config });
            }
        }
        Ok(resolved)
    }

    fn spawn(&self, launch: &Launch, dir: &RunDir, lock: &File) -> Result<Launched, LaunchError> {
        let message =
            message(launch).map_err(launch_error("write the launch message for", dir.path()))?;
        let mut log = fs::OpenOptions::new();
        let log = log
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.log())
            .map_err(launch_error("open", &dir.log()))?;
        let spawn = Spawn {
            program: &self.executor_exe,
            arguments: &[c"monopod", c"executor"],
            stderr: log.as_fd(),
            inherited: &[message.as_fd(), lock.as_fd()],
        };
        let exe = Path::new(std::ffi::OsStr::from_bytes(self.executor_exe.as_bytes()));
        // An attempt that was cut short may have left these; the executor makes its own.
        for path in [identity_file(dir), dir.journal(), dir.socket()] {
            let _ = fs::remove_file(path);
        }
        let pid = spawn.start().map_err(launch_error("start", exe))?;
        let pidfd = process::watch_child(pid).map_err(launch_error("watch", exe))?;
        // Found by its cgroup if this daemon is killed before, or cannot write.
        if let Some(identity) = Identity::of(pid)
            && let Err(error) = identity.record(&identity_file(dir))
        {
            tracing::debug!(run.id = %launch.run, %error, "the executor's process id was not recorded");
        }
        let socket = dir.socket();
        Ok(Launched { pid, pidfd, socket })
    }

    /// Undoes a failed launch. What cannot be undone now is swept at the next start.
    fn undo(&self, run: RunId, dir: &RunDir) {
        let deadline = Instant::now() + END_PATIENCE;
        let cgroup = self.cgroups.destroy(&self.cgroup_of(run), deadline);
        let sandbox = removal::remove_tree(&self.layout.sandbox(run));
        let run_dir = removal::remove_tree(dir.path());
        let failures = [
            cgroup.err().map(|error| error.to_string()),
            sandbox.err().map(|error| error.to_string()),
            run_dir.err().map(|error| error.to_string()),
        ];
        for error in failures.iter().flatten() {
            tracing::warn!(run.id = %run, error, "a failed launch left something behind");
        }
    }
}

/// The launch message as a file in memory, to be read from its start.
fn message(launch: &Launch) -> io::Result<File> {
    let fd = rustix::fs::memfd_create("monopod-launch", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(&serde_json::to_vec(launch)?)?;
    file.rewind()?;
    Ok(file)
}

/// Where the executor's process id is recorded.
pub(crate) fn identity_file(dir: &RunDir) -> PathBuf {
    dir.path().join("executor.pid")
}

/// Makes the run directory. It holds the API's socket, which a group may reach.
pub(crate) fn make_run_dir(path: &Path) -> io::Result<()> {
    sandbox::make_directory(path, RUN_DIR_MODE)
}

fn claim(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let taken = patiently(|| lock::try_take(&path)).map_err(open_error("lock", &path))?;
    let mut file = taken.ok_or_else(|| OpenError::InUse {
        path: dir.to_owned(),
        pid: lock::signature(&path),
    })?;
    lock::sign(&mut file).map_err(open_error("write", &path))?;
    Ok(file)
}

/// Two daemons with one parent would sweep each other's runs.
fn claim_cgroup(cgroups: &Cgroups, parent: &str) -> Result<File, OpenError> {
    cgroups.create_parent(parent)?;
    let path = cgroups.directory(parent);
    let open = || {
        let directory = File::open(&path)?;
        Ok(lock::try_lock(&directory)?.then_some(directory))
    };
    let taken = patiently(open).map_err(open_error("lock", &path))?;
    taken.ok_or_else(|| OpenError::InUse {
        path,
        pid: "unknown".to_owned(),
    })
}

/// Tries again for a moment: a daemon that was just killed may have been about to spawn, and the child has our
/// locks until it executes its program.
fn patiently(take: impl Fn() -> io::Result<Option<File>>) -> io::Result<Option<File>> {
    let deadline = Instant::now() + CLAIM_PATIENCE;
    loop {
        let taken = take()?;
        if taken.is_some() || Instant::now() >= deadline {
            return Ok(taken);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn host_facts(config: &Config) -> Result<HostFacts, OpenError> {
    let bounding = caps::read(None, caps::CapSet::Bounding)?;
    let names: Vec<String> = bounding.iter().map(ToString::to_string).collect();
    let wanted = config.capabilities.iter();
    let mut covered = config.covered.clone();
    covered.extend([
        config.layout.state_dir.clone(),
        config.layout.run_dir.clone(),
    ]);
    let etc_files = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"].map(PathBuf::from);
    let millis = config.create_timeout.as_millis();
    Ok(HostFacts {
        host_rootfs: config.host_rootfs,
        // A directory that is not there cannot be reached by another name.
        covered: covered
            .iter()
            .map(|dir| fs::canonicalize(dir).unwrap_or_else(|_| dir.clone()))
            .collect(),
        etc_files: etc_files.into_iter().filter(|file| file.exists()).collect(),
        capabilities: wanted
            .filter(|name| names.contains(name))
            .cloned()
            .collect(),
        logs: config.logs,
        cpu_quota: config.cpu_quota,
        pids_limit: config.pids_limit,
        create_timeout_ms: u64::try_from(millis).unwrap_or(u64::MAX),
        die_with_parent: config.die_with_parent,
    })
}

fn open_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path: path.clone(),
        source,
    }
}

fn launch_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> LaunchError {
    let path = path.to_owned();
    move |source| LaunchError::Io {
        action,
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests;
