//! The connections to the file: one that writes, a few that read, one for each checkpoint.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

/// The size over which the write-ahead log is due for a checkpoint, in bytes.
///
/// The first commit after a whole checkpoint writes the log from its start again, and SQLite then cuts the
/// file to this size. So a file over it has something to be copied, and in the long run commits
/// overwrite blocks that the file has already, which syncs faster than growing it.
pub const WAL_LIMIT_BYTES: u64 = 2 << 20;

/// Readers serve history only; they are opened at need and closed when idle, since each is a thread.
const MAX_READERS: u32 = 2;
const READER_IDLE: Duration = Duration::from_secs(30);

/// Only another process that looks into the file can make a connection wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

fn options(path: &Path, name: &'static str, cache_kib: u32) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", format!("-{cache_kib}"))
        .thread_name(move |_| name.to_owned())
        .disable_statement_logging()
}

/// The writing connection. It never checkpoints by itself: that would be on the commit path.
pub(crate) fn writing(path: &Path) -> SqliteConnectOptions {
    options(path, "store-write", 512)
        .pragma("synchronous", "FULL")
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", WAL_LIMIT_BYTES.to_string())
        .statement_cache_capacity(32)
}

/// The connection of one checkpoint; without auto-checkpoint, so that it does just what it is told.
pub(crate) fn checkpointing(path: &Path) -> SqliteConnectOptions {
    options(path, "store-ckpt", 128)
        .pragma("synchronous", "FULL")
        .pragma("wal_autocheckpoint", "0")
        .statement_cache_capacity(1)
}

/// The readers, none of which is opened yet.
pub(crate) fn readers(path: &Path) -> SqlitePool {
    let options = options(path, "store-read", 128)
        .read_only(true)
        .statement_cache_capacity(8);
    SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(MAX_READERS)
        .idle_timeout(READER_IDLE)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}
