//! Table `applied_updates`: how far each run's journal was applied.

use model::id::RunId;
use sqlx::SqliteConnection;

use crate::{error::StoreError, row_key::RowKey};

const TABLE: &str = "applied_updates";

struct Row {
    instance: String,
    incarnation: i64,
    sequence: i64,
}

impl TryFrom<Row> for (RunId, u64) {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = format!("{}.{}", row.instance, row.incarnation);
        let key = RowKey::new(TABLE, &id);
        let run = RunId {
            instance: key.parse("instance", &row.instance)?,
            incarnation: key.number("incarnation", row.incarnation)?,
        };
        Ok((run, key.number("sequence", row.sequence)?))
    }
}

/// Writes the last applied sequence number of a run.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    run: RunId,
    sequence: u64,
) -> Result<(), StoreError> {
    let key = RowKey::new(TABLE, &run);
    let instance = run.instance.to_string();
    let sequence = key.to_number("sequence", sequence)?;
    sqlx::query!(
        "INSERT INTO applied_updates (instance, incarnation, sequence) VALUES (?, ?, ?)
        ON CONFLICT (instance, incarnation) DO UPDATE SET sequence = excluded.sequence",
        instance,
        run.incarnation,
        sequence,
    )
    .execute(connection)
    .await
    .map_err(key.writing())?;
    Ok(())
}

/// Deletes a run's row.
pub(crate) async fn delete(
    connection: &mut SqliteConnection,
    run: RunId,
) -> Result<(), StoreError> {
    let instance = run.instance.to_string();
    sqlx::query!(
        "DELETE FROM applied_updates WHERE instance = ? AND incarnation = ?",
        instance,
        run.incarnation,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &run).writing())?;
    Ok(())
}

/// Reads every row, by run.
pub(crate) async fn all(
    connection: &mut SqliteConnection,
) -> Result<Vec<(RunId, u64)>, StoreError> {
    sqlx::query_as!(
        Row,
        "SELECT instance, incarnation, sequence FROM applied_updates ORDER BY instance, incarnation"
    )
    .fetch_all(connection)
    .await
    .map_err(StoreError::reading(TABLE))?
    .into_iter()
    .map(<(RunId, u64)>::try_from)
    .collect()
}
