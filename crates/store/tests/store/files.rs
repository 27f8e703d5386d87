//! The file: how it is made, and what is refused and left alone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use model::record::Record;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use store::{Durability, OpenError, Store, StoreError};

use crate::samples::{fresh, fresh_store, pod_id, version};

/// A closed database with some content.
async fn make(path: &Path) {
    let store = Store::open(path).await.unwrap();
    let records: Vec<_> = (1..40).map(|v| Record::PodVersion(version(0, v))).collect();
    store.commit(&records, Durability::Full).await.unwrap();
    store.close().await.unwrap();
}

async fn run_sql(path: &Path, sql: &str) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Opening must fail with a message that has `words`, and must leave the file as it is.
async fn check_refused(path: &Path, words: &str) {
    let before = fs::read(path).ok();
    let error = Store::open(path).await.unwrap_err();
    assert!(error.to_string().contains(words), "{words}: {error}");
    assert_eq!(fs::read(path).ok(), before, "{words}: the file changed");
}

#[tokio::test]
async fn makes_private_files_and_nothing_else() {
    let (directory, path) = fresh();
    let store = Store::open(&path).await.unwrap();
    let record = Record::PodVersion(version(0, 1));
    store.commit(&[record], Durability::Full).await.unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().mode() & 0o7777,
            0o600,
            "{entry:?}"
        );
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["monopod.db", "monopod.db-shm", "monopod.db-wal"]);
    store.close().await.unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn begins_again_where_a_creation_was_interrupted() {
    let (directory, path) = fresh();
    let workshop = directory.path().join("monopod.db.new");
    fs::create_dir(&workshop).unwrap();
    fs::write(workshop.join("monopod.db"), "half").unwrap();
    Store::open(&path).await.unwrap();
    assert!(!workshop.exists());
}

#[tokio::test]
async fn damaged_and_foreign_files_are_refused() {
    let (_directory, path) = fresh();
    for content in [&b""[..], b"short", &[0; 4096], &[0xa5; 70_000]] {
        fs::write(&path, content).unwrap();
        let words = if content.is_empty() {
            "it is empty"
        } else {
            "no database of monopod"
        };
        check_refused(&path, words).await;
    }

    let (_directory, path) = fresh();
    make(&path).await;
    let whole = fs::read(&path).unwrap();
    for length in [whole.len() - 4096, whole.len() / 2, 4096, 512] {
        fs::write(&path, &whole[..length]).unwrap();
        check_refused(&path, "it is damaged").await;
    }
    let mut scribbled = whole.clone();
    scribbled[4096..].fill(0x5a);
    fs::write(&path, scribbled).unwrap();
    check_refused(&path, "it is damaged").await;
    fs::write(&path, whole).unwrap();
    Store::open(&path).await.unwrap();

    let (_directory, path) = fresh();
    run_sql(&path, "CREATE TABLE diary (day TEXT)").await;
    check_refused(&path, "no database of monopod").await;
}

#[tokio::test]
async fn other_schemas_are_refused() {
    let cases = [
        (
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (9999, 'future', TRUE, x'00', 0)",
            "install that version again",
        ),
        (
            "UPDATE _sqlx_migrations SET checksum = x'00'",
            "is not this monopod's",
        ),
    ];
    for (sql, words) in cases {
        let (_directory, path) = fresh();
        make(&path).await;
        run_sql(&path, sql).await;
        check_refused(&path, words).await;
    }
}

/// What the release before left: two pods, and the history of one that was removed.
#[tokio::test]
async fn a_database_of_the_first_schema_is_backed_up_and_brought_to_the_present_one() {
    let (directory, path) = fresh();
    let earlier = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schema-1.db");
    fs::copy(&earlier, &path).unwrap();
    let store = Store::open(&path).await.unwrap();
    let saved = store.load().await.unwrap();
    store.close().await.unwrap();
    let pods: Vec<_> = saved.pods.iter().map(|pod| pod.id.to_string()).collect();
    assert_eq!(pods, ["/ends", "/waits"]);
    assert_eq!(saved.instances.len(), 3);
    assert_eq!(saved.deployments.len(), 1);
    let ends: Vec<_> = saved
        .terminations
        .iter()
        .map(|end| end.pod.to_string())
        .collect();
    assert_eq!(ends, ["/ends"], "the history of a removed pod went with it");
    let removed: Vec<_> = saved.removed.iter().map(|row| row.pod.as_str()).collect();
    assert_eq!(
        removed,
        ["/fails"],
        "its versions are known to be those of a removed pod"
    );
    let mut backups: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "bak"))
        .collect();
    let backup = backups.pop().unwrap();
    assert!(backups.is_empty(), "{backups:?}");
    fs::remove_file(&path).unwrap();
    fs::rename(&backup, &path).unwrap();
    let store = Store::open(&path).await.unwrap();
    assert_eq!(
        store.load().await.unwrap(),
        saved,
        "the backup serves again"
    );
}

