//! The writing connection: one transaction a turn, thrown away and opened again after any failure.

use std::path::{Path, PathBuf};

use model::record::Record;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::{
    connection,
    error::StoreError,
    settings::{self, Setting},
};

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: synced to the disk before it is acknowledged (`synchronous=FULL`).
    Full,
    /// The end of this process, but not a power cut before the next full commit or checkpoint
    /// (`synchronous=NORMAL`). What is lost is lost from the end, whole transactions at a time.
    Normal,
}

impl Durability {
    const fn pragma(self) -> &'static str {
        match self {
            Self::Full => "PRAGMA synchronous = FULL",
            Self::Normal => "PRAGMA synchronous = NORMAL",
        }
    }
}

/// Transactions committed since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commits with [`Durability::Full`].
    pub full_commits: u64,
    /// Commits with [`Durability::Normal`].
    pub normal_commits: u64,
    /// Records in all of them.
    pub records: u64,
}

/// The writing connection and how it is set.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    state: State,
    counters: Counters,
}

#[derive(Debug)]
enum State {
    Open(Session),
    /// The last use failed. The connection is not used again, but kept until there is another: closing the last one
    /// would give up the log's index, and a full disk has no room to make it anew.
    Failed(Session),
    /// The last use was abandoned half-way: the connection was dropped, which rolls back.
    Dropped,
    Closed,
}

#[derive(Debug)]
struct Session {
    connection: SqliteConnection,
    durability: Durability,
}

impl Session {
    /// Wraps a connection as [`connection::writing`] sets it.
    fn new(connection: SqliteConnection) -> Self {
        Self {
            connection,
            durability: Durability::Full,
        }
    }

    /// The setting cannot change within a transaction, so it changes before one, and only if it must.
    async fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.durability != durability {
            sqlx::raw_sql(durability.pragma())
                .execute(&mut self.connection)
                .await
                .map_err(StoreError::connection("set how durable commits are"))?;
            self.durability = durability;
        }
        Ok(())
    }

    async fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut transaction = self
            .connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(StoreError::connection("begin a transaction"))?;
        for record in records {
            crate::write(&mut transaction, record).await?;
        }
        transaction
            .commit()
            .await
            .map_err(StoreError::connection("commit a transaction"))
    }
}

impl Writer {
    /// Takes over a connection as [`connection::writing`] sets it.
    pub(crate) fn new(path: &Path, connection: SqliteConnection) -> Self {
        Self {
            path: path.to_owned(),
            state: State::Open(Session::new(connection)),
            counters: Counters::default(),
        }
    }

    /// Writes `records` in one transaction.
    pub(crate) async fn commit(
        &mut self,
        records: &[Record],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut session = self.take().await?;
        let committed = match session.set_durability(durability).await {
            Ok(()) => session.commit(records).await,
            Err(error) => Err(error),
        };
        self.put_back(session, committed)?;
        match durability {
            Durability::Full => self.counters.full_commits += 1,
            Durability::Normal => self.counters.normal_commits += 1,
        }
        self.counters.records += u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Writes a setting, with full durability.
    pub(crate) async fn put_setting(
        &mut self,
        setting: Setting,
        value: &str,
    ) -> Result<(), StoreError> {
        let mut session = self.take().await?;
        let put = match session.set_durability(Durability::Full).await {
            Ok(()) => settings::put(&mut session.connection, setting, value).await,
            Err(error) => Err(error),
        };
        self.put_back(session, put)
    }

    /// Writes something that changes nothing, durably, to a log that begins anew: what was in the log when a sync
    /// failed may not be on the disk, and what follows it would be lost with it.
    pub(crate) async fn probe(&mut self) -> Result<(), StoreError> {
        let connection = self.connection().await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(RESTART)")
            .execute(&mut *connection)
            .await
            .map_err(StoreError::connection(
                "copy the write-ahead log to the database",
            ))?;
        let id = settings::get(connection, Setting::AgentId).await?;
        self.put_setting(Setting::AgentId, &id.unwrap_or_default())
            .await
    }

    fn put_back(
        &mut self,
        session: Session,
        used: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.state = if used.is_ok() {
            State::Open(session)
        } else {
            State::Failed(session)
        };
        used
    }

    /// The connection for reading outside a transaction.
    pub(crate) async fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let session = self.take().await?;
        self.state = State::Open(session);
        match &mut self.state {
            State::Open(session) => Ok(&mut session.connection),
            State::Failed(_) | State::Dropped | State::Closed => Err(StoreError::Closed),
        }
    }

