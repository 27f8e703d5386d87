//! An instance: its record, the tasks of its latest run, and what follows from them.

use std::{sync::Arc, time::Duration};

use model::{
    id::{RunId, task_id},
    offer::{Claim, Placement},
    pod::{PodDefinition, RestartPolicy},
    pools::Access,
    record::{InstanceRecord, TaskRecord},
    resources::Resources,
    state::{Condition, Goal, TaskState},
    time::Timestamp,
};
use uuid::Uuid;

use crate::backoff;

/// An instance in memory.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) record: InstanceRecord,
    /// The definition in the instance's version.
    pub(crate) definition: Arc<PodDefinition>,
    /// One for each container, in the definition's order; empty before the first launch.
    pub(crate) tasks: Vec<TaskRecord>,
    /// The last update of the run that was applied.
    pub(crate) applied: u64,
    /// When the run was last told to end. Not stored: after a crash it is told again.
    pub(crate) kill_sent: Option<Timestamp>,
}

impl Instance {
    pub(crate) fn uuid(&self) -> Uuid {
        self.record.id.uuid
    }

    /// The latest run.
    pub(crate) fn run(&self) -> RunId {
        RunId {
            instance: self.uuid(),
            incarnation: self.record.incarnation,
        }
    }

    /// Whether it is to be launched as soon as it fits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.record.goal == Goal::Running && !self.record.run_open && !self.is_over()
    }

    /// Whether its last run has ended: it keeps its result, holds nothing, and is never launched again.
    pub(crate) fn is_over(&self) -> bool {
        !self.record.run_open && self.ends_with_run()
    }

    /// Whether the run it is in, or was in last, is its last one, as far as its tasks tell by now.
    pub(crate) fn ends_with_run(&self) -> bool {
        self.record.incarnation > 0
            && match self.restart_policy() {
                RestartPolicy::Always => false,
                RestartPolicy::OnFailure => self.has_succeeded(),
                RestartPolicy::Never => true,
            }
    }

    /// Whether every container ended with status 0 by itself.
    pub(crate) fn has_succeeded(&self) -> bool {
        let mut tasks = self.tasks.iter();
        !self.tasks.is_empty() && tasks.all(|task| task.state == TaskState::Finished)
    }

    pub(crate) fn restart_policy(&self) -> RestartPolicy {
        self.definition.scheduling.restart_policy
    }

    /// Whether all that a deployment waits for has come of it: it serves, or its last run has ended.
    pub(crate) fn has_arrived(&self) -> bool {
        self.is_ready() || self.is_over()
    }

    /// Whether a run that came to this delays the next launches of the pod: where there are any.
    pub(crate) fn delays(&self, condition: Condition) -> bool {
        backoff::is_counted(condition)
            && match self.restart_policy() {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => condition != Condition::Finished,
                RestartPolicy::Never => false,
            }
    }

    /// Whether its run was asked to end and has not yet.
    pub(crate) fn is_dying(&self) -> bool {
        self.record.goal != Goal::Running && self.record.run_open
    }

    /// Whether it counts among the pod's instances: it runs, waits, or will be launched again.
    pub(crate) fn is_wanted(&self) -> bool {
        self.record.goal != Goal::Decommissioned
    }

    /// Whether it serves: it runs, and every running container with a health check is healthy.
    pub(crate) fn is_ready(&self) -> bool {
        self.record.goal == Goal::Running
            && self.record.run_open
            && self.record.condition == Condition::Running
            && self.tasks.iter().all(|task| {
                task.healthy == Some(true)
                    || task.state != TaskState::Running
                    || !self.has_health_check(&task.container)
            })
    }

    /// Whether it is healthy, if that is known.
    pub(crate) fn health(&self) -> Option<bool> {
        health_of(&self.tasks)
    }

    fn has_health_check(&self, container: &str) -> bool {
        self.definition
            .container(container)
            .is_some_and(|container| container.health_check.is_some())
    }

    /// Whether nothing was heard of a launch for too long.
    pub(crate) fn launch_overdue(&self, timeout: Duration) -> Option<Timestamp> {
        let unconfirmed = match self.record.condition {
            Condition::Provisioned | Condition::Staging => true,
            Condition::Scheduled
            | Condition::Starting
            | Condition::Running
            | Condition::Killing
            | Condition::Finished
            | Condition::Failed
            | Condition::Killed
            | Condition::Error
            | Condition::Gone
            | Condition::Dropped => false,
        };
        let staged = self.tasks.iter().map(|task| task.staged_at).max()?;
        (self.record.run_open && unconfirmed).then(|| staged.after(timeout))
    }

    /// What the open run holds; what is assigned to it belongs to it until its end is seen.
    pub(crate) fn claim(&self) -> Claim {
        Claim {
            resources: needs(&self.definition),
            ports: self
                .record
                .host_ports
                .iter()
                .map(|given| given.host_port)
                .collect(),
        }
    }

    /// The open run and what it holds.
    pub(crate) fn placement(&self) -> Option<Placement> {
        self.record.run_open.then(|| Placement {
            run: self.run(),
            claim: self.claim(),
            access: Access::of(&self.definition),
        })
    }

    /// The id of a task of the latest run.
    pub(crate) fn task_id(&self, container: &str) -> String {
        task_id(&self.record.id, container, self.record.incarnation)
    }

    /// The tasks of a run just decided.
    pub(crate) fn staged_tasks(&self, now: Timestamp) -> Vec<TaskRecord> {
        let task = |container: &model::pod::Container| TaskRecord {
            run: self.run(),
            container: container.name.clone(),
            state: TaskState::Staging,
            since: now,
            staged_at: now,
            started_at: None,
            reason: None,
            message: String::new(),
            exit: None,
            healthy: None,
        };
        self.definition.containers.iter().map(task).collect()
    }

    /// The instance's condition as its tasks tell it: the first of Marathon's priority list that any task is in.
    pub(crate) fn condition_of_tasks(&self) -> Condition {
        let of_task = |task: &TaskRecord| match task.state {
            TaskState::Staging if self.applied == 0 => Condition::Provisioned,
            TaskState::Staging => Condition::Staging,
            TaskState::Starting => Condition::Starting,
            TaskState::Running => Condition::Running,
            TaskState::Killing => Condition::Killing,
            TaskState::Finished => Condition::Finished,
            TaskState::Failed => Condition::Failed,
            TaskState::Killed => Condition::Killed,
            TaskState::Error => Condition::Error,
            TaskState::Gone => Condition::Gone,
            TaskState::Dropped => Condition::Dropped,
        };
        self.tasks
            .iter()
            .map(of_task)
            .min_by_key(|condition| priority(*condition))
            .unwrap_or(Condition::Scheduled)
    }

    /// The first failure among the tasks, for a person; empty if there was none.
    pub(crate) fn first_failure(&self) -> String {
        let failed = |task: &&TaskRecord| match task.state {
            TaskState::Failed | TaskState::Error | TaskState::Gone | TaskState::Dropped => true,
            TaskState::Staging
            | TaskState::Starting
            | TaskState::Running
            | TaskState::Killing
            | TaskState::Finished
            | TaskState::Killed => false,
        };
        let first = self
            .tasks
            .iter()
            .filter(failed)
            .min_by_key(|task| task.since);
        let any = || {
            self.tasks
                .iter()
                .filter(|task| task.state.is_terminal() && !task.message.is_empty())
                .min_by_key(|task| {
                    (
                        task.reason != Some(model::state::Reason::Unhealthy),
                        task.since,
                    )
                })
        };
        first
            .or_else(any)
            .map_or_else(String::new, |task| task.message.clone())
    }
}

