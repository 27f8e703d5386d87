//! End-to-end tests: the real binary, real pods. They need root and say so where they have it not.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

mod access;
mod bad_input;
mod cleanup;
mod collection;
mod command_line;
mod failures;
mod images;
mod isolation;
mod observe;
mod once;
mod openapi;
mod published;
mod recovering;
mod recovery;
mod relocation;
mod resources;
mod restart;
mod scarcity;
mod unable;
mod verbs;
mod versions;
mod weather;

/// A file of this package.
fn data(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name)
}

/// A pod definition from a file.
fn definition(path: &std::path::Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Definitions for users to begin with.
fn examples() -> Vec<std::path::PathBuf> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "there are no examples");
    paths
}
