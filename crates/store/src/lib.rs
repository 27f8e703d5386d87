//! What monopod remembers, in one SQLite file.
//!
//! The store keeps [`Record`]s: it writes all records of a turn in one transaction, and gives everything
//! back at start. It knows no rules: what may follow what is the scheduler's business. It reads no clock.
//!
//! One connection writes. It commits with an `fsync` where an answer depends on it, see [`Durability`],
//! and leaves checkpoints to [`Store::checkpoint`], which the daemon calls aside. Invariant: after a
//! failed commit nothing of its records is stored, and the store goes on.
//!
//! Where to start: [`Store`], then `pods.rs` as the pattern of every table. The schema is in the
//! repository's `migrations/`; the macros' query data in `.sqlx/` (`make db` refreshes them).

mod applied_updates;
mod backoffs;
mod check;
mod connection;
mod deployments;
mod error;
mod instances;
mod open;
mod pod_versions;
mod pods;
mod removed_pods;
mod row_key;
mod settings;
mod tasks;
mod terminations;
mod writer;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use model::{
    id::PodId,
    record::{PodVersionRecord, Record, Saved},
    time::Timestamp,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

pub use check::check;
pub use connection::WAL_LIMIT_BYTES;
pub use error::StoreError;
pub use open::{BACKUPS_KEPT, Backups, OpenError};
pub use settings::Setting;
pub use terminations::TERMINATIONS_KEPT;
pub use writer::{Counters, Durability};

use writer::Writer;

/// The open store. Shared by reference; every method may be called at any time from any task.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: SqlitePool,
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Pages in the log.
    pub pages: i64,
    /// Of these, the pages that are in the database now. Fewer than all while somebody reads older ones.
    pub copied: i64,
}

