//! The programs that tests run: `monopod`, and the probe.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The `monopod` under test.
///
/// # Panics
/// It cannot be built.
pub fn monopod() -> &'static Path {
    static MONOPOD: OnceLock<PathBuf> = OnceLock::new();
    MONOPOD.get_or_init(|| match std::env::var_os("MONOPOD_BIN") {
        Some(path) => PathBuf::from(path),
        None => build_monopod(),
    })
}

/// Builds it in the tests' own target directory, where it is usually up to date.
fn build_monopod() -> PathBuf {
    let directory = profile_directory();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "monopod",
        "--bin",
        "monopod",
    ]);
    if directory.ends_with("release") {
        command.arg("--release");
    }
    command.arg("--target-dir").arg(directory.parent().unwrap());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = command.status().is_ok_and(|status| status.success());
    assert!(
        built,
        "monopod could not be built: set MONOPOD_BIN, or see what `cargo build -p monopod` says"
    );
    directory.join("monopod")
}

/// `target/debug`, say.
fn profile_directory() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    executable
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .to_owned()
}

/// The static probe program: the one that `MONOPOD_PROBE` names, or built here.
///
/// # Panics
/// There is no C compiler.
pub fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        if let Some(path) = std::env::var_os("MONOPOD_PROBE") {
            return PathBuf::from(path);
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("probe/probe.c");
        let probe = profile_directory().join("e2e-probe");
        let made = |path: &Path| {
            path.metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
        };
        if made(&probe) > made(&source) {
            return probe;
        }
        // Under a name of its own first: other test processes build it too.
        let fresh = probe.with_extension(std::process::id().to_string());
        let status = Command::new("cc")
            .args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&fresh)
            .arg(&source)
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "cc could not build the probe"
        );
        std::fs::rename(&fresh, &probe).unwrap();
        probe
    })
}