    /// Copies the whole log to the database and closes the connection.
    pub(crate) async fn close(&mut self) -> Result<(), StoreError> {
        let closing = || StoreError::connection("close the database");
        let mut session = match self.take().await {
            Ok(session) => session,
            Err(StoreError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.state = State::Closed;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut session.connection)
            .await
            .map_err(closing())?;
        session.connection.close().await.map_err(closing())
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes the connection out, opened again if the last use failed. Whoever succeeds puts it back;
    /// otherwise it is dropped. SQLite may have ended a failed transaction by itself, of which sqlx
    /// knows nothing, so going on with the same connection would not be safe.
    async fn take(&mut self) -> Result<Session, StoreError> {
        match std::mem::replace(&mut self.state, State::Dropped) {
            State::Open(session) => Ok(session),
            State::Failed(failed) => match self.connect().await {
                Ok(session) => Ok(session),
                Err(error) => {
                    self.state = State::Failed(failed);
                    Err(error)
                }
            },
            State::Dropped => self.connect().await,
            State::Closed => {
                self.state = State::Closed;
                Err(StoreError::Closed)
            }
        }
    }

    async fn connect(&self) -> Result<Session, StoreError> {
        let connection = connection::writing(&self.path)
            .connect()
            .await
            .map_err(StoreError::connection("open the database again"))?;
        Ok(Session::new(connection))
    }
}

#[cfg(test)]
mod tests {
    use model::record::Record;
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::Store;

    async fn pragma(writer: &mut Writer, text: &str) -> i64 {
        let connection = writer.connection().await.unwrap();
        let sql = AssertSqlSafe(format!("PRAGMA {text}"));
        sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
    }

    fn record(sequence: u64) -> Record {
        let run = model::id::RunId {
            instance: uuid::Uuid::from_u128(u128::from(sequence)),
            incarnation: 1,
        };
        Record::Applied { run, sequence }
    }

    #[tokio::test]
    async fn each_commit_is_as_durable_as_asked() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).await.unwrap();
        let mut writer = store.writer.lock().await;
        for (durability, synchronous) in [
            (Durability::Full, 2),
            (Durability::Normal, 1),
            (Durability::Normal, 1),
            (Durability::Full, 2),
        ] {
            writer.commit(&[record(1)], durability).await.unwrap();
            assert_eq!(pragma(&mut writer, "synchronous").await, synchronous);
        }
        writer
            .commit(&[record(1)], Durability::Normal)
            .await
            .unwrap();
        writer.put_setting(Setting::AgentId, "a").await.unwrap();
        assert_eq!(pragma(&mut writer, "synchronous").await, 2);
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_turn_and_not_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).await.unwrap();
        store.commit(&[record(1)], Durability::Full).await.unwrap();
        let before = store.load().await.unwrap();
        let many: Vec<_> = (2..2000).map(record).collect();
        {
            let mut writer = store.writer.lock().await;
            let pages = pragma(&mut writer, "page_count").await;
            pragma(&mut writer, &format!("max_page_count = {pages}")).await;
        }
        let error = store.commit(&many, Durability::Full).await.unwrap_err();
        assert!(matches!(error, StoreError::Write { .. }), "{error:?}");
        assert_eq!(store.load().await.unwrap(), before);
        store.commit(&many, Durability::Full).await.unwrap();
        assert_eq!(store.load().await.unwrap().applied.len(), 1999);
    }

    #[tokio::test]
    async fn an_abandoned_commit_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("db")).await.unwrap();
        let many: Vec<_> = (2..2000).map(record).collect();
        {
            let mut commit = std::pin::pin!(store.commit(&many, Durability::Full));
            for _ in 0..20 {
                let once = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(commit.as_mut().poll(context).is_ready())
                });
                assert!(!once.await, "the commit ended before it was abandoned");
                tokio::task::yield_now().await;
            }
        }
        store.commit(&[record(1)], Durability::Full).await.unwrap();
        assert_eq!(store.load().await.unwrap().applied.len(), 1);
    }
}
