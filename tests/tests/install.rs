//! `make install` and `make uninstall`, into a directory.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs a target of the Makefile with what was built for this test.
fn make(target: &str, destination: &Path, stage: &Path) {
    let profile = match e2e::binary::monopod().parent().and_then(Path::file_name) {
        Some(name) if name == "release" => "release",
        _ => "dev",
    };
    let output = Command::new("make")
        .args(["--no-print-directory", target, "NO_BUILD=1"])
        .arg(format!("PROFILE={profile}"))
        .arg(format!("DESTDIR={}", destination.display()))
        .arg(format!("STAGE={}", stage.display()))
        .arg("PREFIX=/opt/monopod")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .unwrap();
    assert!(output.status.success(), "make {target}: {output:?}");
}

/// Modes and paths of all files below a directory.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut unread = vec![directory.to_owned()];
    while let Some(next) = unread.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                unread.push(path);
                continue;
            }
            let mode = metadata.permissions().mode() & 0o7777;
            let path = path.strip_prefix(directory).unwrap().display();
            found.push(format!("{mode:o} /{path}"));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_installed_is_uninstalled_but_for_the_configuration() {
    let place = tempfile::tempdir().unwrap();
    let (destination, stage) = (place.path().join("root"), place.path().join("stage"));
    make("install", &destination, &stage);
    let expected = [
        "644 /etc/monopod/monopod.toml",
        "644 /opt/monopod/lib/systemd/system/monopod-pods.service",
        "644 /opt/monopod/lib/systemd/system/monopod.service",
        "644 /opt/monopod/share/bash-completion/completions/monopod",
        "644 /opt/monopod/share/fish/vendor_completions.d/monopod.fish",
        "644 /opt/monopod/share/zsh/site-functions/_monopod",
        "755 /opt/monopod/bin/monopod",
    ];
    assert_eq!(files(&destination), expected);

    let read = |path: &str| fs::read_to_string(destination.join(path)).unwrap();
    for unit in ["monopod", "monopod-pods"] {
        let text = read(&format!("opt/monopod/lib/systemd/system/{unit}.service"));
        assert!(
            text.contains("ExecStart=/opt/monopod/bin/monopod "),
            "{text}"
        );
        assert!(!text.contains("/usr/bin/monopod"), "{text}");
    }
    let completions = read("opt/monopod/share/bash-completion/completions/monopod");
    assert!(completions.contains("monopod"));
    let version = Command::new(destination.join("opt/monopod/bin/monopod"))
        .arg("--version")
        .output();
    assert!(version.unwrap().status.success());

    // What somebody configured stays through an upgrade and a removal.
    let configuration = destination.join("etc/monopod/monopod.toml");
    fs::write(&configuration, "# mine\n").unwrap();
    make("install", &destination, &stage);
    assert_eq!(
        files(&destination),
        expected,
        "a second time changes nothing"
    );
    make("uninstall", &destination, &stage);
    assert_eq!(files(&destination), ["644 /etc/monopod/monopod.toml"]);
    assert_eq!(fs::read_to_string(configuration).unwrap(), "# mine\n");
}
