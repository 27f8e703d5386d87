//! The pod definition's members (marathon: `docs/docs/rest-api/public/api/v2/types/pod*.raml`).
//!
//! Amounts are integers here and decimal numbers in JSON. Empty members are left out of JSON, as Marathon
//! leaves them out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Constraint, Container, LinuxInfo, Scaling, Scheduling, number,
    schema::{
        ExecutorAmounts, FilledText, NetworkName, VariableName, VolumeMembers, optional_word,
    },
};
use crate::{id::PodId, resources::Resources, time::Timestamp};

/// A pod: containers launched together, sharing a network namespace and volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodDefinition {
    /// Absolute path.
    pub id: PodId,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable)]
    pub labels: BTreeMap<String, String>,
    /// Stamped by the server at every accepted change; what a client sends is discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Timestamp>,
    /// User of the containers that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Environment of all containers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable, value_type = BTreeMap<VariableName, EnvironmentValue>)]
    pub environment: BTreeMap<String, EnvironmentValue>,
    /// At least one.
    #[schema(min_items = 1)]
    pub containers: Vec<Container>,
    /// Secrets by the name that the definition uses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Volumes that containers mount.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable, value_type = Vec<VolumeMembers>)]
    pub volumes: Vec<Volume>,
    /// Networks; none behaves as host mode for the processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable)]
    pub networks: Vec<Network>,
    /// How many instances.
    #[serde(default)]
    #[schema(nullable)]
    pub scaling: Scaling,
    /// How instances are launched and replaced.
    #[serde(default)]
    #[schema(nullable)]
    pub scheduling: Scheduling,
    /// What the executor needs beside the containers.
    #[serde(default)]
    #[schema(nullable, value_type = ExecutorAmounts)]
    pub executor_resources: ExecutorResources,
    /// Role; the server's where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<FilledText>)]
    pub role: Option<String>,
    /// Pod-level Linux settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux_info: Option<LinuxInfo>,
    /// Whether all containers share one cgroup; `false` is left out of JSON.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(nullable, default = false)]
    pub legacy_shared_cgroups: bool,
}

/// A value in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum EnvironmentValue {
    /// As is.
    Text(String),
    /// The value of a declared secret.
    Secret {
        /// A key of the pod's `secrets`.
        #[schema(value_type = FilledText)]
        secret: String,
    },
}

/// Where a secret's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretSource {
    /// Path in the secret store.
    #[schema(value_type = FilledText)]
    pub source: String,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersistentVolume {
    /// `root`, `path` or `mount`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = optional_word::<PersistentVolumeKind>)]
    pub kind: Option<PersistentVolumeKind>,
    /// MiB.
    pub size: u64,
    /// MiB, only for `mount`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub max_size: Option<u64>,
    /// Profile of the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// Constraints, only for `path`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable)]
    pub constraints: Vec<Constraint>,
}

/// Kinds of persistent volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PersistentVolumeKind {
    /// On the agent's work directory.
    Root,
    /// On a configured path.
    Path,
    /// A whole configured mount.
    Mount,
}

/// A network of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Mode.
    #[serde(default)]
    #[schema(schema_with = optional_word::<NetworkMode>)]
    pub mode: NetworkMode,
    /// Name, in container mode only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NetworkName>)]
    pub name: Option<String>,
    /// Free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(nullable)]
    pub labels: BTreeMap<String, String>,
}

/// Network modes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
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

    /// Whether any of the pod's networks has this mode.
    pub fn has_network(&self, mode: NetworkMode) -> bool {
        self.networks.iter().any(|network| network.mode == mode)
    }

    /// The mode of the pod's network. No network at all means the host's.
    pub fn network_mode(&self) -> NetworkMode {
        self.networks
            .first()
            .map_or(NetworkMode::Host, |network| network.mode)
    }
}
