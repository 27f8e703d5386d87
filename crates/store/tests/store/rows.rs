//! Every query on a fresh database: what is written is read back, and what makes no sense is named.

use std::path::Path;

use model::{
    record::{Record, Saved},
    state::{Condition, Goal, TaskState},
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use store::{Durability, Setting, Store, StoreError, TERMINATIONS_KEPT};

use crate::samples::{
    backoff, deployment, fresh, fresh_store, instance, instance_id, pod, pod_id, removed, run,
    task, termination, time, version,
};

/// Writes to the file behind the store's back.
async fn tamper(path: &Path, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(false)
        .connect()
        .await?;
    let result = sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await;
    connection.close().await?;
    result.map(|_| ())
}

async fn check(records: &[Record], expected: Saved) {
    let (_directory, store) = fresh_store().await;
    let foundation = [
        Record::PodVersion(version(0, 1)),
        Record::PodVersion(version(0, 2)),
        Record::Pod(pod(0, 1)),
    ];
    store.commit(&foundation, Durability::Full).await.unwrap();
    let before = store.load().await.unwrap();
    store.commit(records, Durability::Full).await.unwrap();
    let saved = store.load().await.unwrap();
    let expected = Saved {
        pods: before.pods,
        versions: before.versions,
        ..expected
    };
    assert_eq!(saved, expected);
}

#[tokio::test]
async fn reads_back_what_was_written() {
    let empty = Saved::default;
    let (a, b) = (instance(0, 1, 1), instance(0, 2, 2));
    let put = |record: &_| Record::Instance(Clone::clone(record));
    let instances = vec![a.clone(), b.clone()];
    check(
        &[put(&b), put(&a)],
        Saved {
            instances,
            ..empty()
        },
    )
    .await;

    // A task's row may come before its instance's.
    let tasks: Vec<_> = ["a", "b"]
        .map(|c| task(run(1, 1), c, TaskState::Running))
        .into();
    let records = [
        Record::Task(tasks[1].clone()),
        Record::Task(tasks[0].clone()),
        put(&a),
    ];
    let instances = vec![a.clone()];
    check(
        &records,
        Saved {
            instances,
            tasks,
            ..empty()
        },
    )
    .await;

    let deployments = vec![deployment(0, 0, 1), deployment(1, 0, 2)];
    let records = deployments.clone().into_iter().map(Record::Deployment);
    check(
        &records.rev().collect::<Vec<_>>(),
        Saved {
            deployments,
            ..empty()
        },
    )
    .await;

    let backoffs = vec![backoff(0, 1, 0), backoff(0, 2, u64::from(u32::MAX) * 1000)];
    let records: Vec<_> = backoffs.clone().into_iter().map(Record::Backoff).collect();
    check(
        &records,
        Saved {
            backoffs,
            ..empty()
        },
    )
    .await;

    let terminations = vec![termination(0, 2, 1), termination(0, 1, 1)];
    let records: Vec<_> = terminations
        .clone()
        .into_iter()
        .map(Record::Termination)
        .collect();
    check(
        &records,
        Saved {
            terminations,
            ..empty()
        },
    )
    .await;

    let sequence = u64::try_from(i64::MAX).unwrap();
    let applied = vec![(run(7, 1), sequence)];
    let records = [1, sequence].map(|sequence| Record::Applied {
        run: run(7, 1),
        sequence,
    });
    check(&records, Saved { applied, ..empty() }).await;
}

#[tokio::test]
async fn deletes_what_is_gone() {
    let instance_and_task = [
        Record::Instance(instance(0, 1, 1)),
        Record::Task(task(run(1, 1), "c", TaskState::Running)),
    ];
    let cases = [
        [
            &instance_and_task[..],
            &[Record::InstanceGone(instance_id(0, 1))],
        ]
        .concat(),
        vec![
            Record::Deployment(deployment(1, 0, 2)),
            Record::DeploymentGone(deployment(1, 0, 2).id),
        ],
        vec![
            Record::Backoff(backoff(0, 1, 5)),
            Record::Backoff(backoff(0, 2, 5)),
            Record::BackoffGone(pod_id(0)),
        ],
        vec![
            Record::Applied {
                run: run(1, 1),
                sequence: 5,
            },
            Record::RunForgotten(run(1, 1)),
        ],
    ];
    for records in cases {
        check(&records, Saved::default()).await;
    }
}

#[tokio::test]
async fn a_pod_may_go_and_its_versions_stay() {
    let (_directory, store) = fresh_store().await;
    let versions = [version(0, 1), version(0, 2), version(1, 1)];
    let mut records: Vec<_> = versions.iter().cloned().map(Record::PodVersion).collect();
    records.extend([Record::Pod(pod(0, 2)), Record::PodGone(pod_id(0))]);
    let gone = Record::PodVersionGone {
        pod: pod_id(1),
        version: time(1),
    };
    records.push(gone);
    store.commit(&records, Durability::Full).await.unwrap();
    assert_eq!(store.load().await.unwrap().pods, []);
    assert_eq!(
        store.versions(&pod_id(0)).await.unwrap(),
        [time(1), time(2)]
    );
    assert_eq!(store.versions(&pod_id(1)).await.unwrap(), []);
    let one = store.pod_version(&pod_id(0), time(2)).await.unwrap();
    assert_eq!(one.as_ref(), Some(&versions[1]));
    assert_eq!(store.pod_version(&pod_id(0), time(3)).await.unwrap(), None);
}

#[tokio::test]
async fn knows_every_state() {
    for state in TaskState::ALL {
        let (instances, tasks) = (vec![instance(0, 1, 1)], vec![task(run(1, 1), "c", *state)]);
        let records = [
            Record::Instance(instances[0].clone()),
            Record::Task(tasks[0].clone()),
        ];
        check(
            &records,
            Saved {
                instances,
                tasks,
                ..Saved::default()
            },
        )
        .await;
    }
    for (index, condition) in Condition::ALL.iter().enumerate() {
        let instance = model::record::InstanceRecord {
            condition: *condition,
            goal: Goal::ALL[index % Goal::ALL.len()],
            ..instance(0, 1, 1)
        };
        let records = [Record::Instance(instance.clone())];
        let instances = vec![instance];
        check(
            &records,
            Saved {
                instances,
                ..Saved::default()
            },
        )
        .await;
    }
}

#[tokio::test]
async fn removed_pods_come_and_go() {
    let (_directory, store) = fresh_store().await;
    let put = [
        Record::RemovedPod(removed(1, 5)),
        Record::RemovedPod(removed(0, 7)),
    ];
    store.commit(&put, Durability::Full).await.unwrap();
    let known = store.load().await.unwrap().removed;
    assert_eq!(known, [removed(0, 7), removed(1, 5)]);
    let change = [
        Record::RemovedPod(removed(1, 9)),
        Record::RemovedPodGone(pod_id(0)),
    ];
    store.commit(&change, Durability::Full).await.unwrap();
    assert_eq!(store.load().await.unwrap().removed, [removed(1, 9)]);
}

#[tokio::test]
async fn keeps_the_newest_terminations_of_each_pod() {
    let (_directory, store) = fresh_store().await;
    let end = |pod, n| Record::Termination(termination(pod, 1, n));
    store.commit(&[end(0, 0)], Durability::Full).await.unwrap();
    let many: Vec<_> = (1..=TERMINATIONS_KEPT + 5).map(|n| end(1, n)).collect();
    store.commit(&many, Durability::Full).await.unwrap();
    let kept: Vec<_> = store.load().await.unwrap().terminations;
    let kept: Vec<_> = kept
        .iter()
        .map(|end| (end.pod.clone(), end.incarnation))
        .collect();
    let newest = (6..=TERMINATIONS_KEPT + 5).map(|n| (pod_id(1), n));
    assert_eq!(
        kept,
        [(pod_id(0), 0)]
            .into_iter()
            .chain(newest)
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_turn_that_fails_leaves_nothing() {
    let (_directory, store) = fresh_store().await;
    let fits = Record::PodVersion(version(0, 1));
    let huge = u64::MAX;
    let cases = [
        (Record::Pod(pod(1, 9)), "commit a transaction"),
        (
            Record::Task(task(run(9, 1), "c", TaskState::Running)),
            "commit a transaction",
        ),
        (
            Record::Backoff(backoff(0, 1, huge)),
            "write column delay_ms of backoffs /shop/p0 1970-01-01T00:00:00.001Z",
        ),
        (
            Record::Instance(model::record::InstanceRecord {
                id: instance_id(1, 1),
                ..instance(0, 1, 1)
            }),
            "write column uuid of instances shop_p1.instance-00000000-0000-0000-0000-000000000002",
        ),
    ];
    for (misfit, message) in cases {
        let records = [fits.clone(), misfit, Record::Pod(pod(0, 1))];
        let error = store.commit(&records, Durability::Full).await.unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(store.load().await.unwrap(), Saved::default());
    }
    store.commit(&[fits], Durability::Full).await.unwrap();
    assert_eq!(store.load().await.unwrap().versions, [version(0, 1)]);
    assert_eq!(store.counters().await.full_commits, 1);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_named() {
    let cases = [
        ("pods", "id", "UPDATE pods SET id = 'web'"),
        (
            "pod_versions",
            "definition",
            "UPDATE pod_versions SET definition = '{'",
        ),
        ("removed_pods", "pod", "UPDATE removed_pods SET pod = ''"),
        ("instances", "uuid", "UPDATE instances SET uuid = 'x'"),
        (
            "instances",
            "incarnation",
            "UPDATE instances SET incarnation = 4294967296",
        ),
        (
            "instances",
            "host_ports",
            "UPDATE instances SET host_ports = ''",
        ),
        ("tasks", "reason", "UPDATE tasks SET reason = 'REASON_NONE'"),
        (
            "tasks",
            "exit_code",
            "UPDATE tasks SET exit_code = 4294967296",
        ),
        (
            "deployments",
            "steps",
            "UPDATE deployments SET steps = '[1]'",
        ),
        ("backoffs", "pod", "UPDATE backoffs SET pod = ''"),
        (
            "terminations",
            "containers",
            "UPDATE terminations SET containers = '1'",
        ),
        (
            "applied_updates",
            "instance",
            "UPDATE applied_updates SET instance = ''",
        ),
    ];
    let records = [
        Record::PodVersion(version(0, 1)),
        Record::Pod(pod(0, 1)),
        Record::RemovedPod(removed(1, 1)),
        Record::Instance(instance(0, 1, 1)),
        Record::Task(task(run(1, 1), "c", TaskState::Running)),
        Record::Deployment(deployment(1, 0, 1)),
        Record::Backoff(backoff(0, 1, 1)),
        Record::Termination(termination(0, 1, 1)),
        Record::Applied {
            run: run(1, 1),
            sequence: 1,
        },
    ];
    for (table, column, sql) in cases {
        let (_directory, path) = fresh();
        let store = Store::open(&path).await.unwrap();
        store.commit(&records, Durability::Full).await.unwrap();
        tamper(&path, sql.to_owned()).await.unwrap();
        let error = store.load().await.unwrap_err();
        let StoreError::Row {
            table: t,
            column: c,
            id,
            ..
        } = &error
        else {
            panic!("{sql}: {error:?}");
        };
        assert_eq!((*t, *c), (table, column), "{id}");
    }
}

#[tokio::test]
async fn the_schema_refuses_unknown_states() {
    let (_directory, path) = fresh();
    let store = Store::open(&path).await.unwrap();
    let records = [
        Record::PodVersion(version(0, 1)),
        Record::Pod(pod(0, 1)),
        Record::Instance(instance(0, 1, 1)),
        Record::Task(task(run(1, 1), "c", TaskState::Running)),
    ];
    store.commit(&records, Durability::Full).await.unwrap();
    let columns = [
        ("instances", "goal", "running"),
        ("instances", "condition", ""),
        ("tasks", "state", "TASK_LOST"),
        ("pods", "removing", "2"),
        ("pods", "version", "soon"),
    ];
    for (table, column, value) in columns {
        let sql = format!("UPDATE {table} SET {column} = '{value}'");
        let error = tamper(&path, sql).await.unwrap_err().to_string();
        assert!(
            error.contains("CHECK") || error.contains("cannot store TEXT"),
            "{table}.{column}: {error}"
        );
    }
}

#[tokio::test]
async fn settings_are_kept() {
    let (_directory, path) = fresh();
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.agent_id("first").await.unwrap(), "first");
    assert_eq!(store.agent_id("second").await.unwrap(), "first");
    assert_eq!(store.setting(Setting::DetectedTotal).await.unwrap(), None);
    for value in ["1", "2"] {
        store
            .put_setting(Setting::DetectedTotal, value)
            .await
            .unwrap();
    }
    store.close().await.unwrap();
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.agent_id("third").await.unwrap(), "first");
    let total = store.setting(Setting::DetectedTotal).await.unwrap();
    assert_eq!(total.as_deref(), Some("2"));
}
