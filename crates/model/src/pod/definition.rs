//! The pod definition's members (marathon: `docs/docs/rest-api/public/api/v2/types/pod*.raml`).
//!
//! Amounts are integers here and decimal numbers in JSON. Empty members are left out of JSON, as Marathon
//! leaves them out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number;
use crate::{id::PodId, resources::Resources, time::Timestamp};

/// A pod: containers launched together, sharing a network namespace and volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodDefinition {
    /// Absolute path.
    pub id: PodId,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Stamped by the server at every accepted change; what a client sends is discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Timestamp>,
    /// User of the containers that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment of all containers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, EnvironmentValue>,
    /// At least one.
    pub containers: Vec<Container>,
    /// Secrets by the name that the definition uses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Volumes that containers mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Networks; none behaves as host mode for the processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// How many instances.
    #[serde(default)]
    pub scaling: Scaling,
    /// How instances are launched and replaced.
    #[serde(default)]
    pub scheduling: Scheduling,
    /// What the executor needs beside the containers.
    #[serde(default)]
    pub executor_resources: ExecutorResources,
    /// Role; the server's where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Pod-level Linux settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<LinuxInfo>,
    /// Whether all containers share one cgroup; `false` is left out of JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_shared_cgroups: bool,
}

/// A value in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvironmentValue {
    /// As is.
    Text(String),
    /// The value of a declared secret.
    Secret {
        /// A key of the pod's `secrets`.
        secret: String,
    },
}

/// Where a secret's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSource {
    /// Path in the secret store.
    pub source: String,
}

/// One container of the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Unique in the pod.
    pub name: String,
    /// What runs; the image's own command where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// What it needs.
    #[serde(with = "number::container_resources")]
    pub resources: Resources,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    /// Ports it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// Root filesystem; the host's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Overrides the pod's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, EnvironmentValue>,
    /// Overrides the pod's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Kills the instance when it fails too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Readiness; Marathon drops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Volumes of the pod that it sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
    /// Files fetched into its sandbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Whether it gets a terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tty: Option<bool>,
    /// Linux settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<LinuxInfo>,
}

/// What a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The command.
    pub command: Command,
    /// Whether `argv` replaces the image's entrypoint instead of following it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_entrypoint: Option<bool>,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// An argument vector.
    Argv(Vec<String>),
}

/// Limits above the request, where given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Thousandths of a cpu.
    #[serde(
        default,
        with = "number::limit_cpus",
        skip_serializing_if = "Option::is_none"
    )]
    pub cpus: Option<Limit>,
    /// Bytes.
    #[serde(
        default,
        with = "number::limit_mib",
        skip_serializing_if = "Option::is_none"
    )]
    pub mem: Option<Limit>,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At most this amount, in the unit of its member.
    Amount(u64),
    /// No limit.
    Unlimited,
}

/// A port that a container serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Unique in the pod.
    pub name: String,
    /// Port inside the pod's network; 0 means the allocated host port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// Port on the host; 0 means any free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Protocol names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocol: Vec<String>,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Container networks it is published on; all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_names: Vec<String>,
}

/// Image kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ImageKind {
    /// A Docker image reference.
    Docker,
    /// An OCI image reference.
    Oci,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Kind.
    pub kind: ImageKind,
    /// Reference.
    pub id: String,
    /// Whether to fetch it even if it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_pull: Option<bool>,
    /// Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_config: Option<PullConfig>,
    /// Informational.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Credentials for fetching an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullConfig {
    /// A key of the pod's `secrets`: a Docker configuration file.
    pub secret: String,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// What is probed.
    #[serde(flatten)]
    pub probe: Probe,
    /// Failures before the first success are ignored this long.
    pub grace_period_seconds: u32,
    /// Between probes.
    pub interval_seconds: u32,
    /// So many failures in a row kill; 0 counts as 1.
    pub max_consecutive_failures: u32,
    /// A probe that takes longer has failed.
    pub timeout_seconds: u32,
    /// Before the first probe.
    pub delay_seconds: u32,
}

