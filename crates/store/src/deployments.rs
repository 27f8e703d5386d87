//! Table `deployments`: those in progress.

use model::{
    id::DeploymentId,
    record::{Action, DeploymentRecord},
};
use sqlx::SqliteConnection;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "deployments";

struct Row {
    id: String,
    version: i64,
    pod: String,
    steps: String,
    current_step: i64,
    from_version: Option<i64>,
    to_version: Option<i64>,
}

impl TryFrom<Row> for DeploymentRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let key = RowKey::new(TABLE, &row.id);
        Ok(Self {
            id: DeploymentId(key.parse("id", &row.id)?),
            version: time(row.version),
            pod: key.parse("pod", &row.pod)?,
            steps: key.json::<Vec<Vec<Action>>>("steps", &row.steps)?,
            current_step: key.number("current_step", row.current_step)?,
            from_version: row.from_version.map(time),
            to_version: row.to_version.map(time),
        })
    }
}

/// Writes a deployment's row.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &DeploymentRecord,
) -> Result<(), StoreError> {
    let key = RowKey::new(TABLE, &record.id);
    let id = record.id.to_string();
    let version = record.version.as_millis();
    let pod = record.pod.as_str();
    let steps = key.to_json("steps", &record.steps)?;
    let from_version = record.from_version.map(|time| time.as_millis());
    let to_version = record.to_version.map(|time| time.as_millis());
    sqlx::query!(
        "INSERT INTO deployments (id, version, pod, steps, current_step, from_version, to_version)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET
            version = excluded.version,
            pod = excluded.pod,
            steps = excluded.steps,
            current_step = excluded.current_step,
            from_version = excluded.from_version,
            to_version = excluded.to_version",
        id,
        version,
        pod,
        steps,
        record.current_step,
        from_version,
        to_version,
    )
    .execute(connection)
    .await
    .map_err(key.writing())?;
    Ok(())
}

/// Deletes a deployment's row.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    deployment: DeploymentId,
) -> Result<(), StoreError> {
    let id = deployment.to_string();
    sqlx::query!("DELETE FROM deployments WHERE id = ?", id)
        .execute(connection)
        .await
        .map_err(RowKey::new(TABLE, &id).writing())?;
    Ok(())
}

/// Reads every deployment, by version.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<DeploymentRecord>, StoreError> {
    sqlx::query_as!(
        Row,
        "SELECT id, version, pod, steps, current_step, from_version, to_version
        FROM deployments ORDER BY version, id"
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(DeploymentRecord::try_from)
    .collect()
}
