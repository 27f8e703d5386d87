//! Records to write, made from a few small numbers.

use std::{path::PathBuf, sync::Arc};

use model::{
    id::{DeploymentId, InstanceId, PodId, RunId},
    pod::PodDefinition,
    record::{
        Action, ActionKind, BackoffRecord, DeploymentRecord, InstanceRecord, PodRecord,
        PodVersionRecord, RemovedPodRecord, TaskRecord, TerminatedContainer, TerminationRecord,
    },
    state::{Condition, Goal, Reason, TaskState},
    task_group::PortAssignment,
    time::Timestamp,
    update::ExitStatus,
};
use serde_json::json;
use store::Store;
use tempfile::TempDir;
use uuid::Uuid;

/// A directory for one test and the database's path in it.
pub(crate) fn fresh() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("monopod.db");
    (directory, path)
}

/// A store on a fresh file.
pub(crate) async fn fresh_store() -> (TempDir, Store) {
    let (directory, path) = fresh();
    (directory, Store::open(&path).await.unwrap())
}

pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn pod_id(number: u8) -> PodId {
    PodId::parse(&format!("/shop/p{number}")).unwrap()
}

pub(crate) fn instance_id(pod: u8, instance: u8) -> InstanceId {
    InstanceId::new(&pod_id(pod), Uuid::from_u128(u128::from(instance) + 1))
}

pub(crate) fn run(instance: u8, incarnation: u32) -> RunId {
    RunId {
        instance: Uuid::from_u128(u128::from(instance) + 1),
        incarnation,
    }
}

pub(crate) fn version(pod: u8, version: i64) -> PodVersionRecord {
    let mut definition: PodDefinition = serde_json::from_value(json!({
        "id": pod_id(pod),
        "labels": {"quote": "it's \"ü\""},
        "containers": [{"name": "c", "resources": {"cpus": 0.1, "mem": 32}}],
    }))
    .unwrap();
    definition.version = Some(time(version));
    PodVersionRecord {
        pod: pod_id(pod),
        version: time(version),
        definition: Arc::new(definition),
    }
}

pub(crate) fn pod(number: u8, version: i64) -> PodRecord {
    PodRecord {
        id: pod_id(number),
        version: time(version),
        last_config_change: time(version - 1),
        removing: version % 2 == 0,
    }
}

pub(crate) fn removed(pod: u8, at: i64) -> RemovedPodRecord {
    RemovedPodRecord {
        pod: pod_id(pod),
        removed_at: time(at),
    }
}

pub(crate) fn instance(pod: u8, instance: u8, version: i64) -> InstanceRecord {
    InstanceRecord {
        id: instance_id(pod, instance),
        pod: pod_id(pod),
        version: time(version),
        incarnation: u32::from(instance),
        run_open: version % 2 == 1,
        goal: Goal::Running,
        condition: Condition::Provisioned,
        since: time(1_700_000_000_123),
        active_since: (version > 1).then(|| time(-5)),
        created_at: time(0),
        host_ports: vec![PortAssignment {
            container: "c".to_owned(),
            endpoint: "http".to_owned(),
            host_port: 31_000,
        }],
    }
}

pub(crate) fn task(run: RunId, container: &str, state: TaskState) -> TaskRecord {
    TaskRecord {
        run,
        container: container.to_owned(),
        state,
        since: time(20),
        staged_at: time(10),
        started_at: (state == TaskState::Running).then(|| time(15)),
        reason: state.is_terminal().then_some(Reason::ContainerLaunchFailed),
        message: format!("{state}"),
        exit: [
            (TaskState::Finished, ExitStatus::Exited(0)),
            (TaskState::Failed, ExitStatus::Exited(255)),
            (TaskState::Killed, ExitStatus::Signaled(9)),
        ]
        .into_iter()
        .find_map(|(of, exit)| (of == state).then_some(exit)),
        healthy: (state != TaskState::Staging).then_some(!state.is_terminal()),
    }
}

pub(crate) fn deployment(number: u8, pod: u8, to_version: i64) -> DeploymentRecord {
    let action = |action| Action {
        action,
        pod: pod_id(pod),
    };
    DeploymentRecord {
        id: DeploymentId(Uuid::from_u128(u128::from(number) + 100)),
        version: time(i64::from(number) * 7 % 5),
        pod: pod_id(pod),
        steps: vec![
            vec![action(ActionKind::StartPod)],
            vec![
                action(ActionKind::ScalePod),
                action(ActionKind::RestartPod),
                action(ActionKind::StopPod),
            ],
        ],
        current_step: u32::from(number),
        from_version: (to_version > 1).then(|| time(to_version - 1)),
        to_version: (number > 0).then(|| time(to_version)),
    }
}

pub(crate) fn backoff(pod: u8, version: i64, delay_ms: u64) -> BackoffRecord {
    BackoffRecord {
        pod: pod_id(pod),
        version: time(version),
        delay_ms,
        reference: time(33),
    }
}

pub(crate) fn termination(pod: u8, instance: u8, incarnation: u32) -> TerminationRecord {
    TerminationRecord {
        pod: pod_id(pod),
        instance: instance_id(pod, instance),
        incarnation,
        started_at: time(1),
        terminated_at: time(2),
        message: "Container c: Command exited with status 2".to_owned(),
        containers: vec![TerminatedContainer {
            task_id: format!("{}.c.{incarnation}", instance_id(pod, instance)),
            state: TaskState::Failed,
            exit: Some(ExitStatus::Exited(2)),
            message: "Command exited with status 2".to_owned(),
        }],
    }
}
