//! State and run directory: room, kind, permissions.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use runtime::{image::ImageStore, mountinfo, probe};

use super::{Finding, Place};

/// Less room than this is worth a warning, in bytes: a database that cannot grow stops all changes.
const LITTLE_BYTES: u64 = 1 << 30;

/// Less room than this is a failure, in bytes.
const TOO_LITTLE_BYTES: u64 = 64 << 20;

/// The same of a run directory, which holds sockets and journals only.
const LITTLE_RUN_BYTES: u64 = 16 << 20;

/// Fewer inodes than this are worth a warning.
const FEW_INODES: u64 = 10_000;

/// Looks at both directories.
pub(super) fn check(place: &Place) -> Vec<Finding> {
    let (state, run) = (&place.state_dir, &place.run_dir);
    let mut findings = vec![
        owner("state directory", state, 0o077),
        owner("run directory", run, 0o022),
        room("state disk", state, LITTLE_BYTES, TOO_LITTLE_BYTES),
        room("run disk", run, LITTLE_RUN_BYTES, LITTLE_RUN_BYTES / 16),
        token(&state.join("token")),
        kind_of_run_dir(run),
        overlay(state),
    ];
    findings.extend(images(place));
    findings
}

/// A directory that is missing is made by the daemon: no failure.
fn owner(check: &'static str, path: &Path, forbidden: u32) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Finding::fail(
            check,
            format!("{shown} is no directory"),
            "move it away, or name another directory in the configuration",
        ),
        Ok(found) if found.uid() != 0 => Finding::fail(
            check,
            format!("{shown} belongs to user {}", found.uid()),
            format!("chown root {shown}"),
        ),
        Ok(found) if found.permissions().mode() & forbidden != 0 => Finding::fail(
            check,
            format!(
                "{shown} has mode {:04o}",
                found.permissions().mode() & 0o7777
            ),
            format!("chmod {:o} {shown}", 0o755 & !forbidden),
        ),
        Ok(_) => Finding::ok(check, shown.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::ok(check, format!("{shown} is not there yet"))
        }
        Err(error) => Finding::unchecked(check, format!("{shown}: {error}")),
    }
}

fn room(check: &'static str, path: &Path, little: u64, too_little: u64) -> Finding {
    let path = present(path);
    let stat = match rustix::fs::statvfs(&path) {
        Ok(stat) => stat,
        Err(error) => return Finding::unchecked(check, format!("{}: {error}", path.display())),
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    // Some filesystems, such as btrfs, have no fixed number of inodes and tell 0.
    let few = stat.f_files > 0 && stat.f_favail < FEW_INODES;
    let found = format!(
        "{} MiB and {} inodes free at {}",
        free >> 20,
        stat.f_favail,
        path.display()
    );
    let remedy = "make room: remove pods and images that are not needed, or move the directory";
    if free < too_little || (few && stat.f_favail == 0) {
        Finding::fail(check, found, remedy)
    } else if free < little || few {
        Finding::warn(check, found, remedy)
    } else {
        Finding::ok(check, found)
    }
}

/// The path, or what is there of it.
fn present(path: &Path) -> PathBuf {
    let found = path.ancestors().find(|path| path.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

fn token(path: &Path) -> Finding {
    let check = "token";
    let shown = path.display();
    match fs::metadata(path) {
        Ok(found) if found.permissions().mode() & 0o077 != 0 || found.uid() != 0 => Finding::fail(
            check,
            format!(
                "{shown} can be read by others: user {}, mode {:04o}",
                found.uid(),
                found.permissions().mode() & 0o7777
            ),
            format!(
                "chown root {shown}; chmod 600 {shown}; then make a new one, since whoever has it is root here"
            ),
        ),
        Ok(found) if found.len() == 0 => Finding::warn(
            check,
            format!("{shown} is empty"),
            "remove it; the daemon makes one at its next start",
        ),
        Ok(_) => Finding::ok(check, format!("{shown} is root's alone")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::ok(check, format!("{shown} is not there yet"))
        }
        Err(error) => Finding::unchecked(check, format!("{shown}: {error}")),
    }
}

fn kind_of_run_dir(run: &Path) -> Finding {
    let check = "run directory's kind";
    let mounts = mountinfo::read().unwrap_or_default();
    let path = fs::canonicalize(present(run)).unwrap_or_else(|_| run.to_owned());
    let below = mounts.iter().filter(|mount| mount.covers(&path));
    // The last of those with the longest path is the one on top.
    let mount = below.max_by_key(|mount| mount.mount_point.as_os_str().len());
    match mount.map(|mount| mount.fs_type.as_str()) {
        Some("tmpfs") => Finding::ok(check, "tmpfs"),
        Some(other) => Finding::warn(
            check,
            format!("{} is on {other}", run.display()),
            "put it on a tmpfs such as /run: it must be empty after a restart of the host, and is written often",
        ),
        None => Finding::unchecked(check, "its mount was not found"),
    }
}

fn overlay(state: &Path) -> Finding {
    let check = "overlayfs";
    if !rustix::process::geteuid().is_root() {
        return Finding::unchecked(check, "only root can mount; run the doctor as root");
    }
    let directory = present(state);
    match probe::overlay(&directory) {
        Ok(()) => Finding::ok(check, format!("can be mounted on {}", directory.display())),
        Err(error) => Finding::fail(
            check,
            format!("cannot be mounted on {}: {error}", directory.display()),
            "load the module overlay; put the state directory on ext4, xfs or btrfs, not on another overlay or a network",
        ),
    }
}

/// Whether every image has what it is made of.
fn images(place: &Place) -> Option<Finding> {
    let check = "images";
    if place.held != Some(false) {
        // Opening the store would remove what an import at work has half done.
        return Some(Finding::ok(check, "the daemon looks after them"));
    }
    let root = place.state_dir.join("images");
    match root.try_exists() {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            return Some(Finding::unchecked(
                check,
                format!("{}: {error}", root.display()),
            ));
        }
    }
    let store = match ImageStore::open(&root) {
        Ok(store) => store,
        Err(error) => return Some(Finding::unchecked(check, chain(&error))),
    };
    let remedy = "import it again";
    let images = match store.list() {
        Ok(images) => images,
        Err(error) => return Some(Finding::fail(check, chain(&error), remedy)),
    };
    let broken: Vec<_> = images
        .iter()
        .filter_map(|image| store.resolve(&image.id.to_string()).err())
        .map(|error| chain(&error))
        .collect();
    Some(if broken.is_empty() {
        Finding::ok(check, format!("{} whole", images.len()))
    } else {
        Finding::fail(check, broken.join("; "), remedy)
    })
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn a_token_that_others_can_read_is_a_failure_with_a_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert_eq!(token(&path).verdict, Verdict::Ok);
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let found = token(&path);
        assert_eq!(found.verdict, Verdict::Fail);
        assert!(found.remedy.unwrap().contains("chmod 600"));
        assert!(!found.found.contains("secret"));
    }

    #[test]
    fn room_is_measured_where_the_directory_will_be() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("a/b");
        assert_eq!(present(&missing), dir.path());
        assert_eq!(room("d", &missing, 0, 0).verdict, Verdict::Ok);
        assert_eq!(room("d", &missing, u64::MAX, 0).verdict, Verdict::Warn);
        assert_eq!(
            room("d", &missing, u64::MAX, u64::MAX).verdict,
            Verdict::Fail
        );
    }
}
