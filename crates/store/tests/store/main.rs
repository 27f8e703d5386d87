//! The store as the daemon sees it, on real files.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the functions that they share"
)]

mod crash;
mod files;
mod plain;
mod property;
mod query_data;
mod rows;
mod samples;
mod wal;
