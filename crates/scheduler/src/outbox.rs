//! What a turn has changed so far: rows to be written, and effects.
//!
//! Rows are marked while the turn works and written once, whole, at its end.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    id::{DeploymentId, InstanceId, PodId, RunId},
    record::{PodVersionRecord, Record, RemovedPodRecord, TerminationRecord},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Announcement, Effect, Scheduler};

/// Marks and effects of the turn at work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) versions: Vec<PodVersionRecord>,
    pub(crate) versions_gone: Vec<(PodId, Timestamp)>,
    pub(crate) pods_gone: Vec<PodId>,
    pub(crate) removed: Vec<RemovedPodRecord>,
    pub(crate) removed_gone: Vec<PodId>,
    pub(crate) instances_gone: Vec<InstanceId>,
    pub(crate) deployments_gone: Vec<DeploymentId>,
    pub(crate) terminations: Vec<TerminationRecord>,
    pub(crate) runs_forgotten: Vec<RunId>,
    pub(crate) applied: BTreeMap<RunId, u64>,
    pub(crate) deployments: BTreeSet<DeploymentId>,
    /// Pods whose back-offs are written anew as a whole.
    pub(crate) backoffs_gone: BTreeSet<PodId>,
    pub(crate) backoffs: BTreeSet<(PodId, Timestamp)>,
    /// Whether runs were opened or ended, so that reasons to wait may have changed.
    pub(crate) holdings_moved: bool,
    /// Whether the turn's rows must survive a power cut although nobody asked for anything.
    pub(crate) durable: bool,
    pub(crate) effects: Vec<Effect>,
    pods: BTreeSet<PodId>,
    instances: BTreeSet<(PodId, Uuid)>,
    tasks: BTreeSet<(PodId, Uuid, usize)>,
}

impl Outbox {
    pub(crate) fn announce(&mut self, announcement: Announcement) {
        self.effects.push(Effect::Announce(announcement));
    }
}

impl Scheduler {
    pub(crate) fn mark_pod(&mut self, id: &PodId) {
        self.out.pods.insert(id.clone());
        self.changed.insert(id.clone());
    }

    pub(crate) fn mark_instance(&mut self, pod: &PodId, uuid: Uuid) {
        self.out.instances.insert((pod.clone(), uuid));
        self.changed.insert(pod.clone());
    }

    pub(crate) fn mark_task(&mut self, pod: &PodId, uuid: Uuid, index: usize) {
        self.out.tasks.insert((pod.clone(), uuid, index));
        self.changed.insert(pod.clone());
    }

    /// Ends the turn: the rows, in an order in which each follows what it refers to, then the effects.
    pub(crate) fn flush(&mut self) -> Vec<Effect> {
        let out = std::mem::take(&mut self.out);
        self.enter_changes();
        if out.holdings_moved {
            self.changed.extend(self.agenda.waiting().iter().cloned());
        }
        let mut records = Vec::new();
        records.extend(out.versions.into_iter().map(Record::PodVersion));
        records.extend(
            out.pods
                .iter()
                .filter_map(|id| Some(Record::Pod(self.pods.get(id)?.record.clone()))),
        );
        records.extend(out.backoffs_gone.iter().cloned().map(Record::BackoffGone));
        records.extend(self.backoff_records(&out.backoffs_gone, &out.backoffs));
        records.extend(out.instances.iter().filter_map(|(pod, uuid)| {
            Some(Record::Instance(
                self.pods.get(pod)?.instances.get(uuid)?.record.clone(),
            ))
        }));
        records.extend(out.tasks.iter().filter_map(|(pod, uuid, index)| {
            let task = self.pods.get(pod)?.instances.get(uuid)?.tasks.get(*index)?;
            Some(Record::Task(task.clone()))
        }));
        records.extend(out.applied.iter().map(|(run, sequence)| Record::Applied {
            run: *run,
            sequence: *sequence,
        }));
        records.extend(
            out.deployments
                .iter()
                .filter_map(|id| Some(Record::Deployment(self.deployments.get(id)?.clone()))),
        );
        records.extend(out.terminations.into_iter().map(Record::Termination));
        records.extend(out.runs_forgotten.into_iter().map(Record::RunForgotten));
        records.extend(out.deployments_gone.into_iter().map(Record::DeploymentGone));
        records.extend(out.instances_gone.into_iter().map(Record::InstanceGone));
        records.extend(out.pods_gone.into_iter().map(Record::PodGone));
        records.extend(out.removed.into_iter().map(Record::RemovedPod));
        records.extend(out.removed_gone.into_iter().map(Record::RemovedPodGone));
        records.extend(
            out.versions_gone
                .into_iter()
                .map(|(pod, version)| Record::PodVersionGone { pod, version }),
        );
        records
            .into_iter()
            .map(Effect::Record)
            .chain(out.durable.then_some(Effect::Harden))
            .chain(out.effects)
            .collect()
    }

    /// The back-offs that are marked, and all of pods whose back-offs are written anew.
    fn backoff_records(
        &self,
        gone: &BTreeSet<PodId>,
        marked: &BTreeSet<(PodId, Timestamp)>,
    ) -> Vec<Record> {
        let anew = gone
            .iter()
            .filter_map(|id| self.pods.get(id))
            .flat_map(|pod| pod.backoffs.values());
        let single = marked
            .iter()
            .filter(|(pod, _)| !gone.contains(pod))
            .filter_map(|(pod, version)| self.pods.get(pod)?.backoffs.get(version));
        anew.chain(single).cloned().map(Record::Backoff).collect()
    }
}
