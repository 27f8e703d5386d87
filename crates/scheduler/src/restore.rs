//! Rebuilding the scheduler from what was stored.

use std::{collections::BTreeMap, sync::Arc};

use model::{
    id::{DeploymentId, InstanceId, PodId, RunId},
    pod::PodDefinition,
    record::{
        BackoffRecord, DeploymentRecord, InstanceRecord, PodRecord, Saved, TaskRecord,
        TerminationRecord,
    },
    time::Timestamp,
};

use crate::{Config, Scheduler, agenda::Agenda, instance::Instance, outbox::Outbox, pods::Pod};

/// A stored row that refers to something that is not stored, so that the state makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A pod's version is missing.
    #[error("restore pod {pod}: its version {version} is not stored")]
    PodVersionMissing {
        /// The pod.
        pod: PodId,
        /// The version.
        version: Timestamp,
    },
    /// An instance's pod is missing.
    #[error("restore instance {instance}: its pod {pod} is not stored")]
    InstancePodMissing {
        /// The instance.
        instance: InstanceId,
        /// The pod.
        pod: PodId,
    },
    /// An instance's version is missing.
    #[error("restore instance {instance}: version {version} of its pod is not stored")]
    InstanceVersionMissing {
        /// The instance.
        instance: InstanceId,
        /// The version.
        version: Timestamp,
    },
    /// A task's instance is missing.
    #[error("restore task {container} of run {run}: its instance is not stored")]
    TaskInstanceMissing {
        /// The run.
        run: RunId,
        /// The container.
        container: String,
    },
    /// A deployment's pod is missing.
    #[error("restore deployment {deployment}: its pod {pod} is not stored")]
    DeploymentPodMissing {
        /// The deployment.
        deployment: DeploymentId,
        /// The pod.
        pod: PodId,
    },
    /// Two deployments work on the same pod.
    #[error("restore deployment {deployment}: deployment {other} locks its pod, too")]
    DeploymentsCollide {
        /// The one deployment.
        deployment: DeploymentId,
        /// The other.
        other: DeploymentId,
    },
    /// Open runs hold more than can be counted.
    #[error("restore instance {instance}: what the open runs hold is beyond all bounds")]
    HoldingsOverflow {
        /// The instance at which the sum overflowed.
        instance: InstanceId,
    },
}

impl Scheduler {
    /// Rebuilds the scheduler. Missing rows of tasks are made up for; back-offs, terminations and applied
    /// updates of what is no longer known are ignored.
    ///
    /// Afterwards the daemon confirms each of [`Scheduler::open_runs`] with the runtime: runs that are gone by
    /// [`crate::Event::RunOver`], further journal entries by [`crate::Event::Update`], runs that were never started by
    /// launching [`Scheduler::task_group`] again; then a first [`crate::Event::Tick`] repeats kills.
    ///
    /// # Errors
    /// The first row whose reference dangles.
    pub fn restore(config: Config, saved: Saved) -> Result<Self, RestoreError> {
        let mut scheduler = Self {
            agent: Arc::new(config.agent.clone()),
            bridge_name: config.bridge_name.as_str().into(),
            config,
            clock: Timestamp::default(),
            fresh: true,
            pods: BTreeMap::new(),
            history: BTreeMap::new(),
            removed: BTreeMap::new(),
            owners: BTreeMap::new(),
            deployments: BTreeMap::new(),
            held: crate::Holdings::default(),
            agenda: Agenda::default(),
            changed: std::collections::BTreeSet::new(),
            out: Outbox::default(),
        };
        for version in saved.versions {
            let versions = scheduler.history.entry(version.pod).or_default();
            versions.insert(version.version, version.definition);
        }
        let removed = saved.removed.into_iter();
        scheduler.removed = removed.map(|row| (row.pod, row.removed_at)).collect();
        let mut tasks: BTreeMap<RunId, Vec<TaskRecord>> = BTreeMap::new();
        for task in saved.tasks {
            tasks.entry(task.run).or_default().push(task);
        }
        let applied: BTreeMap<RunId, u64> = saved.applied.into_iter().collect();
        saved
            .pods
            .into_iter()
            .try_for_each(|pod| scheduler.restore_pod(pod))?;
        for instance in saved.instances {
            let run = RunId {
                instance: instance.id.uuid,
                incarnation: instance.incarnation,
            };
            let tasks = tasks.remove(&run).unwrap_or_default();
            scheduler.restore_instance(instance, &tasks, applied.get(&run).copied())?;
        }
        scheduler.check_tasks_left(&tasks)?;
        saved
            .deployments
            .into_iter()
            .try_for_each(|row| scheduler.restore_deployment(row))?;
        saved
            .backoffs
            .into_iter()
            .for_each(|row| scheduler.restore_backoff(row));
        saved
            .terminations
            .into_iter()
            .for_each(|row| scheduler.restore_termination(row));
        scheduler.changed = scheduler.pods.keys().cloned().collect();
        let pods = scheduler.pods.keys();
        pods.for_each(|pod| scheduler.agenda.mark(pod));
        scheduler.enter_changes();
        Ok(scheduler)
    }

