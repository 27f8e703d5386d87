//! A store in memory: what was committed, and nothing else. Refuses rows that no row may follow.

use std::collections::BTreeMap;

use model::{
    id::{DeploymentId, InstanceId, PodId, RunId},
    pod::RestartPolicy,
    record::{
        BackoffRecord, DeploymentRecord, InstanceRecord, PodRecord, PodVersionRecord, Record,
        RemovedPodRecord, Saved, TaskRecord, TerminationRecord,
    },
    state::TaskState,
    time::Timestamp,
};

/// Everything committed so far.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pods: BTreeMap<PodId, PodRecord>,
    removed: BTreeMap<PodId, RemovedPodRecord>,
    versions: BTreeMap<(PodId, Timestamp), PodVersionRecord>,
    pub(crate) instances: BTreeMap<InstanceId, InstanceRecord>,
    tasks: BTreeMap<(RunId, String), TaskRecord>,
    deployments: BTreeMap<DeploymentId, DeploymentRecord>,
    backoffs: BTreeMap<(PodId, Timestamp), BackoffRecord>,
    terminations: Vec<TerminationRecord>,
    applied: BTreeMap<RunId, u64>,
}

impl Store {
    /// Commits the records of one turn.
    pub(crate) fn commit(&mut self, records: impl Iterator<Item = Record>) {
        for record in records {
            self.apply(record);
        }
        for (pod, _) in self.versions.keys() {
            let (defined, removed) = (self.pods.contains_key(pod), self.removed.contains_key(pod));
            assert!(
                defined != removed,
                "{pod} has versions that nobody will forget"
            );
        }
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Pod(row) => {
                assert!(self.versions.contains_key(&(row.id.clone(), row.version)));
                self.pods.insert(row.id.clone(), row);
            }
            Record::PodGone(id) => {
                assert!(
                    self.instances.values().all(|row| row.pod != id),
                    "{id} has instances"
                );
                assert!(
                    self.deployments.values().all(|row| row.pod != id),
                    "{id} is locked"
                );
                self.pods.remove(&id);
                self.terminations.retain(|row| row.pod != id);
                self.backoffs.retain(|(pod, _), _| *pod != id);
            }
            Record::PodVersion(row) => {
                let last = self
                    .versions
                    .range(..)
                    .rfind(|((pod, _), _)| *pod == row.pod);
                if let Some(((_, last), _)) = last {
                    assert!(*last < row.version, "versions only grow");
                }
                self.versions.insert((row.pod.clone(), row.version), row);
            }
            Record::PodVersionGone { pod, version } => {
                assert!(
                    !self
                        .instances
                        .values()
                        .any(|row| row.pod == pod && row.version == version),
                    "an instance has the version that goes"
                );
                assert!(self.versions.remove(&(pod, version)).is_some());
            }
            Record::RemovedPod(row) => {
                self.removed.insert(row.pod.clone(), row);
            }
            Record::RemovedPodGone(pod) => {
                assert!(self.removed.remove(&pod).is_some());
            }
            Record::Instance(row) => self.apply_instance(row),
            Record::InstanceGone(id) => {
                self.instances.remove(&id);
                self.tasks.retain(|(run, _), _| run.instance != id.uuid);
            }
            Record::Task(row) => self.apply_task(row),
            Record::Deployment(row) => {
                assert!(self.pods.contains_key(&row.pod));
                self.deployments.insert(row.id, row);
            }
            Record::DeploymentGone(id) => {
                self.deployments.remove(&id);
            }
            Record::Backoff(row) => {
                self.backoffs.insert((row.pod.clone(), row.version), row);
            }
            Record::BackoffGone(id) => self.backoffs.retain(|(pod, _), _| *pod != id),
            Record::Termination(row) => self.terminations.push(row),
            Record::Applied { run, sequence } => {
                let before = self.applied.insert(run, sequence);
                assert!(
                    before.is_none_or(|before| before < sequence),
                    "applied twice"
                );
            }
            Record::RunForgotten(run) => {
                self.applied.remove(&run);
            }
        }
    }

    fn apply_instance(&mut self, row: InstanceRecord) {
        assert!(self.pods.contains_key(&row.pod));
        if let Some(before) = self.instances.get(&row.id) {
            let grown = row.incarnation - before.incarnation;
            assert!(grown <= 1, "an incarnation was left out");
            assert!(
                grown == 0 || !before.run_open,
                "launched before the run before was over"
            );
            assert!(
                grown == 0 || !self.is_over(before),
                "launched although it is over"
            );
            assert!(
                before.goal != model::state::Goal::Decommissioned || before.goal == row.goal,
                "a decommissioned instance came back"
            );
        }
        self.instances.insert(row.id.clone(), row);
    }

    /// Whether the restart policy keeps an instance whose run ended from being launched again.
    fn is_over(&self, row: &InstanceRecord) -> bool {
        let definition = &self.versions[&(row.pod.clone(), row.version)].definition;
        let of_run = self.tasks.iter().filter(|((run, _), _)| {
            (run.instance, run.incarnation) == (row.id.uuid, row.incarnation)
        });
        row.incarnation > 0
            && match definition.scheduling.restart_policy {
                RestartPolicy::Always => false,
                RestartPolicy::OnFailure => of_run
                    .map(|(_, task)| task.state)
                    .all(|state| state == TaskState::Finished),
                RestartPolicy::Never => true,
            }
    }

    fn apply_task(&mut self, row: TaskRecord) {
        self.tasks.retain(|(run, _), _| {
            run.instance != row.run.instance || run.incarnation >= row.run.incarnation
        });
        let key = (row.run, row.container.clone());
        if let Some(before) = self.tasks.get(&key) {
            assert!(
                !before.state.is_terminal() || before.state == row.state,
                "terminal states absorb: {before:?} then {row:?}"
            );
        }
        self.tasks.insert(key, row);
    }

    /// What a restart reads.
    pub(crate) fn saved(&self) -> Saved {
        Saved {
            pods: self.pods.values().cloned().collect(),
            versions: self.versions.values().cloned().collect(),
            removed: self.removed.values().cloned().collect(),
            instances: self.instances.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            deployments: self.deployments.values().cloned().collect(),
            backoffs: self.backoffs.values().cloned().collect(),
            terminations: self.terminations.clone(),
            applied: self
                .applied
                .iter()
                .map(|(run, sequence)| (*run, *sequence))
                .collect(),
        }
    }
}
