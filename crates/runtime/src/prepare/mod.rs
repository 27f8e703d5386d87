//! From a task group to the launch message. Pure: what the host offers and what its images say are arguments.
//!
//! What decides where Marathon and Mesos leave it open: the cpu quota is the container's `resourceLimits.cpus`,
//! else, as DC/OS configures Mesos, its `cpus` (configuration `cpu_quota`); the memory limit is
//! `resourceLimits.mem`, else `mem`.

mod volumes;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use model::{
    pod::{Container, Limit, NetworkMode},
    resources::{MIB, Resources},
    task_group::{Task, TaskGroup},
};
use serde::{Deserialize, Serialize};

use crate::{
    cgroup::Limits,
    image::{self, CommandError, ImageConfig},
    launch::{CgroupPaths, ContainerLaunch, Launch, LogLimits, PROTOCOL_VERSION, Rootfs},
    layout::{Layout, container_sandbox},
    spec::DEFAULT_PATH,
};

/// Where the sandbox appears in containers with an image (mesos: `flags.sandbox_directory`).
pub const IMAGE_SANDBOX: &str = "/mnt/mesos/sandbox";

/// Between SIGTERM and SIGKILL where the definition does not say (mesos: `DEFAULT_KILL_GRACE_PERIOD`).
const KILL_GRACE_MS: u64 = 3000;

/// `/dev/shm` where the definition does not say (moby: `DefaultShmSize`).
const SHM_BYTES: u64 = 64 * MIB;

/// Processes that the executor may be, its short-lived children included.
const EXECUTOR_PIDS: u64 = 64;

const SIGTERM: i32 = 15;

/// What containers without an image have as root filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostRootfs {
    /// The host's root below a private writable layer.
    #[default]
    Overlay,
    /// The host's root, read-only.
    ReadOnly,
    /// The host's root itself, as on DC/OS.
    ReadWrite,
    /// Nothing: such pods are refused.
    Deny,
}

/// What launches need to know of the host and its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// Root filesystem of containers without an image.
    pub host_rootfs: HostRootfs,
    /// Directories that no container may see: state, run directory, configuration. Absolute and canonical.
    pub covered: Vec<PathBuf>,
    /// Those of `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` that the host has.
    pub etc_files: Vec<PathBuf>,
    /// What containers get: the configured capabilities that are in our own bounding set.
    pub capabilities: Vec<String>,
    /// Rotation of streams.
    pub logs: LogLimits,
    /// Whether a container without `resourceLimits.cpus` is held to its `cpus`.
    pub cpu_quota: bool,
    /// Most processes and threads of a container.
    pub pids_limit: u64,
    /// A create that takes longer is killed: milliseconds.
    pub create_timeout_ms: u64,
    /// Whether executors die with the daemon.
    pub die_with_parent: bool,
}

/// An image of the store, as launches need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// Directories, topmost first.
    pub layers: Vec<PathBuf>,
    /// What it says of its process.
    pub config: ImageConfig,
}

/// Everything that a launch message is made of.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// What the scheduler wants.
    pub group: &'a TaskGroup,
    /// Where things are.
    pub layout: &'a Layout,
    /// Parent of all runs' cgroups, relative.
    pub cgroup_parent: &'a str,
    /// The compiled seccomp program.
    pub seccomp_program: &'a Path,
    /// The host.
    pub facts: &'a HostFacts,
    /// Images by the reference that the definition uses; those missing are not here.
    pub images: &'a BTreeMap<String, ResolvedImage>,
}

/// A task group that cannot be launched on this host as it is. Trying again is pointless until something changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The image is not in the store.
    #[error(
        "prepare container '{container}': image '{image}' is not here; import it with `monopod image import`"
    )]
    ImageMissing {
        /// The container.
        container: String,
        /// Its image.
        image: String,
    },
    /// A container without image, and the host's root is not to be given.
    #[error(
        "prepare container '{container}': it has no image, and the configuration denies the host's own root \
         filesystem (host_rootfs = \"deny\")"
    )]
    HostRootfsDenied {
        /// The container.
        container: String,
    },
    /// There is no command to run.
    #[error("prepare container '{container}'")]
    Command {
        /// The container.
        container: String,
        /// Why.
        source: CommandError,
    },
    /// The task group has no task for a container of the definition.
    #[error("prepare container '{container}': the task group has no task for it")]
    TaskMissing {
        /// The container.
        container: String,
    },
    /// A mount names a volume that the pod does not have.
    #[error("prepare container '{container}': volume '{volume}' does not exist in the pod")]
    UnknownVolume {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
    },
    /// A kind of volume that is not supported yet.
    #[error(
        "prepare container '{container}': volume '{volume}' is {kind}, which is not supported yet"
    )]
    UnsupportedVolume {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
        /// `persistent` or `secret`.
        kind: &'static str,
    },
    /// A volume that would show monopod's own files.
    #[error(
        "prepare container '{container}': volume '{volume}' is in {path}, which no container may see"
    )]
    CoveredVolume {
        /// The container.
        container: String,
        /// The volume.
        volume: String,
        /// The directory that is covered.
        path: PathBuf,
    },
    /// A path that leads elsewhere than it seems.
    #[error("prepare container '{container}': path '{path}' must not be '/' or contain '..'")]
    Path {
        /// The container.
        container: String,
        /// The path as given.
        path: String,
    },
    /// A seccomp profile by name.
    #[error("prepare container '{container}': seccomp profile '{profile}' does not exist")]
    SeccompProfile {
        /// The container.
        container: String,
        /// The name.
        profile: String,
    },
}

