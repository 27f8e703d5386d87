//! A pod as readers see it: plain data, from which documents are made.

use std::{collections::BTreeMap, sync::Arc};

use model::{
    id::{DeploymentId, PodId},
    offer::AgentInfo,
    pod::PodDefinition,
    pools::Pools,
    record::{BackoffRecord, InstanceRecord, PodRecord, TaskRecord, TerminationRecord},
    state::{Condition, Goal},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Scheduler, WaitReason, backoff, instance::Instance, pods::Pod};

/// A pod and everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct PodView {
    /// The pod's row.
    pub record: PodRecord,
    /// The definition in the current version.
    pub definition: Arc<PodDefinition>,
    /// Every version that is kept, ascending, the current one included.
    pub versions: Vec<(Timestamp, Arc<PodDefinition>)>,
    /// Its instances in order of their making, those that wait or end included.
    pub instances: Vec<InstanceView>,
    /// Runs that ended other than by request, oldest first.
    pub terminations: Vec<TerminationRecord>,
    /// The deployment at work on it.
    pub deployment: Option<DeploymentId>,
    /// The back-off of the configuration that new instances get.
    pub backoff: Option<BackoffRecord>,
    /// The host.
    pub agent: Arc<AgentInfo>,
    /// Name under which bridge networks are shown.
    pub bridge_name: Arc<str>,
}

/// An instance and everything that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceView {
    /// The instance's row.
    pub record: InstanceRecord,
    /// The definition in the instance's version.
    pub definition: Arc<PodDefinition>,
    /// The tasks of its latest run, in the definition's order; none before the first launch.
    pub tasks: Vec<TaskRecord>,
    /// Whether it runs and, where checks exist, is healthy: what deployments wait for.
    pub ready: bool,
    /// Whether the run it is in, or was in last, is its last one, as its pod's restart policy has it.
    pub last_run: bool,
    /// Why it waits, if it does.
    pub waiting: Option<WaitReason>,
    /// The host.
    pub agent: Arc<AgentInfo>,
}

impl InstanceView {
    /// Whether its last run has ended: its condition, finished or failed, is its result.
    pub fn is_over(&self) -> bool {
        self.last_run && !self.record.run_open
    }
}

impl Scheduler {
    /// A pod as it is now. Takes time in proportion to the pod, whatever else there is.
    pub fn view(&self, pod: &PodId) -> Option<PodView> {
        let pod = self.pods.get(pod)?;
        let id = &pod.record.id;
        let mut reasons = Reasons {
            scheduler: self,
            pod,
            free: None,
            known: BTreeMap::new(),
        };
        let mut instances: Vec<_> = pod
            .instances
            .values()
            .map(|instance| view_of(instance, reasons.of(instance), &self.agent))
            .collect();
        instances.sort_by_key(|instance| (instance.record.created_at, instance.record.id.uuid));
        let versions = self.history.get(id).into_iter().flatten();
        Some(PodView {
            record: pod.record.clone(),
            definition: pod.definition.clone(),
            versions: versions
                .map(|(version, definition)| (*version, definition.clone()))
                .collect(),
            instances,
            terminations: pod.terminations.iter().cloned().collect(),
            deployment: pod.deployment,
            backoff: pod.backoffs.get(&pod.record.last_config_change).cloned(),
            agent: self.agent.clone(),
            bridge_name: self.bridge_name.clone(),
        })
    }

    pub(crate) fn instance_view(&self, pod: &PodId, uuid: Uuid) -> Option<InstanceView> {
        let pod = self.pods.get(pod)?;
        let instance = pod.instances.get(&uuid)?;
        let mut reasons = Reasons {
            scheduler: self,
            pod,
            free: None,
            known: BTreeMap::new(),
        };
        Some(view_of(instance, reasons.of(instance), &self.agent))
    }
}

/// Reasons to wait, worked out once for each version: its instances all need the same.
struct Reasons<'a> {
    scheduler: &'a Scheduler,
    pod: &'a Pod,
    /// Worked out for the first that waits.
    free: Option<Pools>,
    known: BTreeMap<Timestamp, WaitReason>,
}

impl Reasons<'_> {
    fn of(&mut self, instance: &Instance) -> Option<WaitReason> {
        if instance.is_waiting() {
            let free = self.free.get_or_insert_with(|| self.scheduler.free());
            let find = || self.scheduler.why_waiting(self.pod, instance, free);
            return Some(
                self.known
                    .entry(instance.record.version)
                    .or_insert_with(find)
                    .clone(),
            );
        }
        if instance.ends_with_run() {
            return None;
        }
        // A container failed and its siblings still end, or a kill was asked for.
        let relaunched = match instance.record.goal {
            Goal::Running => {
                let condition = instance.record.condition;
                backoff::is_counted(condition) || condition == Condition::Killed
            }
            Goal::Stopped => true,
            Goal::Decommissioned => false,
        };
        relaunched.then_some(WaitReason::PreviousRun)
    }
}

fn view_of(
    instance: &Instance,
    waiting: Option<WaitReason>,
    agent: &Arc<AgentInfo>,
) -> InstanceView {
    InstanceView {
        record: instance.record.clone(),
        definition: instance.definition.clone(),
        tasks: instance.tasks.clone(),
        ready: instance.is_ready(),
        last_run: instance.ends_with_run(),
        waiting,
        agent: agent.clone(),
    }
}
