//! What can go wrong with the store once it is open.

use std::error::Error;

/// Why records could not be written or read. Messages read after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused a row, or could not write it.
    #[error("write {table} {id}")]
    Write {
        /// The table.
        table: &'static str,
        /// The row's key.
        id: String,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A value cannot be kept in its column.
    #[error("write column {column} of {table} {id}")]
    Value {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        id: String,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A table could not be read.
    #[error("read {table}")]
    Read {
        /// The table.
        table: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A stored row makes no sense.
    #[error("read column {column} of {table} {id}")]
    Row {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        id: String,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something that concerns the connection and no single row.
    #[error("{attempt}")]
    Connection {
        /// What was attempted.
        attempt: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// The store was closed before.
    #[error("use the store after it was closed")]
    Closed,
}

impl StoreError {
    /// For `map_err`: the table could not be read.
    pub(crate) fn reading(table: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Read { table, source }
    }

    /// For `map_err`: the attempt failed on the connection.
    pub(crate) fn connection(attempt: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Connection { attempt, source }
    }
}
