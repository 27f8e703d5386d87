//! The committed query data is what the migrations and the code say.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, SqlSafeStr, SqliteConnection};

fn root() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap()
}

fn read_files(directory: &Path, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
    files
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

/// That no query lacks its file is the build's own check.
#[tokio::test]
async fn query_data_is_fresh() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::migrate!("../../migrations")
        .run(&mut connection)
        .await
        .unwrap();
    let sources = read_files(&root().join("crates/store/src"), "rs").concat();
    let files = read_files(&root().join(".sqlx"), "json");
    assert!(!files.is_empty());
    for file in files {
        let data: Value = serde_json::from_str(&file).unwrap();
        let sql = data["query"].as_str().unwrap();
        let now = (&mut connection)
            .describe(AssertSqlSafe(sql.to_owned()).into_sql_str())
            .await
            .unwrap();
        let now = serde_json::to_value(now).unwrap();
        assert_eq!(now, data["describe"], "run `make db`: {sql}");
        assert!(sources.contains(sql), "run `make db`, no code has: {sql}");
    }
}
