//! Table `pod_versions`: the definitions that were accepted, as far as they are kept.

use std::sync::Arc;

use model::{id::PodId, record::PodVersionRecord, time::Timestamp};
use sqlx::SqliteConnection;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "pod_versions";

struct Row {
    pod: String,
    version: i64,
    definition: String,
}

impl TryFrom<Row> for PodVersionRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = format_id(&row.pod, row.version);
        let key = RowKey::new(TABLE, &id);
        Ok(Self {
            pod: key.parse("pod", &row.pod)?,
            version: time(row.version),
            definition: Arc::new(key.json("definition", &row.definition)?),
        })
    }
}

fn format_id(pod: &str, version: i64) -> String {
    format!("{pod} {}", time(version))
}

/// Writes a version.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &PodVersionRecord,
) -> Result<(), StoreError> {
    let pod = record.pod.as_str();
    let version = record.version.as_millis();
    let id = format_id(pod, version);
    let key = RowKey::new(TABLE, &id);
    let definition = key.to_json("definition", &record.definition)?;
    sqlx::query!(
        "INSERT INTO pod_versions (pod, version, definition) VALUES (?, ?, ?)
        ON CONFLICT (pod, version) DO UPDATE SET definition = excluded.definition",
        pod,
        version,
        definition,
    )
    .execute(connection)
    .await
    .map_err(key.writing())?;
    Ok(())
}

/// Deletes a version; the commit fails if anything still refers to it.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    pod: &PodId,
    version: Timestamp,
) -> Result<(), StoreError> {
    let pod = pod.as_str();
    let version = version.as_millis();
    sqlx::query!(
        "DELETE FROM pod_versions WHERE pod = ? AND version = ?",
        pod,
        version,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &format_id(pod, version)).writing())?;
    Ok(())
}

/// Reads every version of every pod, by pod, then ascending.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<PodVersionRecord>, StoreError> {
    sqlx::query_as!(
        Row,
        "SELECT pod, version, definition FROM pod_versions ORDER BY pod, version"
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(PodVersionRecord::try_from)
    .collect()
}

/// Reads one version.
pub(crate) async fn one(
    connection: &mut SqliteConnection,
    pod: &PodId,
    version: Timestamp,
) -> Result<Option<PodVersionRecord>, StoreError> {
    let pod = pod.as_str();
    let version = version.as_millis();
    sqlx::query_as!(
        Row,
        "SELECT pod, version, definition FROM pod_versions WHERE pod = ? AND version = ?",
        pod,
        version,
    )
    .fetch_optional(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .map(PodVersionRecord::try_from)
    .transpose()
}

/// Reads which versions of a pod there are, ascending.
pub(crate) async fn list(
    connection: &mut SqliteConnection,
    pod: &PodId,
) -> Result<Vec<Timestamp>, StoreError> {
    let pod = pod.as_str();
    let versions = sqlx::query_scalar!(
        "SELECT version FROM pod_versions WHERE pod = ? ORDER BY version",
        pod
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?;
    Ok(versions.into_iter().map(time).collect())
}
