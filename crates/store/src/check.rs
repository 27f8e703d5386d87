//! Looking at a database that no daemon has open, without changing anything.

use std::path::Path;

use sqlx::{ConnectOptions, Connection as _, sqlite::SqliteConnectOptions};

use crate::open::{self, OpenError};

/// Checks that the file at `path` is a database of monopod and that its pages hold together (`PRAGMA quick_check`).
/// Leaves no file behind: without a log the file is read as one that nobody changes.
///
/// # Errors
/// As opening it, but that a missing file is an error, and an older or newer schema none.
pub async fn check(path: &Path) -> Result<(), OpenError> {
    let log = std::fs::metadata(open::wal_path(path)).map_or(0, |metadata| metadata.len());
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(log == 0)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(open::sqlite_error(path))?;
    open::check_content(&mut connection, path).await?;
    connection.close().await.map_err(open::sqlite_error(path))
}
