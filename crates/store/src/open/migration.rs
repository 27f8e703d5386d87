//! Bringing a database of an earlier monopod to the present schema: a backup first, then all steps or none.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

use super::{Backups, OpenError, beside, parent, sqlite_error};

/// How many backups are kept; the oldest go.
pub const BACKUPS_KEPT: usize = 5;

/// Brings the database to the last schema that `migrator` knows. One that has content is copied first.
///
/// All steps are one transaction: one that fails leaves the database as the earlier version wrote it.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    migrator: &Migrator,
) -> Result<(), OpenError> {
    let known = migrator.iter().map(|migration| migration.version).max();
    let known = known.unwrap_or(0);
    if let Some(found) = schema_version(connection, path).await?
        && found < known
    {
        back_up(connection, path, known).await?;
    }
    let mut whole = connection.begin().await.map_err(sqlite_error(path))?;
    if let Err(source) = migrator.run(&mut *whole).await {
        // Dropping it would do the same, but only at the connection's next use.
        whole.rollback().await.map_err(sqlite_error(path))?;
        return Err(migrate_error(path, known, source));
    }
    whole.commit().await.map_err(sqlite_error(path))
}

/// The last schema that the database went through; `None` for a new one.
async fn schema_version(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Option<i64>, OpenError> {
    let sql =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'";
    let tables: i64 = sqlx::query_scalar(sql)
        .fetch_one(&mut *connection)
        .await
        .map_err(sqlite_error(path))?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(sqlite_error(path))
}

/// Copies the database whole, log included, to a file that gets its name only once it is on the disk.
async fn back_up(
    connection: &mut SqliteConnection,
    path: &Path,
    known: i64,
) -> Result<(), OpenError> {
    let backup = beside(path, &format!(".before-{known}.bak"));
    let failed = |source| OpenError::Backup {
        path: path.to_owned(),
        backup: backup.clone(),
        source,
    };
    let fresh = beside(path, ".backup.new");
    prepare(&fresh).map_err(|error| failed(error.into()))?;
    let sql = format!("VACUUM INTO '{}'", quoted(&fresh));
    let copied = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    let finished = copied.map_err(failed).and_then(|_| {
        finish(&fresh, &backup)
            .and_then(|()| drop_oldest(path, &backup))
            .map_err(|error| failed(error.into()))
    });
    if finished.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    finished
}

/// An empty file that nobody else may read; SQLite takes it over.
fn prepare(fresh: &Path) -> io::Result<()> {
    match fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(fresh)?;
    Ok(())
}

fn finish(fresh: &Path, backup: &Path) -> io::Result<()> {
    File::open(fresh)?.sync_all()?;
    fs::rename(fresh, backup)?;
    File::open(parent(backup))?.sync_all()
}

fn quoted(path: &Path) -> String {
    path.display().to_string().replace('\'', "''")
}

/// Keeps the newest, the one that was just made among them.
fn drop_oldest(path: &Path, made: &Path) -> io::Result<()> {
    let mut backups = backups(path);
    backups.retain(|backup| backup != made);
    let surplus = (backups.len() + 1).saturating_sub(BACKUPS_KEPT);
    backups.drain(..surplus).try_for_each(fs::remove_file)
}

/// The backups beside the database at `path`, oldest first. Those that cannot be looked at are left out.
pub(super) fn backups(path: &Path) -> Vec<PathBuf> {
    let prefix = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let prefix = format!("{}.before-", prefix.unwrap_or_default());
    let entries = fs::read_dir(parent(path)).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(&prefix) && name.ends_with(".bak")
        })
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn migrate_error(path: &Path, known: i64, source: MigrateError) -> OpenError {
    let path = path.to_owned();
    let (MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version)) = source
    else {
        return OpenError::Migrate { path, source };
    };
    if version <= known {
        return OpenError::OtherSchema { path, version };
    }
    OpenError::Newer {
        backups: Backups::of(&path),
        path,
        version,
        known,
    }
}
