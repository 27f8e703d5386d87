//! A container's OCI runtime specification, as libcontainer reads it. Pure.
//!
//! Left out on purpose: the seccomp profile (a cached program is loaded right before exec; compiling the
//! profile is three quarters of a creation's cost), limits and devices (the runtime sets them in the cgroup, see
//! [`crate::cgroup`]; a cpu quota would throttle the creation), and network, IPC and UTS namespaces (the
//! executor lives in the pod's own, and its containers with it). Always set, since each omission has a bad
//! effect (measured): `HOME` (else libcontainer asks the image's own NSS libraries, as root), `PATH`,
//! additional groups (else the executor's), umask and no-new-privileges.

use std::path::Path;

use libcontainer::oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxCapabilities, LinuxNamespace, LinuxNamespaceType, Mount,
    PosixRlimit, PosixRlimitBuilder, PosixRlimitType, Process, Root, Spec, User,
};

use crate::launch::{ContainerLaunch, Launch};

/// `PATH` of a container whose image and definition give none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Hidden from containers: they tell of or reach into the host (mesos.md: `filesystem/linux`; moby:
/// `oci/defaults.go`).
const MASKED_PATHS: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Shown, not writable.
const READ_ONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Who a container's process is, already resolved against its root filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids; the primary one is added.
    pub additional_gids: Vec<u32>,
    /// Home directory; `/` where empty.
    pub home: String,
}

/// Open files: what a process may raise itself to, where the executor's own limit allows.
const OPEN_FILES_HARD: u64 = 1 << 19;

/// Open files at start: low, since programs close or poll as many (systemd: `DefaultLimitNOFILE`).
const OPEN_FILES_SOFT: u64 = 1024;

/// The executor's own hard limits; without `CAP_SYS_RESOURCE` none of a container's may be above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardLimits {
    /// `RLIMIT_NOFILE`; `u64::MAX` for none.
    pub open_files: u64,
    /// `RLIMIT_CORE`; `u64::MAX` for none.
    pub core_bytes: u64,
}

impl HardLimits {
    /// Reads this process's own.
    pub fn of_this_process() -> Self {
        let hard = |resource| {
            let limit = rustix::process::getrlimit(resource);
            limit.maximum.unwrap_or(u64::MAX)
        };
        Self {
            open_files: hard(rustix::process::Resource::Nofile),
            core_bytes: hard(rustix::process::Resource::Core),
        }
    }
}

/// Everything that a container's specification is made of.
#[derive(Clone, Copy, Debug)]
pub struct SpecInput<'a> {
    /// The run.
    pub launch: &'a Launch,
    /// The container.
    pub container: &'a ContainerLaunch,
    /// Where its root filesystem is mounted.
    pub rootfs: &'a Path,
    /// Directory of the pod's shared memory, a tmpfs.
    pub shm: &'a Path,
    /// Who it runs as.
    pub user: &'a ProcessUser,
    /// What its limits are clamped to.
    pub hard_limits: HardLimits,
    /// Whether it sees its own cgroup, read-only, at `/sys/fs/cgroup`: on version 2, where that is one mount.
    pub cgroup_view: bool,
}

/// Makes the specification.
pub fn build(input: &SpecInput<'_>) -> Spec {
    let mut root = Root::default();
    root.set_path(input.rootfs.to_owned())
        .set_readonly(Some(false));
    let mut spec = Spec::default();
    spec.set_process(Some(process(input)))
        .set_root(Some(root))
        .set_hostname(None)
        .set_mounts(Some(mounts(input)))
        .set_linux(Some(linux(input)));
    spec
}

fn process(input: &SpecInput<'_>) -> Process {
    let container = input.container;
    let mut process = Process::default();
    process
        .set_terminal(Some(false))
        .set_user(user(input.user))
        .set_args(Some(container.argv.clone()))
        .set_env(Some(environment(input)))
        .set_cwd(container.cwd.clone())
        .set_no_new_privileges(Some(true))
        .set_capabilities(Some(capabilities(&container.capabilities)))
        .set_rlimits(Some(rlimits(input.hard_limits)))
        .set_oom_score_adj(Some(0));
    process
}

fn user(from: &ProcessUser) -> User {
    let mut gids = vec![from.gid];
    gids.extend(from.additional_gids.iter().filter(|gid| **gid != from.gid));
    let mut user = User::default();
    user.set_uid(from.uid)
        .set_gid(from.gid)
        .set_umask(Some(0o022))
        .set_additional_gids(Some(gids));
    user
}

