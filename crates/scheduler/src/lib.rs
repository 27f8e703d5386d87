//! The pod logic between runs: what is wanted, what is launched out of which offer, what is replaced, and why
//! something waits.
//!
//! A pure state machine. [`Scheduler::request`], [`Scheduler::observe`] and [`Scheduler::consider`] take what
//! happened and the time, and give back [`Effect`]s; nothing here performs I/O, reads a clock or draws a random
//! number, and all maps are ordered, so the same inputs replay identically. It knows neither runtime nor store:
//! what has to be remembered comes out as [`Effect::Record`] with whole rows, and [`Scheduler::restore`] takes
//! the rows back.
//!
//! Requests change only goals. Observation alone changes conditions. After each change the pod is *settled*
//! (`settle.rs`): from its present state alone the next move of its deployment is decided, so that a crash
//! between any two turns changes nothing.
//!
//! The life of an instance, which keeps its id across runs:
//!
//! ```text
//!              launch                 updates                      end seen, goal Running
//! Scheduled ────────────► Provisioned ───────► Staging, Starting, ───────► Failed, Finished, Killed, …
//!     run not open           run open          Running, Killing   RunOver      run not open ──► launch again
//!                                                                     └─ goal Decommissioned: forgotten
//! ```
//!
//! Where to start: `event.rs` has the vocabulary, `requests.rs` what people ask for, `settle.rs` what follows
//! from it, `launch.rs` how an offer is used, `update.rs` what executors report.

mod agenda;
mod announcement;
mod backoff;
mod constraint;
mod deployment;
mod environment;
mod event;
mod groups;
mod instance;
mod kill_selection;
mod launch;
mod outbox;
mod plan;
mod pods;
mod ports;
mod removed;
mod replacement;
mod requests;
mod restore;
mod rolling;
mod settle;
pub mod status;
#[cfg(test)]
mod testing;
mod update;
mod view;
mod wait_reason;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{
    id::{DeploymentId, InstanceId, PodId},
    offer::{AgentInfo, Placement},
    pod::PodDefinition,
    pools::{Held, Pools},
    record::DeploymentRecord,
    resources::Resources,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{agenda::Agenda, outbox::Outbox, pods::Pod};
pub use crate::{
    announcement::Announcement,
    event::{Accepted, Config, Denied, Effect, Event, OfferAnswer, Request, Turn},
    plan::{Move, Plan},
    restore::RestoreError,
    view::{InstanceView, PodView},
    wait_reason::{PortRanges, REJECT_REASONS, WaitReason},
};

/// The scheduler; see the crate's documentation.
#[derive(Clone, Debug)]
pub struct Scheduler {
    config: Config,
    agent: Arc<AgentInfo>,
    bridge_name: Arc<str>,
    /// The latest time of any turn.
    clock: Timestamp,
    /// Whether nothing was settled since the state was restored.
    fresh: bool,
    pods: BTreeMap<PodId, Pod>,
    /// Versions by pod; they outlive it while it is in `removed`.
    history: BTreeMap<PodId, BTreeMap<Timestamp, Arc<PodDefinition>>>,
    /// The pods that were removed last, and when. Every pod of `history` is either here or in `pods`.
    removed: BTreeMap<PodId, Timestamp>,
    /// Which pod an instance belongs to.
    owners: BTreeMap<Uuid, PodId>,
    /// Running deployments; at most one for each pod.
    deployments: BTreeMap<DeploymentId, DeploymentRecord>,
    held: Holdings,
    agenda: Agenda,
    changed: BTreeSet<PodId>,
    out: Outbox,
}

/// What the open runs hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holdings {
    resources: Resources,
    held: Held,
    /// Who holds each of the ports.
    holders: BTreeMap<u16, PodId>,
}

impl Holdings {
    fn add(&mut self, placed: &Placement, pod: &PodId) {
        self.resources = self
            .resources
            .checked_add(placed.claim.resources)
            .expect("what is held was part of an offer");
        self.held.add(&placed.access, &placed.claim);
        for port in placed.claim.ports.iter() {
            self.holders.insert(port, pod.clone());
        }
    }

    fn subtract(&mut self, placed: &Placement) {
        self.resources = self
            .resources
            .checked_sub(placed.claim.resources)
            .expect("what a run gives back it held before");
        self.held.subtract(&placed.access, &placed.claim);
        for port in placed.claim.ports.iter() {
            self.holders.remove(&port);
        }
    }

    /// What is left of `total`.
    fn free(&self, total: &Pools) -> Pools {
        total.without(&self.held.of(total))
    }
}

impl Scheduler {
    /// Answers a request and says what follows from it. A request that is denied changes nothing.
    pub fn request(
        &mut self,
        request: Request,
        turn: &mut Turn<'_>,
    ) -> (Result<Accepted, Denied>, Vec<Effect>) {
        self.begin(turn);
        let answer = self.answer(request, turn);
        (answer, self.flush())
    }

    /// Takes note of what was seen and says what follows from it.
    pub fn observe(&mut self, event: Event, turn: &mut Turn<'_>) -> Vec<Effect> {
        self.begin(turn);
        match event {
            Event::Update(update) => self.update(update, turn),
            Event::RunOver(over) => self.run_over(over, turn),
            Event::Tick => self.tick(turn),
        }
        self.flush()
    }

    /// The ids of all pods, those being removed included.
    pub fn pods(&self) -> impl Iterator<Item = &PodId> {
        self.pods.keys()
    }

    /// The ids of all instances.
    pub fn instances(&self) -> impl Iterator<Item = &InstanceId> {
        self.pods
            .values()
            .flat_map(|pod| pod.instances.values())
            .map(|instance| &instance.record.id)
    }

    /// The running deployments, oldest first.
    pub fn deployments(&self) -> impl Iterator<Item = &DeploymentRecord> {
        let mut deployments: Vec<_> = self.deployments.values().collect();
        deployments.sort_by_key(|deployment| (deployment.version, deployment.id));
        deployments.into_iter()
    }

    /// A version of a pod's definition, also of a pod that was removed not too long ago.
    pub fn definition(&self, pod: &PodId, version: Timestamp) -> Option<&Arc<PodDefinition>> {
        self.history.get(pod)?.get(&version)
    }

    /// Every version that is kept, of pods that are defined and of pods that were removed.
    pub fn versions(&self) -> impl Iterator<Item = (&PodId, Timestamp)> {
        let of_pod = |(pod, versions)| BTreeMap::keys(versions).map(move |version| (pod, *version));
        self.history.iter().flat_map(of_pod)
    }

    /// The pods whose view changed since the last call; their views may be gone altogether.
    pub fn take_changed(&mut self) -> BTreeSet<PodId> {
        std::mem::take(&mut self.changed)
    }

    fn begin(&mut self, turn: &mut Turn<'_>) {
        turn.now = turn.now.max(self.clock);
        self.clock = turn.now;
    }
}
