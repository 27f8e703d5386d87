//! Task groups: what the scheduler hands to the runtime, launched whole or not at all.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    id::{InstanceId, RunId},
    offer::Claim,
    pod::PodDefinition,
};

/// A host port given to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortAssignment {
    /// The container whose endpoint it is.
    pub container: String,
    /// The endpoint's name, unique in the pod.
    pub endpoint: String,
    /// The host port.
    pub host_port: u16,
}

/// One container of the group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The container's name in the pod.
    pub container: String,
    /// The task's id as clients see it, see [`crate::id::task_id`].
    pub id: String,
    /// The container's whole environment but for what the image and the runtime add
    /// (marathon: `TaskGroupBuilder.scala`, `EnvironmentHelper.scala`).
    pub environment: BTreeMap<String, String>,
}

/// One launch of an instance: every container of the pod together (mesos: `TaskGroupInfo`).
#[derive(Clone, Debug, PartialEq)]
pub struct TaskGroup {
    /// The run that this launch is.
    pub run: RunId,
    /// The instance.
    pub instance: InstanceId,
    /// The normalised definition in the instance's version.
    pub definition: Arc<PodDefinition>,
    /// What the run holds of the agent.
    pub claim: Claim,
    /// Host ports by endpoint.
    pub host_ports: Vec<PortAssignment>,
    /// The containers, in the definition's order.
    pub tasks: Vec<Task>,
}
