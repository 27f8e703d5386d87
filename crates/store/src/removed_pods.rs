//! Table `removed_pods`: which pods that are no longer defined still have versions.

use model::{id::PodId, record::RemovedPodRecord};
use sqlx::SqliteConnection;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "removed_pods";

struct Row {
    pod: String,
    removed_at: i64,
}

impl TryFrom<Row> for RemovedPodRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            pod: RowKey::new(TABLE, &row.pod).parse("pod", &row.pod)?,
            removed_at: time(row.removed_at),
        })
    }
}

/// Writes a removed pod's row.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &RemovedPodRecord,
) -> Result<(), StoreError> {
    let pod = record.pod.as_str();
    let removed_at = record.removed_at.as_millis();
    sqlx::query!(
        "INSERT INTO removed_pods (pod, removed_at) VALUES (?, ?)
        ON CONFLICT (pod) DO UPDATE SET removed_at = excluded.removed_at",
        pod,
        removed_at,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &pod).writing())?;
    Ok(())
}

/// Deletes a removed pod's row; its versions are other records' business.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    pod: &PodId,
) -> Result<(), StoreError> {
    let pod = pod.as_str();
    sqlx::query!("DELETE FROM removed_pods WHERE pod = ?", pod)
        .execute(connection)
        .await
        .map_err(RowKey::new(TABLE, &pod).writing())?;
    Ok(())
}

/// Reads every removed pod, by id.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<RemovedPodRecord>, StoreError> {
    sqlx::query_as!(Row, "SELECT pod, removed_at FROM removed_pods ORDER BY pod")
        .fetch_all(connection)
        .await
        .map_err(StoreError::reading(TABLE))?
        .into_iter()
        .map(RemovedPodRecord::try_from)
        .collect()
}
