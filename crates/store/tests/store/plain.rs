//! A plain model of the store: maps in memory, with the schema's foreign keys as a function.

use std::collections::BTreeMap;

use model::{
    id::{DeploymentId, PodId, RunId},
    record::{
        BackoffRecord, DeploymentRecord, InstanceRecord, PodRecord, PodVersionRecord, Record,
        RemovedPodRecord, Saved, TaskRecord, TerminationRecord,
    },
    time::Timestamp,
};
use store::TERMINATIONS_KEPT;
use uuid::Uuid;

#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    versions: BTreeMap<(PodId, Timestamp), PodVersionRecord>,
    pods: BTreeMap<PodId, PodRecord>,
    removed: BTreeMap<PodId, RemovedPodRecord>,
    instances: BTreeMap<Uuid, InstanceRecord>,
    tasks: BTreeMap<(RunId, String), TaskRecord>,
    deployments: BTreeMap<DeploymentId, DeploymentRecord>,
    backoffs: BTreeMap<(PodId, Timestamp), BackoffRecord>,
    terminations: Vec<TerminationRecord>,
    applied: BTreeMap<RunId, u64>,
}

impl Plain {
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Pod(pod) => {
                self.pods.insert(pod.id.clone(), pod);
            }
            Record::PodGone(pod) => {
                if self.pods.remove(&pod).is_some() {
                    self.terminations.retain(|end| end.pod != pod);
                }
            }
            Record::PodVersion(version) => {
                self.versions
                    .insert((version.pod.clone(), version.version), version);
            }
            Record::PodVersionGone { pod, version } => {
                self.versions.remove(&(pod, version));
            }
            Record::RemovedPod(removed) => {
                self.removed.insert(removed.pod.clone(), removed);
            }
            Record::RemovedPodGone(pod) => {
                self.removed.remove(&pod);
            }
            Record::Instance(instance) => {
                self.instances.insert(instance.id.uuid, instance);
            }
            Record::InstanceGone(id) => {
                if self.instances.remove(&id.uuid).is_some() {
                    self.tasks.retain(|(run, _), _| run.instance != id.uuid);
                }
            }
            Record::Task(task) => {
                let new = task.run;
                self.tasks.retain(|(run, _), _| {
                    run.instance != new.instance || run.incarnation >= new.incarnation
                });
                self.tasks.insert((new, task.container.clone()), task);
            }
            Record::Deployment(deployment) => {
                self.deployments.insert(deployment.id, deployment);
            }
            Record::DeploymentGone(id) => {
                self.deployments.remove(&id);
            }
            Record::Backoff(backoff) => {
                self.backoffs
                    .insert((backoff.pod.clone(), backoff.version), backoff);
            }
            Record::BackoffGone(pod) => self.backoffs.retain(|(of, _), _| *of != pod),
            Record::Termination(end) => self.add_termination(end),
            Record::Applied { run, sequence } => {
                self.applied.insert(run, sequence);
            }
            Record::RunForgotten(run) => {
                self.applied.remove(&run);
            }
        }
    }

    fn add_termination(&mut self, end: TerminationRecord) {
        let pod = end.pod.clone();
        self.terminations.push(end);
        let of_pod = self.terminations.iter().filter(|end| end.pod == pod);
        if of_pod.count() > TERMINATIONS_KEPT as usize {
            let oldest = self.terminations.iter().position(|end| end.pod == pod);
            self.terminations.remove(oldest.unwrap());
        }
    }

    /// Whether every row that another one refers to is there.
    pub(crate) fn is_consistent(&self) -> bool {
        let version = |pod: &PodId, version| self.versions.contains_key(&(pod.clone(), version));
        let optional = |pod: &PodId, at: Option<_>| at.is_none_or(|at| version(pod, at));
        self.pods.values().all(|pod| version(&pod.id, pod.version))
            && self.instances.values().all(|instance| {
                self.pods.contains_key(&instance.pod) && version(&instance.pod, instance.version)
            })
            && self
                .tasks
                .keys()
                .all(|(run, _)| self.instances.contains_key(&run.instance))
            && self.deployments.values().all(|deployment| {
                optional(&deployment.pod, deployment.from_version)
                    && optional(&deployment.pod, deployment.to_version)
            })
    }

    /// The model's content in the order that [`Saved`] promises.
    pub(crate) fn saved(&self) -> Saved {
        let mut instances: Vec<_> = self.instances.values().cloned().collect();
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        let mut deployments: Vec<_> = self.deployments.values().cloned().collect();
        deployments.sort_by_key(|deployment| (deployment.version, deployment.id));
        Saved {
            pods: self.pods.values().cloned().collect(),
            versions: self.versions.values().cloned().collect(),
            removed: self.removed.values().cloned().collect(),
            instances,
            tasks: self.tasks.values().cloned().collect(),
            deployments,
            backoffs: self.backoffs.values().cloned().collect(),
            terminations: self.terminations.clone(),
            applied: self
                .applied
                .iter()
                .map(|(run, last)| (*run, *last))
                .collect(),
        }
    }
}