    fn stored_definition(&self, pod: &PodId, version: Timestamp) -> Option<Arc<PodDefinition>> {
        self.definition(pod, version).cloned()
    }

    fn restore_pod(&mut self, record: PodRecord) -> Result<(), RestoreError> {
        let missing = |version| RestoreError::PodVersionMissing {
            pod: record.id.clone(),
            version,
        };
        let PodRecord {
            version,
            last_config_change,
            ..
        } = record;
        let definition = self
            .stored_definition(&record.id, version)
            .ok_or_else(|| missing(version))?;
        if self.definition(&record.id, last_config_change).is_none() {
            return Err(missing(last_config_change));
        }
        self.pods
            .insert(record.id.clone(), Pod::new(record, definition));
        Ok(())
    }

    fn restore_instance(
        &mut self,
        record: InstanceRecord,
        tasks: &[TaskRecord],
        applied: Option<u64>,
    ) -> Result<(), RestoreError> {
        let (id, version) = (record.id.clone(), record.version);
        let definition = self.stored_definition(&record.pod, version);
        let Some(pod) = self.pods.get_mut(&record.pod) else {
            return Err(RestoreError::InstancePodMissing {
                instance: id,
                pod: record.pod,
            });
        };
        let definition = definition.ok_or(RestoreError::InstanceVersionMissing {
            instance: id.clone(),
            version,
        })?;
        let staged_at = record.since;
        let mut instance = Instance {
            record,
            definition,
            tasks: Vec::new(),
            applied: applied.unwrap_or(0),
            kill_sent: None,
        };
        if instance.record.incarnation > 0 {
            // One task for each container, in the definition's order, whatever the order of the rows.
            instance.tasks = instance.staged_tasks(staged_at);
            for task in &mut instance.tasks {
                if let Some(stored) = tasks.iter().find(|row| row.container == task.container) {
                    *task = stored.clone();
                }
            }
        }
        if let Some(placement) = instance.placement() {
            let sum = self.held.resources.checked_add(placement.claim.resources);
            if sum.is_none() {
                return Err(RestoreError::HoldingsOverflow { instance: id });
            }
            self.held.add(&placement, &instance.record.pod);
        }
        self.owners.insert(id.uuid, instance.record.pod.clone());
        pod.instances.insert(id.uuid, instance);
        Ok(())
    }

    /// Rows of older runs are left over; rows without any instance are not.
    fn check_tasks_left(
        &self,
        tasks: &BTreeMap<RunId, Vec<TaskRecord>>,
    ) -> Result<(), RestoreError> {
        let lost = tasks
            .iter()
            .find(|(run, _)| !self.owners.contains_key(&run.instance));
        match lost.and_then(|(run, rows)| Some((run, rows.first()?))) {
            None => Ok(()),
            Some((run, row)) => Err(RestoreError::TaskInstanceMissing {
                run: *run,
                container: row.container.clone(),
            }),
        }
    }

    fn restore_deployment(&mut self, row: DeploymentRecord) -> Result<(), RestoreError> {
        let Some(pod) = self.pods.get_mut(&row.pod) else {
            return Err(RestoreError::DeploymentPodMissing {
                deployment: row.id,
                pod: row.pod,
            });
        };
        if let Some(other) = pod.deployment.replace(row.id) {
            return Err(RestoreError::DeploymentsCollide {
                deployment: row.id,
                other,
            });
        }
        self.deployments.insert(row.id, row);
        Ok(())
    }

    fn restore_backoff(&mut self, row: BackoffRecord) {
        if let Some(pod) = self.pods.get_mut(&row.pod) {
            pod.backoffs.insert(row.version, row);
        }
    }

