//! Table `backoffs`: launch back-off by pod version.

use model::{id::PodId, record::BackoffRecord};
use sqlx::SqliteConnection;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "backoffs";

struct Row {
    pod: String,
    version: i64,
    delay_ms: i64,
    reference: i64,
}

impl TryFrom<Row> for BackoffRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = format!("{} {}", row.pod, time(row.version));
        let key = RowKey::new(TABLE, &id);
        Ok(Self {
            pod: key.parse("pod", &row.pod)?,
            version: time(row.version),
            delay_ms: key.number("delay_ms", row.delay_ms)?,
            reference: time(row.reference),
        })
    }
}

/// Writes the back-off of one pod version.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &BackoffRecord,
) -> Result<(), StoreError> {
    let pod = record.pod.as_str();
    let id = format!("{pod} {}", record.version);
    let key = RowKey::new(TABLE, &id);
    let version = record.version.as_millis();
    let delay_ms = key.to_number("delay_ms", record.delay_ms)?;
    let reference = record.reference.as_millis();
    sqlx::query!(
        "INSERT INTO backoffs (pod, version, delay_ms, reference) VALUES (?, ?, ?, ?)
        ON CONFLICT (pod, version) DO UPDATE SET
            delay_ms = excluded.delay_ms,
            reference = excluded.reference",
        pod,
        version,
        delay_ms,
        reference,
    )
    .execute(connection)
    .await
    .map_err(key.writing())?;
    Ok(())
}

/// Deletes the back-offs of all versions of a pod.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    pod: &PodId,
) -> Result<(), StoreError> {
    let id = pod.as_str();
    sqlx::query!("DELETE FROM backoffs WHERE pod = ?", id)
        .execute(connection)
        .await
        .map_err(RowKey::new(TABLE, &id).writing())?;
    Ok(())
}

/// Reads every back-off, by pod and version.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<BackoffRecord>, StoreError> {
    sqlx::query_as!(
        Row,
        "SELECT pod, version, delay_ms, reference FROM backoffs ORDER BY pod, version"
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(BackoffRecord::try_from)
    .collect()
}