/// A readiness check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What is probed.
    #[serde(flatten)]
    pub probe: Probe,
    /// Between probes.
    pub interval_seconds: u32,
    /// A probe that takes longer has failed.
    pub timeout_seconds: u32,
    /// Before the first probe.
    pub delay_seconds: u32,
}

/// What a check probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Probe {
    /// A GET that answers 200 to 399.
    Http(HttpProbe),
    /// A connection that is accepted.
    Tcp(TcpProbe),
    /// A command that exits with 0.
    Exec(ExecProbe),
}

/// An HTTP probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// An endpoint of the same container.
    pub endpoint: String,
    /// `/` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Scheme.
    #[serde(default)]
    pub scheme: HttpScheme,
}

/// Schemes of HTTP probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpScheme {
    /// Plain.
    #[default]
    Http,
    /// TLS, certificates not checked.
    Https,
}

/// A TCP probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpProbe {
    /// An endpoint of the same container.
    pub endpoint: String,
}

/// A command probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecProbe {
    /// The command.
    pub command: Command,
}

/// A volume of the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Unique in the pod.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub source: VolumeSource,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum VolumeSource {
    /// Bound to the instance, survives its relaunches.
    Persistent {
        /// The volume's properties.
        persistent: PersistentVolume,
    },
    /// A file with a secret's value.
    Secret {
        /// A key of the pod's `secrets`.
        secret: String,
    },
    /// A path of the host; relative ones are below the instance's sandbox.
    Host {
        /// The path.
        host: String,
    },
    /// A directory that lives as long as the run.
    Ephemeral {},
}

/// A persistent volume's properties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolume {
    /// `root`, `path` or `mount`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<PersistentVolumeKind>,
    /// MiB.
    pub size: u64,
    /// MiB, only for `mount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Profile of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Constraints, only for `path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
}

/// Kinds of persistent volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistentVolumeKind {
    /// On the agent's work directory.
    Root,
    /// On a configured path.
    Path,
    /// A whole configured mount.
    Mount,
}

/// A volume as a container sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume's name.
    pub name: String,
    /// Where; relative paths are below the container's sandbox.
    pub mount_path: String,
    /// Whether it may not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// A file fetched into the container's sandbox before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// From where.
    pub uri: String,
    /// Whether archives are unpacked.
    #[serde(default = "default_true")]
    pub extract: bool,
    /// Whether it is made executable.
    #[serde(default)]
    pub executable: bool,
    /// Whether it may come from a cache.
    #[serde(default)]
    pub cache: bool,
    /// Under which name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dest_path: Option<String>,
}

fn default_true() -> bool {
    true
}

/// How a container is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Milliseconds between SIGTERM and SIGKILL; seconds as a decimal number in JSON.
    #[serde(
        default,
        rename = "killGracePeriodSeconds",
        with = "number::optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub kill_grace_period_ms: Option<u64>,
}

/// Linux settings of a pod or a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinuxInfo {
    /// System call filter; containers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// IPC namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipc_info: Option<IpcInfo>,
}

/// System call filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// A profile other than the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Whether there is no filter at all.
    #[serde(default)]
    pub unconfined: bool,
}

/// IPC namespace settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpcInfo {
    /// Own or the parent's.
    pub mode: IpcMode,
    /// Size of `/dev/shm` in MiB, only with an own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<u32>,
}

/// Whose IPC namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IpcMode {
    /// Its own.
    Private,
    /// The parent's.
    ShareParent,
}

/// A network of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Mode.
    #[serde(default)]
    pub mode: NetworkMode,
    /// Name, in container mode only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Network modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NetworkMode {
    /// A named network, an address per instance.
    #[default]
    #[serde(rename = "container")]
    Container,
    /// A private bridge with published ports.
    #[serde(rename = "container/bridge")]
    Bridge,
    /// The host's namespace.
    #[serde(rename = "host")]
    Host,
}

/// How many instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Scaling {
    /// Always so many.
    Fixed {
        /// 0 or more.
        instances: u32,
    },
}

impl Default for Scaling {
    fn default() -> Self {
        Self::Fixed { instances: 1 }
    }
}

impl Scaling {
    /// How many instances are wanted.
    pub const fn instances(self) -> u32 {
        match self {
            Self::Fixed { instances } => instances,
        }
    }
}

