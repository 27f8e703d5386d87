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
    PROBE.get_or_init(|| match std::env::var_os("MONOPOD_PROBE") {
        Some(path) => PathBuf::from(path),
        None => compile("probe/probe.c", "e2e-probe", &["-static"]),
    })
}

/// The library that makes bad weather when it is preloaded.
///
/// # Panics
/// There is no C compiler.
pub fn weather() -> &'static Path {
    static WEATHER: OnceLock<PathBuf> = OnceLock::new();
    WEATHER.get_or_init(|| compile("weather/weather.c", "e2e-weather.so", &["-shared", "-fPIC"]))
}

/// Compiles a C file of this package, unless that is done already.
fn compile(source: &str, name: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let product = profile_directory().join(name);
    let made = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    if made(&product) > made(&source) {
        return product;
    }
    // Under a name of its own first: other test processes build it too.
    let fresh = product.with_extension(std::process::id().to_string());
    let status = Command::new("cc")
        .args(flags)
        .args(["-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&fresh)
        .arg(&source)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "cc could not build {name}"
    );
    std::fs::rename(&fresh, &product).unwrap();
    product
}