/// True if some container reports healthy, none unhealthy and all run or have finished; false if a running
/// one reports unhealthy; else not known.
pub(crate) fn health_of(tasks: &[TaskRecord]) -> Option<bool> {
    let running = |task: &&TaskRecord| task.state == TaskState::Running;
    if tasks
        .iter()
        .filter(running)
        .any(|task| task.healthy == Some(false))
    {
        return Some(false);
    }
    let well = tasks.iter().all(|task| {
        matches!(task.state, TaskState::Running | TaskState::Finished)
            && task.healthy != Some(false)
    });
    (well && tasks.iter().any(|task| task.healthy == Some(true))).then_some(true)
}

/// What one instance of `definition` needs. A sum beyond all bounds is told as the most there can be.
pub(crate) fn needs(definition: &PodDefinition) -> Resources {
    definition.instance_resources().unwrap_or(Resources {
        cpus_milli: u64::MAX,
        mem_bytes: u64::MAX,
        disk_bytes: u64::MAX,
        gpus: u64::MAX,
    })
}

/// Marathon's priorities (marathon: `core/instance/Instance.scala`, `conditionHierarchy`).
const fn priority(condition: Condition) -> u8 {
    match condition {
        Condition::Error => 0,
        Condition::Failed => 1,
        Condition::Gone => 2,
        Condition::Dropped => 3,
        Condition::Killing => 4,
        Condition::Starting => 5,
        Condition::Staging => 6,
        Condition::Provisioned => 7,
        Condition::Scheduled => 8,
        Condition::Running => 9,
        Condition::Finished => 10,
        Condition::Killed => 11,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{definition, instance};

    #[test]
    fn condition_is_the_first_in_marathons_list() {
        use TaskState as T;
        let cases: [(&[TaskState], u64, Condition); 11] = [
            (&[T::Staging, T::Staging], 0, Condition::Provisioned),
            (&[T::Staging, T::Running], 1, Condition::Staging),
            (&[T::Starting, T::Staging], 1, Condition::Starting),
            (&[T::Running, T::Finished], 2, Condition::Running),
            (&[T::Finished, T::Finished], 2, Condition::Finished),
            (&[T::Finished, T::Killed], 2, Condition::Finished),
            (&[T::Running, T::Failed], 2, Condition::Failed),
            (&[T::Killing, T::Running], 2, Condition::Killing),
            (&[T::Killed, T::Killed], 2, Condition::Killed),
            (&[T::Error, T::Failed], 2, Condition::Error),
            (&[T::Gone, T::Dropped], 0, Condition::Gone),
        ];
        for (states, applied, expected) in cases {
            let mut instance = instance(1, Condition::Scheduled, true, None);
            instance.definition = Arc::new(definition(
                r#"{"id":"/p","containers":[
                    {"name":"a","resources":{"cpus":0.1,"mem":32}},
                    {"name":"b","resources":{"cpus":0.1,"mem":32}}]}"#,
            ));
            instance.applied = applied;
            instance.tasks = instance.staged_tasks(Timestamp::from_millis(0));
            for (task, state) in instance.tasks.iter_mut().zip(states) {
                task.state = *state;
            }
            assert_eq!(instance.condition_of_tasks(), expected, "{states:?}");
        }
    }

    #[test]
    fn ready_waits_for_every_running_health_check() {
        let mut instance = instance(1, Condition::Running, true, Some(0));
        instance.definition = Arc::new(definition(
            r#"{"id":"/p","containers":[
                {"name":"a","resources":{"cpus":0.1,"mem":32},"healthCheck":{"exec":{"command":{"shell":"true"}},
                 "gracePeriodSeconds":1,"intervalSeconds":1,"maxConsecutiveFailures":1,"timeoutSeconds":1,"delaySeconds":1}},
                {"name":"b","resources":{"cpus":0.1,"mem":32}}]}"#,
        ));
        instance.tasks = instance.staged_tasks(Timestamp::from_millis(0));
        let cases = [
            (TaskState::Running, None, false),
            (TaskState::Running, Some(false), false),
            (TaskState::Running, Some(true), true),
            (TaskState::Finished, None, true),
        ];
        for (state, healthy, ready) in cases {
            instance.tasks[0].state = state;
            instance.tasks[0].healthy = healthy;
            assert_eq!(instance.is_ready(), ready, "{state} {healthy:?}");
        }
    }
}
