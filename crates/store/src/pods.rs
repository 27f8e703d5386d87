//! Table `pods`: what is defined now.

use model::{id::PodId, record::PodRecord};
use sqlx::SqliteConnection;

use crate::{
    error::StoreError,
    row_key::{RowKey, time},
};

const TABLE: &str = "pods";

struct Row {
    id: String,
    version: i64,
    last_config_change: i64,
    removing: bool,
}

impl TryFrom<Row> for PodRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: RowKey::new(TABLE, &row.id).parse("id", &row.id)?,
            version: time(row.version),
            last_config_change: time(row.last_config_change),
            removing: row.removing,
        })
    }
}

/// Writes a pod's row.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    record: &PodRecord,
) -> Result<(), StoreError> {
    let id = record.id.as_str();
    let version = record.version.as_millis();
    let last_config_change = record.last_config_change.as_millis();
    sqlx::query!(
        "INSERT INTO pods (id, version, last_config_change, removing) VALUES (?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET
            version = excluded.version,
            last_config_change = excluded.last_config_change,
            removing = excluded.removing",
        id,
        version,
        last_config_change,
        record.removing,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &id).writing())?;
    Ok(())
}

/// Deletes a pod's row.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    pod: &PodId,
) -> Result<(), StoreError> {
    let id = pod.as_str();
    sqlx::query!("DELETE FROM pods WHERE id = ?", id)
        .execute(connection)
        .await
        .map_err(RowKey::new(TABLE, &id).writing())?;
    Ok(())
}

/// Reads every pod, by id.
pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<PodRecord>, StoreError> {
    sqlx::query_as!(
        Row,
        r#"SELECT id, version, last_config_change, removing AS "removing: bool" FROM pods ORDER BY id"#
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(PodRecord::try_from)
    .collect()
}
