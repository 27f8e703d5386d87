//! Launches that must fail, with a message that names the cause, and leave nothing behind.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use model::state::{Reason, TaskState::*};
use runtime::launch::ContainerLaunch;

use crate::support::*;

/// Launches a container that `change` makes impossible beside one that is fine.
fn check(name: &str, message: &str, change: impl FnOnce(&mut ContainerLaunch)) {
    let mut bed = Bed::new("failure");
    bed.script("fine", "echo ran");
    change(bed.script("bad", "echo ran"));
    let run = bed.spawn();
    let pid = run.pid();
    let updates = run.finish();
    let bad = last(&updates, "bad");
    assert_eq!(
        (bad.state, bad.reason),
        (Failed, Some(Reason::ContainerLaunchFailed)),
        "{name}: {updates:?}"
    );
    assert!(bad.message.contains(message), "{name}: {}", bad.message);
    let fine = last(&updates, "fine");
    assert_eq!(
        (fine.state, fine.reason),
        (Killed, Some(Reason::GroupMemberEnded)),
        "{name}: {updates:?}"
    );
    assert!(
        !states(&updates, "fine").contains(&Running),
        "{name}: {updates:?}"
    );
    let stdout = bed.launch.sandbox.join("containers/fine/stdout");
    assert_eq!(
        fs::read_to_string(stdout).unwrap_or_default(),
        "",
        "{name}: nothing was started"
    );
    assert_eq!(mounts_below(&bed.launch.run_dir), 0, "{name}");
    assert!(!Path::new(&format!("/proc/{pid}/root")).exists(), "{name}");
}

fn argv(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn impossible_containers_are_found_at_create() {
    if !is_root() {
        return;
    }
    check(
        "command",
        "command 'foo' not found in PATH '/usr/bin:/bin'",
        |container| {
            container.argv = argv(&["foo"]);
        },
    );
    check(
        "path",
        "command '/no/such/file' does not exist",
        |container| {
            container.argv = argv(&["/no/such/file"]);
        },
    );
    check(
        "mode",
        "command '/etc/passwd' is not executable",
        |container| {
            container.argv = argv(&["/etc/passwd"]);
        },
    );
    check("directory", "command '/etc' is not a file", |container| {
        container.argv = argv(&["/etc"]);
    });
    check(
        "cwd",
        "working directory '/no/such/dir' does not exist",
        |container| {
            container.cwd = "/no/such/dir".into();
        },
    );
    check(
        "cwd is a file",
        "working directory '/etc/passwd' is not a directory",
        |container| {
            container.cwd = "/etc/passwd".into();
        },
    );
    check("user", "no user 'nobody-of-that-name'", |container| {
        container.user = Some("nobody-of-that-name".to_owned());
    });
    check(
        "script",
        "the interpreter '/no/such/shell' of command",
        |container| {
            let file = container.sandbox.join("script");
            fs::write(&file, "#!/no/such/shell\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            container.argv = argv(&[&file.display().to_string()]);
        },
    );
    check("private file", "is not executable", |container| {
        let file = container.sandbox.join("private");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        container.argv = argv(&[&file.display().to_string()]);
        container.user = Some("1234".to_owned());
    });
    check("volume", "/no/such/source", |container| {
        container.mounts.push(runtime::launch::VolumeBind {
            source: "/no/such/source".into(),
            destination: "/mnt".into(),
            read_only: false,
        });
    });
}

#[test]
fn a_file_that_is_no_program_fails_the_pod() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("format");
    bed.script("fine", "while :; do sleep 0.02; done");
    let container = bed.script("bad", "");
    let file = container.sandbox.join("noise");
    fs::write(&file, "\u{1}\u{2}\u{3}").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    container.argv = argv(&[&file.display().to_string()]);
    let updates = bed.spawn().finish();
    let bad = last(&updates, "bad");
    assert_eq!(
        (bad.state, bad.reason),
        (Failed, Some(Reason::ContainerLaunchFailed))
    );
    assert!(
        bad.message
            .contains("neither a program for this machine nor a script"),
        "{bad:?}"
    );
    assert_eq!(last(&updates, "fine").state, Killed);
    assert!(
        !states(&updates, "fine").contains(&Running),
        "running is told of all or none"
    );
}

#[test]
fn a_group_executable_is_found_by_its_owner() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("owner");
    let container = bed.script("a", "");
    let file = container.sandbox.join("true");
    fs::copy("/bin/busybox", &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(4321)).unwrap();
    container.argv = argv(&[&file.display().to_string()]);
    container.user = Some("1234:4321".to_owned());
    let updates = bed.spawn().finish();
    assert_eq!(last(&updates, "a").state, Finished, "{updates:?}");
}

#[test]
fn a_create_that_takes_too_long_is_given_up() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("timeout");
    bed.launch.create_timeout_ms = 0;
    bed.script("a", "echo ran");
    bed.script("b", "echo ran");
    let updates = bed.spawn().finish();
    let ends = [last(&updates, "a"), last(&updates, "b")];
    let failed = ends.iter().find(|update| update.state == Failed).unwrap();
    assert!(failed.message.contains("not created within"), "{failed:?}");
}

#[test]
fn surroundings_that_cannot_be_made_fail_the_pod() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("surroundings");
    bed.launch.hostname = Some("h".repeat(100));
    bed.script("a", "echo ran");
    bed.script("b", "echo ran");
    let updates = bed.spawn().finish();
    for name in ["a", "b"] {
        assert_eq!(states(&updates, name), [Starting, Failed]);
        assert!(
            last(&updates, name).message.contains("set the host name"),
            "{updates:?}"
        );
    }
}

#[test]
fn a_message_of_another_version_launches_nothing() {
    if !is_root() {
        return;
    }
    let mut bed = Bed::new("version");
    bed.launch.version = 99;
    bed.script("a", "echo ran");
    let mut run = bed.spawn();
    let status = run.child.wait().unwrap();
    assert!(!status.success());
    assert!(
        run.log().contains("launch message of version 99"),
        "{}",
        run.log()
    );
    assert!(!run.run_dir.journal().exists());
}
