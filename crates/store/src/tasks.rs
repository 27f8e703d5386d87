//! Table `tasks`: the containers of each instance's latest run.

use model::{
    id::RunId,
    record::TaskRecord,
    state::{Reason, TaskState},
    update::ExitStatus,
};
use sqlx::SqliteConnection;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "tasks";

struct Row {
    instance: String,
    incarnation: i64,
    container: String,
    state: String,
    since: i64,
    staged_at: i64,
    started_at: Option<i64>,
    reason: Option<String>,
    message: String,
    exit_code: Option<i64>,
    exit_signal: Option<i64>,
    healthy: Option<bool>,
}

impl TryFrom<Row> for TaskRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = format!("{}.{} {}", row.instance, row.incarnation, row.container);
        let key = RowKey::new(TABLE, &id);
        let reason = row.reason.as_deref();
        let exit = match (row.exit_code, row.exit_signal) {
            (Some(code), _) => Some(ExitStatus::Exited(key.number("exit_code", code)?)),
            (None, Some(signal)) => Some(ExitStatus::Signaled(key.number("exit_signal", signal)?)),
            (None, None) => None,
        };
        Ok(Self {
            run: RunId {
                instance: key.parse("instance", &row.instance)?,
                incarnation: key.number("incarnation", row.incarnation)?,
            },
            state: key.state("state", &row.state, TaskState::parse)?,
            since: time(row.since),
            staged_at: time(row.staged_at),
            started_at: row.started_at.map(time),
            reason: reason
                .map(|text| key.state("reason", text, Reason::parse))
                .transpose()?,
            exit,
            healthy: row.healthy,
            container: row.container,
            message: row.message,
        })
    }
}

/// Writes a task's row and deletes those of the instance's older incarnations.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &TaskRecord,
) -> Result<(), StoreError> {
    delete_older(&mut *connection, record.run).await?;
    let instance = record.run.instance.to_string();
    let state = record.state.as_str();
    let since = record.since.as_millis();
    let staged_at = record.staged_at.as_millis();
    let started_at = record.started_at.map(|time| time.as_millis());
    let reason = record.reason.map(Reason::as_str);
    let (exit_code, exit_signal) = match record.exit {
        Some(ExitStatus::Exited(code)) => (Some(code), None),
        Some(ExitStatus::Signaled(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    sqlx::query!(
        "INSERT INTO tasks (instance, incarnation, container, state, since, staged_at, started_at,
            reason, message, exit_code, exit_signal, healthy)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (instance, incarnation, container) DO UPDATE SET
            state = excluded.state,
            since = excluded.since,
            staged_at = excluded.staged_at,
            started_at = excluded.started_at,
            reason = excluded.reason,
            message = excluded.message,
            exit_code = excluded.exit_code,
            exit_signal = excluded.exit_signal,
            healthy = excluded.healthy",
        instance,
        record.run.incarnation,
        record.container,
        state,
        since,
        staged_at,
        started_at,
        reason,
        record.message,
        exit_code,
        exit_signal,
        record.healthy,
    )
    .execute(connection)
    .await
    .map_err(|source| {
        let id = format!("{} {}", record.run, record.container);
        RowKey::new(TABLE, &id).writing()(source)
    })?;
    Ok(())
}

async fn delete_older(connection: &mut SqliteConnection, run: RunId) -> Result<(), StoreError> {
    let instance = run.instance.to_string();
    sqlx::query!(
        "DELETE FROM tasks WHERE instance = ? AND incarnation < ?",
        instance,
        run.incarnation,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &run).writing())?;
    Ok(())
}

/// Reads every task, by run and container.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<TaskRecord>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"SELECT instance, incarnation, container, state, since, staged_at, started_at, reason,
            message, exit_code, exit_signal, healthy AS "healthy: bool"
        FROM tasks ORDER BY instance, incarnation, container"#
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(TaskRecord::try_from)
    .collect()
}