#[tokio::test]
async fn a_page_that_was_overwritten_by_another_is_refused() {
    let (_directory, path) = fresh();
    make(&path).await;
    let whole = fs::read(&path).unwrap();
    let page = 4096;
    let pages = whole.len() / page;
    let mut refused = 0;
    for target in 1..pages {
        let mut mixed = whole.clone();
        let source = (target + 1) % pages;
        mixed.copy_within(source * page..(source + 1) * page, target * page);
        fs::write(&path, &mixed).unwrap();
        // One free or empty page in the place of another is no damage.
        refused += u32::from(Store::open(&path).await.is_err());
        let _ = fs::remove_file(path.with_extension("db-wal"));
        let _ = fs::remove_file(path.with_extension("db-shm"));
    }
    assert!(refused > 0, "{pages} pages");
}

#[tokio::test]
async fn a_copy_without_its_log_is_what_was_checkpointed_or_refused() {
    let (directory, path) = fresh();
    let store = Store::open(&path).await.unwrap();
    let versions: Vec<_> = (1..40).map(|v| Record::PodVersion(version(0, v))).collect();
    store.commit(&versions, Durability::Full).await.unwrap();
    store.checkpoint().await.unwrap();
    let later: Vec<_> = (40..60)
        .map(|v| Record::PodVersion(version(0, v)))
        .collect();
    store.commit(&later, Durability::Full).await.unwrap();
    let copies = directory.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copy = copies.join("monopod.db");
    fs::copy(&path, &copy).unwrap();
    let copied = Store::open(&copy).await.unwrap();
    assert_eq!(copied.versions(&pod_id(0)).await.unwrap().len(), 39);
}

#[tokio::test]
async fn what_cannot_be_opened_for_writing_says_what_to_look_at() {
    let (_directory, path) = fresh();
    fs::create_dir(&path).unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("mounted read-only"), "{error}");
}

#[tokio::test]
async fn a_log_without_its_database_is_refused() {
    let (directory, path) = fresh();
    fs::write(directory.path().join("monopod.db-wal"), "log").unwrap();
    check_refused(&path, "its log").await;
}

#[tokio::test]
async fn the_directory_must_be_there_and_its_owners_own() {
    let (directory, path) = fresh();
    let absent = directory.path().join("absent/monopod.db");
    check_refused(&absent, "make it, or point --state-dir").await;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    check_refused(&path, "(mode 777)").await;
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(
        error,
        OpenError::DirectoryMode { mode: 0o777, .. }
    ));
}

#[tokio::test]
async fn a_backup_that_lost_its_journal_mode_opens() {
    let (directory, path) = fresh();
    make(&path).await;
    let copy = directory.path().join("copy.db");
    run_sql(&path, &format!("VACUUM INTO '{}'", copy.display())).await;
    let store = Store::open(&copy).await.unwrap();
    assert_eq!(store.versions(&pod_id(0)).await.unwrap().len(), 39);
    let record = Record::PodVersion(version(0, 99));
    store.commit(&[record], Durability::Full).await.unwrap();
    assert!(store.wal_size_bytes().unwrap() > 0, "not in WAL mode");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (_directory, store) = fresh_store().await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let record = Record::PodVersion(version(0, 1));
    let results = [
        store.commit(&[record], Durability::Full).await.err(),
        store.load().await.err(),
        store.versions(&pod_id(0)).await.err(),
    ];
    for error in results {
        assert!(matches!(error, Some(StoreError::Closed)), "{error:?}");
    }
}
