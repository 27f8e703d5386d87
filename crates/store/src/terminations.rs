//! Table `terminations`: how the latest runs of each pod ended.

use model::{
    id::{InstanceId, PodId},
    record::{TerminatedContainer, TerminationRecord},
};
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::{
    error::StoreError,
    instances::uuid_of,
    row_key::{RowKey, time},
};

const TABLE: &str = "terminations";

/// How many ends of runs are kept for each pod; older ones are deleted as new ones come.
pub const TERMINATIONS_KEPT: u32 = 20;

struct Row {
    sequence: i64,
    pod: String,
    instance: String,
    incarnation: i64,
    started_at: i64,
    terminated_at: i64,
    message: String,
    containers: String,
}

impl TryFrom<Row> for TerminationRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let key = RowKey::new(TABLE, &row.sequence);
        let pod: PodId = key.parse("pod", &row.pod)?;
        let uuid: Uuid = key.parse("instance", &row.instance)?;
        Ok(Self {
            instance: InstanceId::new(&pod, uuid),
            pod,
            incarnation: key.number("incarnation", row.incarnation)?,
            started_at: time(row.started_at),
            terminated_at: time(row.terminated_at),
            containers: key.json::<Vec<TerminatedContainer>>("containers", &row.containers)?,
            message: row.message,
        })
    }
}

/// Adds one end and deletes the pod's oldest beyond [`TERMINATIONS_KEPT`].
pub(crate) async fn add(
    connection: &mut SqliteConnection,
    record: &TerminationRecord,
) -> Result<(), StoreError> {
    let id = format!("{} of {}", record.incarnation, record.instance);
    let key = RowKey::new(TABLE, &id);
    let pod = record.pod.as_str();
    let instance = uuid_of(&key, "instance", &record.instance, &record.pod)?;
    let started_at = record.started_at.as_millis();
    let terminated_at = record.terminated_at.as_millis();
    let containers = key.to_json("containers", &record.containers)?;
    sqlx::query!(
        "INSERT INTO terminations (pod, instance, incarnation, started_at, terminated_at, message,
            containers)
        VALUES (?, ?, ?, ?, ?, ?, ?)",
        pod,
        instance,
        record.incarnation,
        started_at,
        terminated_at,
        record.message,
        containers,
    )
    .execute(&mut *connection)
    .await
    .map_err(key.writing())?;
    delete_oldest(connection, &record.pod).await
}

async fn delete_oldest(connection: &mut SqliteConnection, pod: &PodId) -> Result<(), StoreError> {
    let pod = pod.as_str();
    sqlx::query!(
        "DELETE FROM terminations WHERE pod = ?1 AND sequence <= (
            SELECT sequence FROM terminations WHERE pod = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2
        )",
        pod,
        TERMINATIONS_KEPT,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &pod).writing())?;
    Ok(())
}

/// Reads the whole history, oldest first.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<TerminationRecord>, StoreError> {
    sqlx::query_as!(
        Row,
        "SELECT sequence, pod, instance, incarnation, started_at, terminated_at, message, containers
        FROM terminations ORDER BY sequence"
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(TerminationRecord::try_from)
    .collect()
}