/// How instances are launched and replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scheduling {
    /// Delay between launches that fail.
    pub backoff: BackoffStrategy,
    /// How many instances may be missing or surplus during an update.
    pub upgrade: UpgradeStrategy,
    /// Where instances may run.
    pub placement: Placement,
    /// Which instance goes first when there are too many.
    pub kill_selection: KillSelection,
    /// What happens to instances that cannot be reached; inert on one host.
    pub unreachable_strategy: UnreachableStrategy,
}

/// Delay between launches that fail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackoffStrategy {
    /// First delay in milliseconds; seconds as a decimal number in JSON.
    #[serde(rename = "backoff", with = "number::seconds")]
    pub backoff_ms: u64,
    /// Each further delay is so many times the one before.
    pub backoff_factor: f64,
    /// Longest delay in milliseconds; seconds as a decimal number in JSON.
    #[serde(rename = "maxLaunchDelay", with = "number::seconds")]
    pub max_launch_delay_ms: u64,
}

impl Default for BackoffStrategy {
    fn default() -> Self {
        Self {
            backoff_ms: 1000,
            backoff_factor: 1.15,
            max_launch_delay_ms: 300_000,
        }
    }
}

/// How many instances may be missing or surplus during an update, as fractions of those wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeStrategy {
    /// 0 to 1.
    pub minimum_health_capacity: f64,
    /// 0 to 1.
    pub maximum_over_capacity: f64,
}

impl Default for UpgradeStrategy {
    fn default() -> Self {
        Self {
            minimum_health_capacity: 1.0,
            maximum_over_capacity: 1.0,
        }
    }
}

/// Where instances may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// All must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Constraint>,
    /// Roles whose resources may be used; all where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accepted_resource_roles: Vec<String>,
}

/// A placement constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// `hostname` or an agent attribute.
    pub field_name: String,
    /// Operator.
    pub operator: ConstraintOperator,
    /// Operand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Operators of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConstraintOperator {
    /// No two instances on the same value.
    Unique,
    /// All instances on the same value.
    Cluster,
    /// Spread evenly over values.
    GroupBy,
    /// The value matches a regular expression.
    Like,
    /// The value does not match a regular expression.
    Unlike,
    /// At most so many instances on a value.
    MaxPer,
    /// The value is this one.
    Is,
}

/// Which instance goes first when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KillSelection {
    /// The one that runs the shortest.
    #[default]
    YoungestFirst,
    /// The one that runs the longest.
    OldestFirst,
}

/// What happens to instances that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UnreachableStrategy {
    /// Replaced and forgotten after these times.
    #[serde(rename_all = "camelCase")]
    Enabled {
        /// Until a replacement is launched.
        inactive_after_seconds: u64,
        /// Until it is forgotten.
        expunge_after_seconds: u64,
    },
    /// Waited for: the text `disabled`.
    #[serde(with = "number::disabled")]
    Disabled,
}

impl Default for UnreachableStrategy {
    fn default() -> Self {
        Self::Enabled {
            inactive_after_seconds: 0,
            expunge_after_seconds: 0,
        }
    }
}

/// What the executor needs beside the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutorResources(#[serde(with = "number::executor_resources")] pub Resources);

impl Default for ExecutorResources {
    /// 0.1 cpus, 32 MiB of memory, 10 MiB of disk, which are also the least.
    fn default() -> Self {
        use crate::resources::MIB;
        Self(Resources {
            cpus_milli: 100,
            mem_bytes: 32 * MIB,
            disk_bytes: 10 * MIB,
            gpus: 0,
        })
    }
}

impl PodDefinition {
    /// What one instance needs: the executor and all containers. `None` if the sum overflows.
    pub fn instance_resources(&self) -> Option<Resources> {
        self.containers
            .iter()
            .try_fold(self.executor_resources.0, |sum, container| {
                sum.checked_add(container.resources)
            })
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| container.name == name)
    }

    /// The mode of the pod's network. No network at all means the host's.
    pub fn network_mode(&self) -> NetworkMode {
        self.networks
            .first()
            .map_or(NetworkMode::Host, |network| network.mode)
    }
}
