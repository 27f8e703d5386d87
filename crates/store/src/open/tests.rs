//! Migrations that do not exist yet, on databases that do.

use sqlx::{
    AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration, MigrationType},
};

use super::*;

/// The real migrations and these after them.
fn with_later(steps: &[&str]) -> Migrator {
    let mut migrations: Vec<Migration> = MIGRATIONS.iter().cloned().collect();
    for (version, sql) in (1001..).zip(steps) {
        let sql = AssertSqlSafe((*sql).to_owned()).into_sql_str();
        let kind = MigrationType::Simple;
        migrations.push(Migration::new(version, "later".into(), kind, sql, false));
    }
    Migrator::with_migrations(migrations)
}

/// A database with a row, closed.
async fn make(path: &Path) {
    let mut connection = open(path).await.unwrap();
    sqlx::raw_sql("INSERT INTO settings VALUES ('agent_id', 'kept')")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn agent_id(connection: &mut SqliteConnection) -> String {
    sqlx::query_scalar("SELECT value FROM settings WHERE key = 'agent_id'")
        .fetch_one(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_backup_is_made_before_the_schema_changes_and_works_with_the_version_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("monopod.db");
    make(&path).await;
    assert_eq!(migration::backups(&path).len(), 0, "a new one needs none");
    let later = with_later(&["ALTER TABLE settings ADD COLUMN note TEXT"]);
    let mut connection = open_with(&path, &later).await.unwrap();
    sqlx::raw_sql("UPDATE settings SET note = 'new'")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let backups = migration::backups(&path);
    assert_eq!(backups, [beside(&path, ".before-1001.bak")]);
    let mode = fs::metadata(&backups[0]).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o600);
    let error = open(&path).await.unwrap_err();
    let name = backups[0].display().to_string();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    // What the message says.
    fs::rename(&path, directory.path().join("away")).unwrap();
    fs::copy(&backups[0], &path).unwrap();
    let mut connection = open(&path).await.unwrap();
    assert_eq!(agent_id(&mut connection).await, "kept");
}

#[tokio::test]
async fn steps_that_fail_leave_what_the_version_before_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("monopod.db");
    make(&path).await;
    let failing = with_later(&[
        "CREATE TABLE fine (x)",
        "DELETE FROM settings; CREATE TABLE pods (x)",
    ]);
    for _ in 0..2 {
        let error = open_with(&path, &failing).await.unwrap_err();
        assert!(matches!(error, OpenError::Migrate { .. }), "{error}");
        assert!(error.to_string().contains("nothing was changed"), "{error}");
    }
    let mut connection = open(&path).await.unwrap();
    assert_eq!(agent_id(&mut connection).await, "kept");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'fine'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(tables, 0);
    connection.close().await.unwrap();
    let names = fs::read_dir(directory.path()).unwrap();
    assert_eq!(names.count(), 2, "the database and one backup");
}

#[tokio::test]
async fn backups_are_bounded_and_the_newest_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("monopod.db");
    make(&path).await;
    let step = "UPDATE settings SET value = value";
    for count in 1..=BACKUPS_KEPT + 2 {
        let later = with_later(&vec![step; count]);
        let connection = open_with(&path, &later).await.unwrap();
        connection.close().await.unwrap();
    }
    let backups = migration::backups(&path);
    assert_eq!(backups.len(), BACKUPS_KEPT);
    let newest = beside(&path, &format!(".before-{}.bak", 1000 + BACKUPS_KEPT + 2));
    assert!(backups.contains(&newest), "{backups:?}");
}

#[tokio::test]
async fn without_a_backup_nothing_is_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("monopod.db");
    make(&path).await;
    // Something that is no file has the name.
    fs::create_dir(beside(&path, ".backup.new")).unwrap();
    let later = with_later(&["DELETE FROM settings"]);
    let error = open_with(&path, &later).await.unwrap_err();
    assert!(matches!(error, OpenError::Backup { .. }), "{error}");
    let mut connection = open(&path).await.unwrap();
    assert_eq!(agent_id(&mut connection).await, "kept");
}
