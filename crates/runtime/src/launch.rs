//! The launch message: everything an executor needs to know, read once from descriptor 3.
//!
//! It is self-contained (every path absolute and recorded here, never recomputed), versioned, and carries no
//! secret in any process argument. The daemon's side makes it in [`crate::prepare`], the executor obeys it.

use std::{collections::BTreeMap, path::PathBuf};

use model::id::RunId;
use serde::{Deserialize, Serialize};

/// The version of the launch message, the socket's protocol and the journal. Raised at every change that an
/// older executor or daemon would misread.
pub const PROTOCOL_VERSION: u32 = 1;

/// The oldest version that is still spoken, read and written.
pub const OLDEST_VERSION: u32 = 1;

/// One run, as the daemon asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The version in which it is written, and in which the executor keeps its journal.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// `<run dir>/runs/<run>`: lock, socket, journal, libcontainer's state; tmpfs.
    pub run_dir: PathBuf,
    /// `<state dir>/sandboxes/<instance>/<incarnation>`: survives the run.
    pub sandbox: PathBuf,
    /// The run's cgroups, already made by the daemon, limits included.
    pub cgroups: CgroupPaths,
    /// Host name in the pod's UTS namespace; `None` keeps the host's namespace and name.
    pub hostname: Option<String>,
    /// Whether the pod has a network namespace of its own.
    pub own_network: bool,
    /// The compiled seccomp program, native `sock_filter` layout; empty for none.
    pub seccomp_program: PathBuf,
    /// Whether containers and executor die with the daemon that launched them (`monopod run`).
    pub die_with_parent: bool,
    /// Size in bytes of `/dev/shm`, shared by the pod's containers.
    pub shm_bytes: u64,
    /// Rotation of stdout and stderr.
    pub logs: LogLimits,
    /// A create that takes longer is killed: milliseconds.
    pub create_timeout_ms: u64,
    /// The containers, in the definition's order.
    pub containers: Vec<ContainerLaunch>,
}

/// Where the run's cgroups are, relative to the mount point of each hierarchy and without leading slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    /// `<parent>/<run>`; containers are at `<parent>/<run>/<container>`.
    pub run: String,
    /// `<parent>/<run>/executor`.
    pub executor: String,
    /// `<parent>/leaving`, where the executor goes before it removes the run's cgroup.
    pub leaving: String,
}

/// Rotation of a stream's file: the file is renamed to `<name>.1` and so on when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes a file may have before it is rotated.
    pub file_bytes: u64,
    /// Files kept beside the current one.
    pub rotated_files: u32,
}

/// One container, as the daemon asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLaunch {
    /// Name in the pod.
    pub name: String,
    /// Task id, for messages.
    pub task_id: String,
    /// `<sandbox>/containers/<name>`, made by the daemon; holds `stdout` and `stderr`.
    pub sandbox: PathBuf,
    /// Where the sandbox appears inside the container.
    pub sandbox_mount: PathBuf,
    /// The whole argument vector.
    pub argv: Vec<String>,
    /// The whole environment, `PATH` included; `HOME` is added from the user where it is missing.
    pub environment: BTreeMap<String, String>,
    /// Working directory inside the container. Made if `create_cwd`.
    pub cwd: PathBuf,
    /// Whether a missing working directory is made (an image's is, as Docker does).
    pub create_cwd: bool,
    /// Who it runs as: `name`, `uid`, `name:group` or `uid:gid`, resolved by the executor against the container's
    /// own root filesystem; root where absent.
    pub user: Option<String>,
    /// Root filesystem.
    pub rootfs: Rootfs,
    /// Mounts of volumes, in order.
    pub mounts: Vec<VolumeBind>,
    /// Capabilities, as `CAP_…` names, already cut to what this host can give.
    pub capabilities: Vec<String>,
    /// Whether the seccomp program is loaded.
    pub seccomp: bool,
    /// Cpu shares in thousandths of a cpu requested, and the quota in thousandths of a cpu, applied after start.
    pub cpus_milli: u64,
    /// Hard limit of cpu time; `None` for none.
    pub cpu_quota_milli: Option<u64>,
    /// Memory requested, in bytes; 0 in messages of older daemons.
    #[serde(default)]
    pub memory_request_bytes: u64,
    /// Hard limit of memory in bytes; `None` for none.
    pub memory_limit_bytes: Option<u64>,
    /// Limit of processes and threads.
    pub pids_limit: u64,
    /// Between SIGTERM and SIGKILL.
    pub kill_grace_ms: u64,
    /// Signal that asks it to stop, SIGTERM unless the image says otherwise.
    pub stop_signal: i32,
}

/// A container's root filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Rootfs {
    /// Layers of an image below a writable layer.
    Image {
        /// Directories, topmost first.
        layers: Vec<PathBuf>,
        /// The writable layer's directory; holds `upper` and `work`.
        writable: PathBuf,
    },
    /// The host's own root below a writable layer, its submounts bound read-only.
    HostOverlay {
        /// The writable layer's directory; holds `upper` and `work`.
        writable: PathBuf,
        /// Directories covered by empty ones: monopod's own state, run and configuration.
        covered: Vec<PathBuf>,
    },
    /// The host's own root, read-only.
    HostReadOnly {
        /// As above.
        covered: Vec<PathBuf>,
    },
    /// The host's own root, writable.
    HostReadWrite {
        /// As above.
        covered: Vec<PathBuf>,
    },
}

/// A volume, as one container sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeBind {
    /// Directory or file on the host.
    pub source: PathBuf,
    /// Absolute path inside the container.
    pub destination: PathBuf,
    /// Whether it may not be written.
    pub read_only: bool,
}
