//! Opening the database file: made whole or not at all, and never made again over one that is damaged.

mod migration;

use std::{
    ffi::OsString,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

pub use migration::BACKUPS_KEPT;

use crate::connection;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// What `migrations/0001_state.sql` sets: 'mpod'.
const APPLICATION_ID: i64 = 1_836_085_092;

/// Why the database could not be opened. Messages read after "failed to" and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is missing or cannot be looked at.
    #[error("use directory {path}: make it, or point --state-dir to the right one")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Others could put another file in the database's place.
    #[error(
        "use directory {path}: users other than its owner may write to it (mode {mode:o}); take that right away"
    )]
    DirectoryMode {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file could not be made, looked at or renamed.
    #[error("prepare {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A write-ahead log without its database.
    #[error(
        "open {path}: the file is gone but its log {log} is still there; restore the database{backups}, or move the log away to begin with nothing"
    )]
    DatabaseGone {
        /// The database.
        path: PathBuf,
        /// The log.
        log: PathBuf,
        /// What it can be restored from.
        backups: Backups,
    },
    /// The file is something else.
    #[error(
        "open {path}: it is no database of monopod; restore it{backups}, or move it away to begin with nothing"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it can be restored from.
        backups: Backups,
    },
    /// The file was one of ours and is damaged.
    #[error(
        "open {path}: it is damaged ({detail}); restore it{backups}, or move it and its -wal file away to begin with nothing"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it can be restored from.
        backups: Backups,
        /// What SQLite found.
        detail: String,
    },
    /// The file was written by a newer monopod.
    #[error(
        "open {path}: a newer monopod wrote it (schema {version}, this one knows {known}); install that version again, or restore it{backups}"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it can be restored from.
        backups: Backups,
        /// The first schema version that this program doesn't know.
        version: i64,
        /// The last one that it knows.
        known: i64,
    },
    /// A migration that the file went through isn't the one this program has.
    #[error(
        "open {path}: its schema {version} is not this monopod's; install the version that wrote it"
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The schema version that differs.
        version: i64,
    },
    /// The file cannot be used as it is now.
    #[error("open {path}: {advice}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What can be done.
        advice: &'static str,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// There is no backup, so nothing was migrated.
    #[error(
        "copy {path} to {backup} before its schema is changed; nothing was changed, make room or install the version before again"
    )]
    Backup {
        /// The file.
        path: PathBuf,
        /// The copy.
        backup: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
    /// SQLite failed otherwise.
    #[error("open {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A migration failed otherwise; the file is as it was.
    #[error(
        "bring {path} to the present schema; nothing was changed, the version before still works with it"
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: MigrateError,
    },
}

/// What a database can be restored from. Reads after "restore it".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backups(Vec<PathBuf>);

impl Backups {
    fn of(path: &Path) -> Self {
        Self(migration::backups(path))
    }
}

impl fmt::Display for Backups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(" from a backup")?;
        let names: Vec<_> = self
            .0
            .iter()
            .rev()
            .map(|path| path.display().to_string())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        write!(
            f,
            " (with the daemon stopped, move it and its -wal file away and copy one of these in its place: {})",
            names.join(", ")
        )
    }
}

/// Opens the database at `path` for writing, making it if there is none; checks it and migrates it.
pub(crate) async fn open(path: &Path) -> Result<SqliteConnection, OpenError> {
    open_with(path, &MIGRATIONS).await
}

async fn open_with(path: &Path, migrator: &Migrator) -> Result<SqliteConnection, OpenError> {
    let directory = parent(path);
    check_directory(directory)?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == 0 => {
            let detail = "it is empty".to_owned();
            return Err(OpenError::Damaged {
                path: path.to_owned(),
                backups: Backups::of(path),
                detail,
            });
        }
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            refuse_lone_log(path)?;
            create(path, migrator).await?;
        }
        Err(source) => return Err(file_error(path)(source)),
    }
    let mut connection = connection::writing(path)
        .connect()
        .await
        .map_err(sqlite_error(path))?;
    check_content(&mut connection, path).await?;
    set_wal(&mut connection, path).await?;
    migration::migrate(&mut connection, path, migrator).await?;
    Ok(connection)
}

