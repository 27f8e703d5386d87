//! Table `instances`. The id's first part follows from the pod, so that only its uuid is kept.

use model::{
    id::{InstanceId, PodId},
    record::InstanceRecord,
    state::{Condition, Goal},
};
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "instances";

struct Row {
    uuid: String,
    pod: String,
    version: i64,
    incarnation: i64,
    run_open: bool,
    goal: String,
    condition: String,
    since: i64,
    active_since: Option<i64>,
    created_at: i64,
    host_ports: String,
}

impl TryFrom<Row> for InstanceRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let key = RowKey::new(TABLE, &row.uuid);
        let pod: PodId = key.parse("pod", &row.pod)?;
        let uuid: Uuid = key.parse("uuid", &row.uuid)?;
        Ok(Self {
            id: InstanceId::new(&pod, uuid),
            pod,
            version: time(row.version),
            incarnation: key.number("incarnation", row.incarnation)?,
            run_open: row.run_open,
            goal: key.state("goal", &row.goal, Goal::parse)?,
            condition: key.state("condition", &row.condition, Condition::parse)?,
            since: time(row.since),
            active_since: row.active_since.map(time),
            created_at: time(row.created_at),
            host_ports: key.json("host_ports", &row.host_ports)?,
        })
    }
}

/// An instance id that does not begin as its pod's path says.
#[derive(Debug, thiserror::Error)]
#[error("the instance's id does not belong to pod {pod}")]
struct ForeignId {
    pod: PodId,
}

/// The instance's uuid as text, if its id is one of `pod`'s: else it could not be read back.
pub(crate) fn uuid_of(
    key: &RowKey<'_>,
    column: &'static str,
    id: &InstanceId,
    pod: &PodId,
) -> Result<String, StoreError> {
    if id.safe_path != pod.safe_path() {
        return Err(key.unstorable(column, ForeignId { pod: pod.clone() }));
    }
    Ok(id.uuid.to_string())
}

/// Writes an instance's row. Its tasks' rows stay.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &InstanceRecord,
) -> Result<(), StoreError> {
    let key = RowKey::new(TABLE, &record.id);
    let uuid = uuid_of(&key, "uuid", &record.id, &record.pod)?;
    let pod = record.pod.as_str();
    let version = record.version.as_millis();
    let goal = record.goal.as_str();
    let condition = record.condition.as_str();
    let since = record.since.as_millis();
    let active_since = record.active_since.map(|time| time.as_millis());
    let created_at = record.created_at.as_millis();
    let host_ports = key.to_json("host_ports", &record.host_ports)?;
    sqlx::query!(
        "INSERT INTO instances (uuid, pod, version, incarnation, run_open, goal, condition, since,
            active_since, created_at, host_ports)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (uuid) DO UPDATE SET
            pod = excluded.pod,
            version = excluded.version,
            incarnation = excluded.incarnation,
            run_open = excluded.run_open,
            goal = excluded.goal,
            condition = excluded.condition,
            since = excluded.since,
            active_since = excluded.active_since,
            created_at = excluded.created_at,
            host_ports = excluded.host_ports",
        uuid,
        pod,
        version,
        record.incarnation,
        record.run_open,
        goal,
        condition,
        since,
        active_since,
        created_at,
        host_ports,
    )
    .execute(connection)
    .await
    .map_err(key.writing())?;
    Ok(())
}

/// Deletes an instance's row and, by the foreign key, its tasks' rows.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    instance: &InstanceId,
) -> Result<(), StoreError> {
    let uuid = instance.uuid.to_string();
    sqlx::query!("DELETE FROM instances WHERE uuid = ?", uuid)
        .execute(connection)
        .await
        .map_err(RowKey::new(TABLE, instance).writing())?;
    Ok(())
}

/// Reads every instance, by id.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<InstanceRecord>, StoreError> {
    let mut instances = sqlx::query_as!(
        Row,
        r#"SELECT uuid, pod, version, incarnation, run_open AS "run_open: bool", goal, condition, since,
            active_since, created_at, host_ports
        FROM instances"#
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(InstanceRecord::try_from)
    .collect::<Result<Vec<_>, _>>()?;
    instances.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(instances)
}