/// Makes the launch message.
///
/// # Errors
/// The first reason why this task group cannot be launched.
pub fn prepare(preparation: &Preparation<'_>) -> Result<Launch, PrepareError> {
    let Preparation {
        group,
        layout,
        facts,
        ..
    } = preparation;
    let definition = &group.definition;
    let own_network = definition.network_mode() != NetworkMode::Host;
    let containers = definition
        .containers
        .iter()
        .map(|container| one_container(preparation, container))
        .collect::<Result<_, _>>()?;
    let ipc = definition
        .linux_info
        .as_ref()
        .and_then(|info| info.ipc_info.as_ref());
    let shm_mib = ipc.and_then(|ipc| ipc.shm_size);
    Ok(Launch {
        version: PROTOCOL_VERSION,
        run: group.run,
        run_dir: layout.run(group.run).0,
        sandbox: layout.sandbox(group.run),
        cgroups: cgroup_paths(preparation.cgroup_parent, &group.run.to_string()),
        hostname: own_network.then(|| hostname(group)),
        own_network,
        seccomp_program: preparation.seccomp_program.to_owned(),
        die_with_parent: facts.die_with_parent,
        shm_bytes: shm_mib.map_or(SHM_BYTES, |mib| u64::from(mib) * MIB),
        logs: facts.logs,
        create_timeout_ms: facts.create_timeout_ms,
        containers,
    })
}

/// The cgroups of a run.
pub fn cgroup_paths(parent: &str, run: &str) -> CgroupPaths {
    CgroupPaths {
        run: format!("{parent}/{run}"),
        executor: format!("{parent}/{run}/executor"),
        leaving: format!("{parent}/leaving"),
    }
}

/// Limits of a container's cgroup.
pub fn container_limits(container: &ContainerLaunch) -> Limits {
    Limits {
        cpus_milli: container.cpus_milli,
        memory_request_bytes: container.memory_request_bytes,
        memory_bytes: container.memory_limit_bytes,
        pids: Some(container.pids_limit),
        oom_group: true,
    }
}

/// Limits of the whole run: the sum of the containers' and the executor's; none where a container has none.
pub fn run_limits(launch: &Launch, executor: &Resources) -> Limits {
    let containers = &launch.containers;
    let shares = containers.iter().map(|container| container.cpus_milli);
    let requests = containers
        .iter()
        .map(|container| container.memory_request_bytes);
    let mut memory = containers
        .iter()
        .map(|container| container.memory_limit_bytes);
    let pids = containers.iter().map(|container| container.pids_limit);
    let add = |sum: u64, more: u64| sum.saturating_add(more);
    Limits {
        cpus_milli: shares.fold(executor.cpus_milli, add),
        memory_request_bytes: requests.fold(executor.mem_bytes, add),
        memory_bytes: memory.try_fold(executor.mem_bytes, |sum, more| Some(add(sum, more?))),
        pids: Some(pids.fold(EXECUTOR_PIDS, add)),
        oom_group: false,
    }
}

/// The directory of a container's writable layer. It ends with the run, unlike the rest of the sandbox.
pub fn writable_layer(sandbox: &Path, container: &str) -> PathBuf {
    writable_layers(sandbox).join(container)
}

/// The directory of all writable layers of a run.
pub fn writable_layers(sandbox: &Path) -> PathBuf {
    sandbox.join("root")
}

/// The directory of the files of `/etc` that a pod with a network of its own gets.
pub fn etc_directory(sandbox: &Path) -> PathBuf {
    sandbox.join("etc")
}

/// Letters, digits and dashes, at most 63: the pod's name as far as it fits, and the instance's first digits.
fn hostname(group: &TaskGroup) -> String {
    let uuid = group.instance.uuid.simple().to_string();
    let path: String = group
        .instance
        .safe_path
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(54)
        .collect();
    format!("{}-{}", path.trim_matches('-'), &uuid[..8])
        .trim_matches('-')
        .to_owned()
}

