//! Offers: what the agent has free, and what the scheduler answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    id::{OfferId, RunId},
    pools::{Access, Pools},
    ports::PortSet,
    resources::Resources,
    time::Timestamp,
};

/// This host as the scheduler sees it (mesos: `SlaveInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentInfo {
    /// The agent's id, kept in the store across restarts.
    pub id: String,
    /// Host name, matched by constraints and given to containers as `HOST`.
    pub hostname: String,
    /// Configured attributes, matched by constraints.
    pub attributes: BTreeMap<String, String>,
}

/// An amount of resources that belongs together: offered, asked for or held by a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Cpu, memory, disk and GPUs.
    pub resources: Resources,
    /// Host ports.
    pub ports: PortSet,
}

/// Free resources of the agent, lent to the scheduler until it accepts, declines, or the offer expires.
///
/// A resource is in at most one outstanding offer; each offer ends exactly once (mesos: `Offer`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The offer's id.
    pub id: OfferId,
    /// What is offered, all together.
    pub claim: Claim,
    /// The same by the role that it is reserved for.
    pub pools: Pools,
    /// When the agent takes the offer back by itself.
    pub expires: Timestamp,
}

/// What the scheduler launches out of an offer: a run and what it shall hold until it is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The run to be launched.
    pub run: RunId,
    /// What it takes: the task group's sum, executor included.
    pub claim: Claim,
    /// Of which resources.
    pub access: Access,
}

/// How an offer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferEnd {
    /// Its resources went to runs; leftovers came back.
    Accepted,
    /// Not wanted.
    Declined,
    /// Taken back by the agent.
    Rescinded,
    /// Held too long.
    Expired,
}
