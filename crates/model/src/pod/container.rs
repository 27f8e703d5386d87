//! A container's members (marathon: `docs/docs/rest-api/public/api/v2/types/podContainer.raml`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    EnvironmentValue, number,
    schema::{
        ContainerResources, FilledText, Name, NetworkName, PathText, VariableName, optional_word,
        word,
    },
};
use crate::resources::Resources;

/// One container of the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Unique in the pod.
    #[schema(value_type = Name)]
    pub name: String,
    /// What runs; the image's own command where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// What it needs.
    #[serde(with = "number::container_resources")]
    #[schema(value_type = ContainerResources)]
    pub resources: Resources,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_limits: Option<ResourceLimits>,
    /// Ports it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable)]
    pub endpoints: Vec<Endpoint>,
    /// Root filesystem; the host's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// Overrides the pod's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable, value_type = BTreeMap<VariableName, EnvironmentValue>)]
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
    #[schema(nullable)]
    pub volume_mounts: Vec<VolumeMount>,
    /// Files fetched into its sandbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable)]
    pub artifacts: Vec<Artifact>,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResourceLimits {
    /// Cpus; thousandths in memory.
    #[serde(
        default,
        with = "number::limit_cpus",
        skip_serializing_if = "Option::is_none"
    )]
    pub cpus: Option<Limit>,
    /// MiB; bytes in memory.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Unique in the pod.
    #[schema(value_type = Name)]
    pub name: String,
    /// Port inside the pod's network; 0 means the allocated host port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65535)]
    pub container_port: Option<u16>,
    /// Port on the host; 0 means any free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 65535)]
    pub host_port: Option<u16>,
    /// Protocol names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable, min_items = 1, value_type = Vec<FilledText>)]
    pub protocol: Vec<String>,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable)]
    pub labels: BTreeMap<String, String>,
    /// Container networks it is published on; all where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable, value_type = Vec<NetworkName>)]
    pub network_names: Vec<String>,
}

/// Image kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ImageKind {
    /// A Docker image reference.
    Docker,
    /// An OCI image reference.
    Oci,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Kind.
    #[schema(schema_with = word::<ImageKind>)]
    pub kind: ImageKind,
    /// Reference.
    #[schema(value_type = PathText)]
    pub id: String,
    /// Whether to fetch it even if it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_pull: Option<bool>,
    /// Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_config: Option<PullConfig>,
    /// Informational.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable)]
    pub labels: BTreeMap<String, String>,
}

/// Credentials for fetching an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PullConfig {
    /// A key of the pod's `secrets`: a Docker configuration file.
    pub secret: String,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// What is probed.
    #[serde(flatten)]
    pub probe: Probe,
    /// Failures before the first success are ignored this long.
    #[schema(nullable, required = false, maximum = 2147483647, default = 300)]
    pub grace_period_seconds: u32,
    /// Between probes.
    #[schema(nullable, required = false, maximum = 2147483647, default = 60)]
    pub interval_seconds: u32,
    /// So many failures in a row kill; 0 counts as 1.
    #[schema(nullable, required = false, maximum = 2147483647, default = 3)]
    pub max_consecutive_failures: u32,
    /// A probe that takes longer has failed.
    #[schema(nullable, required = false, maximum = 2147483647, default = 20)]
    pub timeout_seconds: u32,
    /// Before the first probe.
    #[schema(nullable, required = false, maximum = 2147483647, default = 15)]
    pub delay_seconds: u32,
}

/// A readiness check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What is probed.
    #[serde(flatten)]
    pub probe: Probe,
    /// Between probes.
    #[schema(nullable, required = false, maximum = 2147483647, default = 60)]
    pub interval_seconds: u32,
    /// A probe that takes longer has failed.
    #[schema(nullable, required = false, maximum = 2147483647, default = 20)]
    pub timeout_seconds: u32,
    /// Before the first probe.
    #[schema(nullable, required = false, maximum = 2147483647, default = 15)]
    pub delay_seconds: u32,
}

/// What a check probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HttpProbe {
    /// An endpoint of the same container.
    #[schema(value_type = Name)]
    pub endpoint: String,
    /// `/` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PathText>)]
    pub path: Option<String>,
    /// Scheme.
    #[serde(default)]
    #[schema(schema_with = optional_word::<HttpScheme>)]
    pub scheme: HttpScheme,
}

/// Schemes of HTTP probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpScheme {
    /// Plain.
    #[default]
    Http,
    /// TLS, certificates not checked.
    Https,
}

/// A TCP probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TcpProbe {
    /// An endpoint of the same container.
    #[schema(value_type = Name)]
    pub endpoint: String,
}

/// A command probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecProbe {
    /// The command.
    pub command: Command,
}

/// A volume as a container sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeMount {
    /// The volume's name.
    #[schema(value_type = Name)]
    pub name: String,
    /// Where; relative paths are below the container's sandbox.
    #[schema(value_type = PathText)]
    pub mount_path: String,
    /// Whether it may not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// A file fetched into the container's sandbox before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// From where.
    #[schema(value_type = PathText)]
    pub uri: String,
    /// Whether archives are unpacked.
    #[serde(default = "default_true")]
    #[schema(nullable, default = true)]
    pub extract: bool,
    /// Whether it is made executable.
    #[serde(default)]
    #[schema(nullable, default = false)]
    pub executable: bool,
    /// Whether it may come from a cache.
    #[serde(default)]
    #[schema(nullable, default = false)]
    pub cache: bool,
    /// Under which name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<PathText>)]
    pub dest_path: Option<String>,
}

fn default_true() -> bool {
    true
}

/// How a container is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lifecycle {
    /// Between SIGTERM and SIGKILL: seconds, a decimal number, in JSON; milliseconds in memory.
    #[serde(
        default,
        rename = "killGracePeriodSeconds",
        with = "number::optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<f64>, minimum = 0)]
    pub kill_grace_period_ms: Option<u64>,
}

/// Linux settings of a pod or a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// A profile other than the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Whether there is no filter at all.
    #[serde(default)]
    #[schema(nullable, default = false)]
    pub unconfined: bool,
}

/// IPC namespace settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpcInfo {
    /// Own or the parent's.
    #[schema(schema_with = word::<IpcMode>)]
    pub mode: IpcMode,
    /// Size of `/dev/shm` in MiB, only with an own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2147483647)]
    pub shm_size: Option<u32>,
}

/// Whose IPC namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IpcMode {
    /// Its own.
    Private,
    /// The parent's.
    ShareParent,
}