fn one_container(
    preparation: &Preparation<'_>,
    container: &Container,
) -> Result<ContainerLaunch, PrepareError> {
    let name = &container.name;
    let facts = preparation.facts;
    let image = image_of(preparation, container)?;
    let config = image.map(|image| &image.config);
    let task = task_of(preparation.group, container)?;
    let sandbox = preparation.layout.sandbox(preparation.group.run);
    let own_sandbox = container_sandbox(&sandbox, name);
    let sandbox_mount = match image {
        Some(_) => PathBuf::from(IMAGE_SANDBOX),
        None => own_sandbox.clone(),
    };
    let argv = image::command_line(container.exec.as_ref(), config).map_err(|source| {
        PrepareError::Command {
            container: name.clone(),
            source,
        }
    })?;
    let working_dir = config.and_then(|config| config.working_dir.as_ref());
    let limits = container.resource_limits.clone().unwrap_or_default();
    let pod_user = preparation.group.definition.user.as_ref();
    let image_user = config.and_then(|config| config.user.as_ref());
    let lifecycle = container.lifecycle.as_ref();
    let grace = lifecycle.and_then(|lifecycle| lifecycle.kill_grace_period_ms);
    Ok(ContainerLaunch {
        name: name.clone(),
        task_id: task.id.clone(),
        environment: environment(task, config, &sandbox_mount),
        cwd: working_dir.map_or_else(|| sandbox_mount.clone(), PathBuf::from),
        create_cwd: working_dir.is_some(),
        user: container.user.as_ref().or(pod_user).or(image_user).cloned(),
        rootfs: rootfs(facts, container, image, &sandbox)?,
        mounts: volumes::binds(preparation, container, &sandbox, &sandbox_mount)?,
        sandbox: own_sandbox,
        sandbox_mount,
        argv,
        capabilities: facts.capabilities.clone(),
        seccomp: is_confined(container)?,
        cpus_milli: container.resources.cpus_milli,
        cpu_quota_milli: match limits.cpus {
            Some(limit) => amount(limit),
            None => facts.cpu_quota.then_some(container.resources.cpus_milli),
        },
        memory_request_bytes: container.resources.mem_bytes,
        memory_limit_bytes: match limits.mem {
            Some(limit) => amount(limit),
            None => Some(container.resources.mem_bytes),
        },
        pids_limit: facts.pids_limit,
        kill_grace_ms: grace.unwrap_or(KILL_GRACE_MS),
        stop_signal: config
            .and_then(|config| config.stop_signal)
            .unwrap_or(SIGTERM),
    })
}

fn image_of<'a>(
    preparation: &Preparation<'a>,
    container: &Container,
) -> Result<Option<&'a ResolvedImage>, PrepareError> {
    let Some(image) = &container.image else {
        return Ok(None);
    };
    let resolved = preparation.images.get(&image.id);
    resolved
        .map(Some)
        .ok_or_else(|| PrepareError::ImageMissing {
            container: container.name.clone(),
            image: image.id.clone(),
        })
}

fn task_of<'a>(group: &'a TaskGroup, container: &Container) -> Result<&'a Task, PrepareError> {
    let task = group
        .tasks
        .iter()
        .find(|task| task.container == container.name);
    task.ok_or_else(|| PrepareError::TaskMissing {
        container: container.name.clone(),
    })
}

/// The image's, overridden by the task's, and what the runtime alone knows (marathon-pods.md 4.5).
fn environment(
    task: &Task,
    image: Option<&ImageConfig>,
    sandbox_mount: &Path,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    environment.extend(
        image
            .into_iter()
            .flat_map(|image| image.env.iter().cloned()),
    );
    environment.extend(task.environment.clone());
    let sandbox = sandbox_mount.display().to_string();
    environment.insert("MESOS_SANDBOX".to_owned(), sandbox);
    environment
}

fn rootfs(
    facts: &HostFacts,
    container: &Container,
    image: Option<&ResolvedImage>,
    sandbox: &Path,
) -> Result<Rootfs, PrepareError> {
    let writable = writable_layer(sandbox, &container.name);
    let covered = facts.covered.clone();
    if let Some(image) = image {
        let layers = image.layers.clone();
        return Ok(Rootfs::Image { layers, writable });
    }
    match facts.host_rootfs {
        HostRootfs::Overlay => Ok(Rootfs::HostOverlay { writable, covered }),
        HostRootfs::ReadOnly => Ok(Rootfs::HostReadOnly { covered }),
        HostRootfs::ReadWrite => Ok(Rootfs::HostReadWrite { covered }),
        HostRootfs::Deny => Err(PrepareError::HostRootfsDenied {
            container: container.name.clone(),
        }),
    }
}

fn is_confined(container: &Container) -> Result<bool, PrepareError> {
    let info = container.linux_info.as_ref();
    let Some(seccomp) = info.and_then(|info| info.seccomp.as_ref()) else {
        return Ok(true);
    };
    match &seccomp.profile_name {
        Some(profile) if !seccomp.unconfined => Err(PrepareError::SeccompProfile {
            container: container.name.clone(),
            profile: profile.clone(),
        }),
        Some(_) | None => Ok(!seccomp.unconfined),
    }
}

const fn amount(limit: Limit) -> Option<u64> {
    match limit {
        Limit::Amount(amount) => Some(amount),
        Limit::Unlimited => None,
    }
}

#[cfg(test)]
mod tests;
