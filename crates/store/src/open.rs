//! Opening the database file: made whole or not at all, and never made again over one that is damaged.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sqlx::{
    ConnectOptions, Connection, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

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
        "open {path}: the file is gone but its log {log} is still there; restore the database, or move the log away to begin with nothing"
    )]
    DatabaseGone {
        /// The database.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// The file is something else.
    #[error(
        "open {path}: it is no database of monopod; restore it from a backup, or move it away to begin with nothing"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was one of ours and is damaged.
    #[error(
        "open {path}: it is damaged ({detail}); restore it from a backup, or move it and its -wal file away to begin with nothing"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// The file was written by a newer monopod.
    #[error(
        "open {path}: a newer monopod wrote it (schema {version}, this one knows {known}); install that version again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
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
    /// SQLite failed otherwise.
    #[error("open {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
    /// A migration failed otherwise.
    #[error("bring {path} to the present schema")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: MigrateError,
    },
}

/// Opens the database at `path` for writing, making it if there is none; checks it and migrates it.
pub(crate) async fn open(path: &Path) -> Result<SqliteConnection, OpenError> {
    let directory = parent(path);
    check_directory(directory)?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == 0 => {
            let detail = "it is empty".to_owned();
            let path = path.to_owned();
            return Err(OpenError::Damaged { path, detail });
        }
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            refuse_lone_log(path)?;
            create(path).await?;
        }
        Err(source) => return Err(file_error(path)(source)),
    }
    let mut connection = connection::writing(path)
        .connect()
        .await
        .map_err(sqlite_error(path))?;
    check_content(&mut connection, path).await?;
    set_wal(&mut connection, path).await?;
    migrate(&mut connection, path).await?;
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
        let path = path.to_owned();
        return Err(OpenError::DatabaseGone { path, log });
    }
    Ok(())
}

/// Makes the database in a directory of its own and renames it into place, so that a crash leaves
/// either none or a whole one, and an empty or short file is always a damaged one.
async fn create(path: &Path) -> Result<(), OpenError> {
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
    fill(&new).await?;
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
async fn fill(path: &Path) -> Result<(), OpenError> {
    let mut connection = connection::writing(path)
        .pragma("synchronous", "OFF")
        .connect()
        .await
        .map_err(sqlite_error(path))?;
    set_wal(&mut connection, path).await?;
    migrate(&mut connection, path).await?;
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
        let path = path.to_owned();
        return Err(OpenError::NotOurs { path });
    }
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(connection)
        .await
        .map_err(sqlite_error(path))?;
    if verdict != "ok" {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
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

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max();
    let known = known.unwrap_or(0);
    MIGRATIONS.run(connection).await.map_err(|source| {
        let path = path.to_owned();
        let (MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version)) =
            source
        else {
            return OpenError::Migrate { path, source };
        };
        if version > known {
            OpenError::Newer {
                path,
                version,
                known,
            }
        } else {
            OpenError::OtherSchema { path, version }
        }
    })
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { path, source }
}

/// Tells damage and strange files, which need a person, from other failures (sqlite: `rescode.html`).
pub(crate) fn sqlite_error(path: &Path) -> impl FnOnce(sqlx::Error) -> OpenError {
    let path = path.to_owned();
    move |source| {
        let error = source.as_database_error();
        let code = error.and_then(|error| error.code()?.parse::<i32>().ok());
        match (code.map(|code| code & 0xff), error) {
            (Some(11), Some(error)) => OpenError::Damaged {
                detail: error.message().to_owned(),
                path,
            },
            (Some(26), _) => OpenError::NotOurs { path },
            _ => OpenError::Sqlite { path, source },
        }
    }
}