impl Store {
    /// Opens the database file at `path`, made with mode 0600 if there is none; checks and migrates it.
    ///
    /// Its directory must exist and be writable by its owner only. That no other process uses the same
    /// file is the caller's concern. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A file that is damaged, foreign or of a newer schema is refused and left as it is.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let connection = open::open(path).await?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(Writer::new(path, connection)),
            readers: connection::readers(path),
        })
    }

    /// Writes `records` in their order, all in one transaction; without records, does nothing.
    ///
    /// If it fails, or its future is dropped before its end, nothing of them is stored (but a future
    /// dropped during the commit itself may have committed).
    ///
    /// # Errors
    /// The record that the database refused, or the commit's failure; foreign keys are checked by the commit.
    pub async fn commit(
        &self,
        records: &[Record],
        durability: Durability,
    ) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.writer.lock().await.commit(records, durability).await
    }

    /// Reads all that the scheduler works with, as of the last commit.
    ///
    /// # Errors
    /// The first row that makes no sense, or SQLite's failure.
    pub async fn load(&self) -> Result<Saved, StoreError> {
        let mut writer = self.writer.lock().await;
        let connection = writer.connection().await?;
        Ok(Saved {
            pods: pods::all(connection).await?,
            versions: pod_versions::all(connection).await?,
            removed: removed_pods::all(connection).await?,
            instances: instances::all(connection).await?,
            tasks: tasks::all(connection).await?,
            deployments: deployments::all(connection).await?,
            backoffs: backoffs::all(connection).await?,
            terminations: terminations::all(connection).await?,
            applied: applied_updates::all(connection).await?,
        })
    }

    /// Reads one version of a pod, defined now or not.
    ///
    /// # Errors
    /// A row that makes no sense, or SQLite's failure.
    pub async fn pod_version(
        &self,
        pod: &PodId,
        version: Timestamp,
    ) -> Result<Option<PodVersionRecord>, StoreError> {
        let mut reader = self.reader().await?;
        pod_versions::one(&mut reader, pod, version).await
    }

    /// Reads which versions of a pod there are, ascending; none if it was never defined.
    ///
    /// # Errors
    /// SQLite's failure.
    pub async fn versions(&self, pod: &PodId) -> Result<Vec<Timestamp>, StoreError> {
        let mut reader = self.reader().await?;
        pod_versions::list(&mut reader, pod).await
    }

    /// Returns the agent's id; at the first call, `proposed` becomes it, durably.
    ///
    /// # Errors
    /// SQLite's failure.
    pub async fn agent_id(&self, proposed: &str) -> Result<String, StoreError> {
        let mut writer = self.writer.lock().await;
        if let Some(id) = settings::get(writer.connection().await?, Setting::AgentId).await? {
            return Ok(id);
        }
        writer.put_setting(Setting::AgentId, proposed).await?;
        Ok(proposed.to_owned())
    }

    /// Reads a setting.
    ///
    /// # Errors
    /// SQLite's failure.
    pub async fn setting(&self, setting: Setting) -> Result<Option<String>, StoreError> {
        let mut writer = self.writer.lock().await;
        settings::get(writer.connection().await?, setting).await
    }

    /// Writes a setting, durably.
    ///
    /// # Errors
    /// SQLite's failure.
    pub async fn put_setting(&self, setting: Setting, value: &str) -> Result<(), StoreError> {
        self.writer.lock().await.put_setting(setting, value).await
    }

    /// Writes something that changes nothing, durably: whether the store takes commits again after one failed. Moves
    /// the log into the database first, since parts of it may not be on the disk.
    ///
    /// # Errors
    /// SQLite's failure.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.writer.lock().await.probe().await
    }

    /// Bytes of the write-ahead log's file. Over [`WAL_LIMIT_BYTES`], a checkpoint is due.
    ///
    /// # Errors
    /// What `stat(2)` says, but for a missing file.
    pub fn wal_size_bytes(&self) -> Result<u64, io::Error> {
        match fs::metadata(open::wal_path(&self.path)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Bytes of the database's file and of its log.
    ///
    /// # Errors
    /// What `stat(2)` says.
    pub fn size_bytes(&self) -> Result<u64, io::Error> {
        let database = fs::metadata(&self.path)?.len();
        Ok(database.saturating_add(self.wal_size_bytes()?))
    }

    /// Copies the log's pages to the database as far as no reader is in the way; nobody waits for it.
    ///
    /// # Errors
    /// SQLite's failure; the log is then as it was.
    pub async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let failed = "copy the write-ahead log to the database";
        let mut connection = connection::checkpointing(&self.path)
            .connect()
            .await
            .map_err(StoreError::connection(failed))?;
        let (_busy, pages, copied): (i64, i64, i64) =
            sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
                .fetch_one(&mut connection)
                .await
                .map_err(StoreError::connection(failed))?;
        connection
            .close()
            .await
            .map_err(StoreError::connection(failed))?;
        Ok(Checkpoint { pages, copied })
    }

    /// How many transactions were committed since the store was opened.
    pub async fn counters(&self) -> Counters {
        self.writer.lock().await.counters()
    }

    /// Copies the whole log to the database and closes the file. Whoever uses the store afterwards is told so.
    ///
    /// # Errors
    /// SQLite's failure; the state is safe in the log all the same.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        self.writer.lock().await.close().await
    }

    async fn reader(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, StoreError> {
        let attempt = "get a connection for reading";
        match self.readers.acquire().await {
            Err(sqlx::Error::PoolClosed) => Err(StoreError::Closed),
            result => result.map_err(StoreError::connection(attempt)),
        }
    }
}

/// Writes one record.
async fn write(connection: &mut SqliteConnection, record: &Record) -> Result<(), StoreError> {
    match record {
        Record::Pod(pod) => pods::put(connection, pod).await,
        Record::PodGone(pod) => pods::delete(connection, pod).await,
        Record::PodVersion(version) => pod_versions::put(connection, version).await,
        Record::PodVersionGone { pod, version } => {
            pod_versions::delete(connection, pod, *version).await
        }
        Record::RemovedPod(removed) => removed_pods::put(connection, removed).await,
        Record::RemovedPodGone(pod) => removed_pods::delete(connection, pod).await,
        Record::Instance(instance) => instances::put(connection, instance).await,
        Record::InstanceGone(instance) => instances::delete(connection, instance).await,
        Record::Task(task) => tasks::put(connection, task).await,
        Record::Deployment(deployment) => deployments::put(connection, deployment).await,
        Record::DeploymentGone(id) => deployments::delete(connection, *id).await,
        Record::Backoff(backoff) => backoffs::put(connection, backoff).await,
        Record::BackoffGone(pod) => backoffs::delete(connection, pod).await,
        Record::Termination(end) => terminations::add(connection, end).await,
        Record::Applied { run, sequence } => {
            applied_updates::put(connection, *run, *sequence).await
        }
        Record::RunForgotten(run) => applied_updates::delete(connection, *run).await,
    }
}