/// `NAME=value`, ordered by name, never without a `PATH` and a `HOME`.
fn environment(input: &SpecInput<'_>) -> Vec<String> {
    let mut environment = input.container.environment.clone();
    let mut ensure = |name: &str, value: &str| {
        let present = environment.get(name).is_some_and(|value| !value.is_empty());
        if !present {
            environment.insert(name.to_owned(), value.to_owned());
        }
    };
    let home = input.user.home.as_str();
    ensure("HOME", if home.is_empty() { "/" } else { home });
    ensure("PATH", DEFAULT_PATH);
    environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// The same bounding, effective and permitted set; nothing is inheritable or ambient, so that a process that
/// is not root has none. Names that this build does not know are left out: less is given, never more.
fn capabilities(names: &[String]) -> LinuxCapabilities {
    let granted: Capabilities = names
        .iter()
        .filter_map(|name| name.strip_prefix("CAP_"))
        .filter_map(|name| name.parse::<Capability>().ok())
        .collect();
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(granted.clone()))
        .set_effective(Some(granted.clone()))
        .set_permitted(Some(granted))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    capabilities
}

fn rlimits(hard: HardLimits) -> Vec<PosixRlimit> {
    let open_files = OPEN_FILES_HARD.min(hard.open_files);
    vec![
        rlimit(
            PosixRlimitType::RlimitNofile,
            OPEN_FILES_SOFT.min(open_files),
            open_files,
        ),
        rlimit(PosixRlimitType::RlimitCore, 0, hard.core_bytes),
    ]
}

fn rlimit(kind: PosixRlimitType, soft: u64, hard: u64) -> PosixRlimit {
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(soft)
        .hard(hard)
        .build()
        .expect("all three members are given")
}

fn mounts(input: &SpecInput<'_>) -> Vec<Mount> {
    let mut mounts = kernel_mounts(input.shm);
    if input.cgroup_view {
        let options = &["nosuid", "noexec", "nodev", "ro"];
        mounts.push(mount("cgroup", "cgroup", "/sys/fs/cgroup", options));
    }
    let container = input.container;
    mounts.push(bind(&container.sandbox, &container.sandbox_mount, false));
    for volume in &container.mounts {
        mounts.push(bind(&volume.source, &volume.destination, volume.read_only));
    }
    mounts
}

/// The kernel's own filesystems (mesos.md 2.4), and the shared memory of the pod.
fn kernel_mounts(shm: &Path) -> Vec<Mount> {
    let harmless = &["nosuid", "noexec", "nodev"];
    vec![
        mount("proc", "proc", "/proc", harmless),
        mount(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "devpts",
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount("mqueue", "mqueue", "/dev/mqueue", harmless),
        with_source(
            shm,
            mount(
                "bind",
                "",
                "/dev/shm",
                &["rbind", "nosuid", "noexec", "nodev"],
            ),
        ),
        mount(
            "sysfs",
            "sysfs",
            "/sys",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
    ]
}

fn mount(kind: &str, source: &str, destination: impl AsRef<Path>, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_destination(destination.as_ref().to_owned())
        .set_options(Some(options.iter().map(|o| (*o).to_owned()).collect()));
    mount
}

fn with_source(source: &Path, mut mount: Mount) -> Mount {
    mount.set_source(Some(source.to_owned()));
    mount
}

/// Mounts below the source come along, and are read-only with it.
fn bind(source: &Path, destination: &Path, read_only: bool) -> Mount {
    let options: &[&str] = if read_only {
        &["rbind", "ro", "rro"]
    } else {
        &["rbind"]
    };
    with_source(source, mount("bind", "", destination, options))
}

fn linux(input: &SpecInput<'_>) -> Linux {
    let mut namespaces = vec![
        namespace(LinuxNamespaceType::Mount),
        namespace(LinuxNamespaceType::Pid),
    ];
    if input.cgroup_view {
        namespaces.push(namespace(LinuxNamespaceType::Cgroup));
    }
    let cgroup = format!("/{}/{}", input.launch.cgroups.run, input.container.name);
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces))
        .set_cgroups_path(Some(cgroup.into()))
        .set_resources(None)
        .set_rootfs_propagation(Some("slave".to_owned()))
        .set_masked_paths(Some(owned(&MASKED_PATHS)))
        .set_readonly_paths(Some(owned(&READ_ONLY_PATHS)))
        .set_seccomp(None)
        .set_devices(None);
    linux
}

