//! How the containerizer is set up.

use std::{path::PathBuf, time::Duration};

use crate::{launch::LogLimits, layout::Layout, prepare::HostRootfs};

/// What every container may do as root, where the host allows it: Docker's default without making device files
/// (moby: `oci/caps/defaults.go`).
pub const DEFAULT_CAPABILITIES: [&str; 13] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// How the containerizer is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// State and run directory. Absolute.
    pub layout: Layout,
    /// Parent of all runs' cgroups, relative to the mount point of each hierarchy; this daemon's alone.
    pub cgroup_parent: String,
    /// The executable whose first argument `executor` makes it one; usually `/proc/self/exe`.
    pub executor_exe: PathBuf,
    /// Root filesystem of containers without an image.
    pub host_rootfs: HostRootfs,
    /// Further directories that containers may not see, such as that of the configuration.
    pub covered: Vec<PathBuf>,
    /// Capabilities of containers (`CAP_…`); those that this process does not have are left out.
    pub capabilities: Vec<String>,
    /// Rotation of streams.
    pub logs: LogLimits,
    /// Whether a container without `resourceLimits.cpus` is held to its `cpus`.
    pub cpu_quota: bool,
    /// Most processes and threads of a container.
    pub pids_limit: u64,
    /// A create that takes longer is killed.
    pub create_timeout: Duration,
    /// Whether executors die with this process.
    pub die_with_parent: bool,
}

impl Config {
    /// The defaults, for these directories and this cgroup parent.
    pub fn new(layout: Layout, cgroup_parent: String) -> Self {
        Self {
            layout,
            cgroup_parent,
            executor_exe: "/proc/self/exe".into(),
            host_rootfs: HostRootfs::Overlay,
            covered: Vec::new(),
            capabilities: DEFAULT_CAPABILITIES.map(str::to_owned).to_vec(),
            logs: LogLimits {
                file_bytes: 10 << 20,
                rotated_files: 2,
            },
            cpu_quota: true,
            pids_limit: 4096,
            create_timeout: Duration::from_secs(30),
            die_with_parent: false,
        }
    }
}
