//! What readers see: the state after the last stored turn, published as a whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent::{accounting::Accounting, allocator::Agent};
use model::{
    id::{DeploymentId, PodId},
    record::DeploymentRecord,
};
use scheduler::{PodView, Scheduler};
use tokio::sync::watch;

/// The state after a turn. Pods that a turn did not touch are shared with the snapshot before it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Every known pod, those being removed included.
    pub pods: BTreeMap<PodId, Arc<PodView>>,
    /// Running deployments, oldest first.
    pub deployments: Arc<Vec<DeploymentRecord>>,
    /// What the agent has, offers and holds.
    pub accounting: Accounting,
}

impl Snapshot {
    /// A running deployment.
    pub fn deployment(&self, id: DeploymentId) -> Option<&DeploymentRecord> {
        self.deployments
            .iter()
            .find(|deployment| deployment.id == id)
    }

    /// Reads everything anew.
    pub(crate) fn of(scheduler: &mut Scheduler, agent: &Agent) -> Self {
        let mut snapshot = Self {
            pods: BTreeMap::new(),
            deployments: Arc::default(),
            accounting: agent.accounting(),
        };
        scheduler.take_changed();
        let pods: Vec<PodId> = scheduler.pods().cloned().collect();
        snapshot.take(scheduler, agent, pods);
        snapshot
    }

    fn take(
        &mut self,
        scheduler: &Scheduler,
        agent: &Agent,
        pods: impl IntoIterator<Item = PodId>,
    ) {
        for pod in pods {
            match scheduler.view(&pod) {
                Some(view) => self.pods.insert(pod, Arc::new(view)),
                None => self.pods.remove(&pod),
            };
        }
        self.deployments = Arc::new(scheduler.deployments().cloned().collect());
        self.accounting = agent.accounting();
    }
}

/// The loop's end of the snapshots.
#[derive(Debug)]
pub(crate) struct Publisher(pub(crate) watch::Sender<Arc<Snapshot>>);

impl Publisher {
    /// Publishes what changed since the last time; nothing if nothing did. Returns the pods that changed.
    pub(crate) fn publish(&self, scheduler: &mut Scheduler, agent: &Agent) -> BTreeSet<PodId> {
        let changed = scheduler.take_changed();
        if !changed.is_empty() {
            self.0.send_modify(|snapshot| {
                Arc::make_mut(snapshot).take(scheduler, agent, changed.iter().cloned());
            });
        }
        changed
    }

    /// Pods as they were published; those that are gone are left out.
    pub(crate) fn views(&self, pods: &BTreeSet<PodId>) -> Vec<Arc<PodView>> {
        let snapshot = self.0.borrow();
        pods.iter()
            .filter_map(|pod| snapshot.pods.get(pod).cloned())
            .collect()
    }

    /// Publishes everything anew.
    pub(crate) fn republish(&self, scheduler: &mut Scheduler, agent: &Agent) {
        self.0
            .send_replace(Arc::new(Snapshot::of(scheduler, agent)));
    }
}