fn namespace(kind: LinuxNamespaceType) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind);
    namespace
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::launch::{CgroupPaths, LogLimits, Rootfs, VolumeBind};

    fn launch() -> Launch {
        let container = ContainerLaunch {
            name: "web".to_owned(),
            task_id: "t".to_owned(),
            sandbox: "/var/lib/monopod/sandboxes/i/1/containers/web".into(),
            sandbox_mount: "/mnt/mesos/sandbox".into(),
            argv: vec!["/bin/true".to_owned()],
            environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            cwd: "/mnt/mesos/sandbox".into(),
            create_cwd: false,
            user: None,
            rootfs: Rootfs::HostReadOnly { covered: vec![] },
            mounts: vec![VolumeBind {
                source: "/srv/data".into(),
                destination: "/data".into(),
                read_only: true,
            }],
            capabilities: vec!["CAP_CHOWN".to_owned(), "CAP_FUTURE".to_owned()],
            seccomp: true,
            cpus_milli: 100,
            cpu_quota_milli: Some(100),
            memory_request_bytes: 1 << 25,
            memory_limit_bytes: Some(1 << 25),
            pids_limit: 100,
            kill_grace_ms: 3000,
            stop_signal: 15,
        };
        Launch {
            version: 1,
            run: model::id::RunId {
                instance: uuid::Uuid::from_u128(1),
                incarnation: 1,
            },
            run_dir: "/run/monopod/runs/r".into(),
            sandbox: "/var/lib/monopod/sandboxes/i/1".into(),
            cgroups: CgroupPaths {
                run: "monopod/r".to_owned(),
                executor: "monopod/r/executor".to_owned(),
                leaving: "monopod/leaving".to_owned(),
            },
            hostname: None,
            own_network: false,
            seccomp_program: "/run/monopod/seccomp/p".into(),
            die_with_parent: false,
            shm_bytes: 1 << 26,
            logs: LogLimits {
                file_bytes: 1,
                rotated_files: 1,
            },
            create_timeout_ms: 1,
            containers: vec![container],
        }
    }

    fn spec_of(launch: &Launch, user: &ProcessUser, cgroup_view: bool) -> Spec {
        build(&SpecInput {
            launch,
            container: &launch.containers[0],
            rootfs: Path::new("/run/root"),
            shm: Path::new("/run/shm"),
            user,
            hard_limits: HardLimits {
                open_files: 20_000,
                core_bytes: u64::MAX,
            },
            cgroup_view,
        })
    }

    fn nobody() -> ProcessUser {
        ProcessUser {
            uid: 65534,
            gid: 7,
            additional_gids: vec![],
            home: String::new(),
        }
    }

    #[test]
    fn nothing_that_must_be_set_is_left_out() {
        let spec = spec_of(&launch(), &nobody(), false);
        let process = spec.process().as_ref().unwrap();
        let environment = process.env().as_ref().unwrap();
        assert_eq!(environment[0], "A=b");
        assert_eq!(environment[1], "HOME=/");
        assert_eq!(environment[2], format!("PATH={DEFAULT_PATH}"));
        assert_eq!(process.no_new_privileges(), Some(true));
        assert_eq!(process.user().umask(), Some(0o022));
        assert_eq!(process.user().additional_gids(), &Some(vec![7]));
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(
            linux.cgroups_path().as_deref(),
            Some(Path::new("/monopod/r/web"))
        );
        assert!(linux.seccomp().is_none());
        assert!(linux.resources().is_none(), "libcgroups only attaches");
        assert!(!linux.masked_paths().as_ref().unwrap().is_empty());
        assert!(!linux.readonly_paths().as_ref().unwrap().is_empty());
    }

    #[test]
    fn capabilities_are_those_granted_and_never_ambient() {
        let spec = spec_of(&launch(), &nobody(), false);
        let process = spec.process().as_ref().unwrap();
        let sets = process.capabilities().as_ref().unwrap();
        let chown: Capabilities = [Capability::Chown].into();
        for set in [sets.bounding(), sets.effective(), sets.permitted()] {
            assert_eq!(set.as_ref(), Some(&chown));
        }
        for set in [sets.inheritable(), sets.ambient()] {
            assert_eq!(set.as_ref(), Some(&Capabilities::new()));
        }
    }

    #[test]
    fn limits_stay_below_our_own() {
        let spec = spec_of(&launch(), &nobody(), false);
        let process = spec.process().as_ref().unwrap();
        let files = process.rlimits().as_ref().unwrap()[0];
        assert_eq!((files.soft(), files.hard()), (1024, 20_000));
    }

    #[test]
    fn mounts_are_the_kernels_then_the_sandbox_then_volumes() {
        let destinations = |cgroup_view| {
            let spec = spec_of(&launch(), &nobody(), cgroup_view);
            let mounts = spec.mounts().as_ref().unwrap();
            let text = |mount: &Mount| mount.destination().display().to_string();
            mounts.iter().map(text).collect::<Vec<_>>()
        };
        let expected = [
            "/proc",
            "/dev",
            "/dev/pts",
            "/dev/mqueue",
            "/dev/shm",
            "/sys",
            "/mnt/mesos/sandbox",
            "/data",
        ];
        assert_eq!(destinations(false), expected);
        assert!(destinations(true).contains(&"/sys/fs/cgroup".to_owned()));
        let spec = spec_of(&launch(), &nobody(), false);
        let mounts = spec.mounts().as_ref().unwrap();
        let data = mounts[7].options().as_ref().unwrap();
        assert!(data.contains(&"rro".to_owned()), "{data:?}");
        let unique: BTreeSet<_> = expected.iter().collect();
        assert_eq!(unique.len(), expected.len());
    }

    #[test]
    fn namespaces_shared_by_the_pod_are_not_made_anew() {
        let spec = spec_of(&launch(), &nobody(), false);
        let namespaces = spec.linux().as_ref().unwrap().namespaces();
        let kinds: Vec<_> = namespaces.iter().flatten().map(|n| n.typ()).collect();
        assert_eq!(kinds, [LinuxNamespaceType::Mount, LinuxNamespaceType::Pid]);
    }
}