/// The log beside the database at `path`.
pub(crate) fn wal_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn check_directory(directory: &Path) -> Result<(), OpenError> {
    let path = directory.to_owned();
    let metadata = match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => metadata,
        Ok(_) => {
            let source = io::ErrorKind::NotADirectory.into();
            return Err(OpenError::Directory { path, source });
        }
        Err(source) => return Err(OpenError::Directory { path, source }),
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(OpenError::DirectoryMode { path, mode });
    }
    Ok(())
}

/// SQLite would play an old log into a new database.
fn refuse_lone_log(path: &Path) -> Result<(), OpenError> {
    let log = wal_path(path);
    if log.exists() {
        return Err(OpenError::DatabaseGone {
            path: path.to_owned(),
            log,
            backups: Backups::of(path),
        });
    }
    Ok(())
}

/// Makes the database in a directory of its own and renames it into place, so that a crash leaves
/// either none or a whole one, and an empty or short file is always a damaged one.
async fn create(path: &Path, migrator: &Migrator) -> Result<(), OpenError> {
    let workshop = beside(path, ".new");
    match fs::remove_dir_all(&workshop) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(file_error(&workshop)(source));
        }
        _ => {}
    }
    DirBuilder::new()
        .mode(0o700)
        .create(&workshop)
        .map_err(file_error(&workshop))?;
    let new = workshop.join("monopod.db");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(file_error(&new))?;
    fill(&new, migrator).await?;
    File::open(&new)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .and_then(|()| fs::remove_dir(&workshop))
        .and_then(|()| File::open(parent(path)))
        .and_then(|directory| directory.sync_all())
        .map_err(file_error(path))
}

/// Gives a new file its schema, and leaves no log beside it. Nothing is synced: the caller does that
/// once, before the file gets its name.
async fn fill(path: &Path, migrator: &Migrator) -> Result<(), OpenError> {
    let mut connection = connection::writing(path)
        .pragma("synchronous", "OFF")
        .connect()
        .await
        .map_err(sqlite_error(path))?;
    set_wal(&mut connection, path).await?;
    migration::migrate(&mut connection, path, migrator).await?;
    connection.close().await.map_err(sqlite_error(path))
}

/// Checks whose file it is and that its pages hold together, before anything is written to it.
pub(crate) async fn check_content(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<(), OpenError> {
    let id: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(sqlite_error(path))?;
    if id != APPLICATION_ID {
        return Err(OpenError::NotOurs {
            path: path.to_owned(),
            backups: Backups::of(path),
        });
    }
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(sqlite_error(path))?;
    if verdict != "ok" {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            backups: Backups::of(path),
            detail: verdict,
        });
    }
    Ok(())
}

/// The mode is kept in the file, but a copy that was made as a backup has lost it.
async fn set_wal(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    sqlx::raw_sql("PRAGMA journal_mode = WAL")
        .execute(connection)
        .await
        .map_err(sqlite_error(path))?;
    Ok(())
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

/// Tells what needs a person from other failures (sqlite: `rescode.html`).
pub(crate) fn sqlite_error(path: &Path) -> impl FnOnce(sqlx::Error) -> OpenError {
    let path = path.to_owned();
    move |source| {
        let error = source.as_database_error();
        let code = error.and_then(|error| error.code()?.parse::<i32>().ok());
        let code = code.map(|code| code & 0xff);
        if let (Some(11), Some(error)) = (code, error) {
            return OpenError::Damaged {
                detail: error.message().to_owned(),
                backups: Backups::of(&path),
                path,
            };
        }
        if code == Some(26) {
            let backups = Backups::of(&path);
            return OpenError::NotOurs { path, backups };
        }
        match code.and_then(advice) {
            Some(advice) => OpenError::Unusable {
                path,
                advice,
                source,
            },
            None => OpenError::Sqlite { path, source },
        }
    }
}

/// What a person can do about a failure that is not the file's content.
const fn advice(code: i32) -> Option<&'static str> {
    match code {
        5 | 6 => Some("another program has it locked; end that program"),
        3 | 8 | 14 | 23 => Some(
            "it cannot be opened for writing; see whether its file system is mounted read-only, and whether it is a file of root's",
        ),
        10 => Some("its disk fails; see the kernel's log, and restore a backup on another disk"),
        13 => Some("its file system is full; make room"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