    fn restore_termination(&mut self, row: TerminationRecord) {
        let limit = self.config.max_terminations;
        if let Some(pod) = self.pods.get_mut(&row.pod) {
            pod.terminations.push_back(row);
            if pod.terminations.len() > limit {
                pod.terminations.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{
        offer::{AgentInfo, Claim},
        record::{Action, ActionKind, PodVersionRecord},
        state::{Condition, Goal, TaskState},
    };
    use uuid::Uuid;

    use super::*;
    use crate::testing::{definition, instance};

    const V: Timestamp = Timestamp::from_millis(0);

    /// A pod with one open run and a deployment.
    fn saved() -> Saved {
        let mut instance = instance(1, Condition::Running, true, Some(0));
        instance.tasks = instance.staged_tasks(V);
        let pod = instance.record.pod.clone();
        Saved {
            pods: vec![PodRecord {
                id: pod.clone(),
                version: V,
                last_config_change: V,
                removing: false,
            }],
            versions: vec![PodVersionRecord {
                pod: pod.clone(),
                version: V,
                definition: instance.definition.clone(),
            }],
            tasks: instance.tasks.clone(),
            instances: vec![instance.record],
            deployments: vec![DeploymentRecord {
                id: DeploymentId(Uuid::from_u128(9)),
                version: V,
                pod: pod.clone(),
                steps: vec![vec![Action {
                    action: ActionKind::ScalePod,
                    pod,
                }]],
                current_step: 1,
                from_version: None,
                to_version: Some(V),
            }],
            ..Saved::default()
        }
    }

    fn restore(saved: Saved) -> Result<Scheduler, RestoreError> {
        let agent = AgentInfo {
            id: String::new(),
            hostname: String::new(),
            attributes: [].into(),
        };
        Scheduler::restore(Config::new(agent, Claim::default()), saved)
    }

    #[test]
    fn what_dangles_is_named() {
        type Break = fn(&mut Saved);
        let cases: [(Break, &str); 7] = [
            (
                |saved| saved.versions.clear(),
                "restore pod /p: its version 1970-01-01T00:00:00.000Z is not stored",
            ),
            (
                |saved| saved.pods[0].last_config_change = Timestamp::from_millis(1),
                "restore pod /p: its version 1970-01-01T00:00:00.001Z is not stored",
            ),
            (
                |saved| saved.pods.clear(),
                "restore instance p.instance-00000000-0000-0000-0000-000000000001: its pod /p is not stored",
            ),
            (
                |saved| saved.instances[0].version = Timestamp::from_millis(1),
                "restore instance p.instance-00000000-0000-0000-0000-000000000001: version 1970-01-01T00:00:00.001Z of its pod is not stored",
            ),
            (
                |saved| saved.instances.clear(),
                "restore task c of run 00000000-0000-0000-0000-000000000001.1: its instance is not stored",
            ),
            (
                |saved| saved.deployments[0].pod = "/q".parse().unwrap(),
                "restore deployment 00000000-0000-0000-0000-000000000009: its pod /q is not stored",
            ),
            (
                |saved| {
                    let mut second = saved.deployments[0].clone();
                    second.id = DeploymentId(Uuid::from_u128(10));
                    saved.deployments.push(second);
                },
                "restore deployment 00000000-0000-0000-0000-00000000000a: deployment 00000000-0000-0000-0000-000000000009 locks its pod, too",
            ),
        ];
        for (break_it, message) in cases {
            let mut saved = saved();
            break_it(&mut saved);
            assert_eq!(restore(saved).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_can_be_made_up_for_is() {
        let mut saved = saved();
        saved.tasks.clear();
        saved.backoffs.push(BackoffRecord {
            pod: "/gone".parse().unwrap(),
            version: V,
            delay_ms: 1,
            reference: V,
        });
        let scheduler = restore(saved).unwrap();
        let view = scheduler.view(&"/p".parse().unwrap()).unwrap();
        assert_eq!(view.instances[0].tasks[0].state, TaskState::Staging);
        assert_eq!(view.instances[0].record.goal, Goal::Running);
        let run = scheduler.open_runs()[0].run;
        assert_eq!(scheduler.task_group(run).unwrap().tasks.len(), 1);
        assert_eq!(
            *scheduler.task_group(run).unwrap().definition,
            definition(
                r#"{"id":"/p","containers":[{"name":"c","resources":{"cpus":0.1,"mem":32}}]}"#,
            )
        );
    }
}
