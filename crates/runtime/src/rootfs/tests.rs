//! Mounts are made by the test program itself, run again in a mount namespace of its own: see `in_namespace`.

use std::{fs, process::Command};

use super::*;

const CHILD: &str = "MONOPOD_TEST_IN_NAMESPACE";

/// Runs `test`, named by its full path, in a child with a mount namespace of its own. Skips loudly where that
/// is not possible.
fn in_namespace(name: &str, test: impl FnOnce(&Path)) {
    if std::env::var_os(CHILD).is_some() {
        let dir = PathBuf::from(std::env::var_os("MONOPOD_TEST_DIR").unwrap());
        return test(&dir);
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {name}: needs root");
        return;
    }
    let before = mountinfo::read().unwrap();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "slave"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("MONOPOD_TEST_DIR", dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
    let leaked = mountinfo::read()
        .unwrap()
        .into_iter()
        .filter(|mount| mount.mount_point.starts_with(dir.path()))
        .count();
    assert_eq!(leaked, 0, "mounts leaked; before: {before:?}");
}

fn directories(base: &Path, names: &[&str]) -> Vec<PathBuf> {
    names
        .iter()
        .map(|name| {
            let dir = base.join(name);
            fs::create_dir_all(&dir).unwrap();
            dir
        })
        .collect()
}

#[test]
fn image_layers_show_topmost_first() {
    in_namespace("rootfs::tests::image_layers_show_topmost_first", |base| {
        let long = "d".repeat(200);
        let made = directories(base, &["top", &format!("{long}/{long}/low"), "w", "t"]);
        fs::write(made[0].join("a"), "top").unwrap();
        fs::write(made[1].join("a"), "low").unwrap();
        fs::write(made[1].join("b"), "low").unwrap();
        let rootfs = Rootfs::Image {
            layers: made[..2].to_vec(),
            writable: made[2].clone(),
        };
        mount(&rootfs, &made[3], &[]).unwrap();
        let read = |name: &str| fs::read_to_string(made[3].join(name)).unwrap();
        assert_eq!((read("a").as_str(), read("b").as_str()), ("top", "low"));
        fs::write(made[3].join("b"), "changed").unwrap();
        assert_eq!(fs::read(made[1].join("b")).unwrap(), b"low");
        assert_eq!(fs::read(made[2].join("upper/b")).unwrap(), b"changed");
    });
}

#[test]
fn many_layers_mount_both_ways() {
    in_namespace("rootfs::tests::many_layers_mount_both_ways", |base| {
        let names: Vec<_> = (0..127).map(|index| format!("layer{index}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let layers = directories(base, &names);
        fs::write(layers[126].join("deepest"), "x").unwrap();
        let made = directories(base, &["w1", "t1", "w2", "t2"]);
        let rootfs = Rootfs::Image {
            layers: layers.clone(),
            writable: made[0].clone(),
        };
        mount(&rootfs, &made[1], &[]).unwrap();
        overlay::attach_as_older_kernels(&layers, &made[2], &made[3]).unwrap();
        for target in [&made[1], &made[3]] {
            assert!(target.join("deepest").exists(), "{target:?}");
        }
    });
}

#[test]
fn a_writable_layer_on_an_overlay_is_refused_with_advice() {
    let name = "rootfs::tests::a_writable_layer_on_an_overlay_is_refused_with_advice";
    in_namespace(name, |base| {
        let made = directories(base, &["low", "w", "t"]);
        let rootfs = |writable: &Path| Rootfs::Image {
            layers: vec![made[0].clone()],
            writable: writable.to_owned(),
        };
        mount(&rootfs(&made[1]), &made[2], &[]).unwrap();
        let inside = directories(&made[2], &["w", "t"]);
        let error = mount(&rootfs(&inside[0]), &inside[1], &[]).unwrap_err();
        assert!(
            matches!(error, RootfsError::WritableOnOverlay { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("host_rootfs"), "{error}");
    });
}

#[test]
fn the_hosts_root_takes_no_writes_through_an_overlay() {
    let name = "rootfs::tests::the_hosts_root_takes_no_writes_through_an_overlay";
    in_namespace(name, |base| {
        let made = directories(base, &["state/w", "state/sandbox/x", "t", "data"]);
        fs::write(base.join("state/token"), "secret").unwrap();
        let real = directories(base, &["disk"]).remove(0);
        // Stands for a disk of the host: a bind mount has the filesystem type of what it shows.
        rustix::mount::mount_bind(&made[3], &real).unwrap();
        fs::write(real.join("file"), "x").unwrap();
        let rootfs = Rootfs::HostOverlay {
            writable: made[0].clone(),
            covered: vec![base.join("state")],
        };
        mount(&rootfs, &made[2], &[base.join("state/sandbox/x")]).unwrap();
        let inside = |path: &Path| made[2].join(path.strip_prefix("/").unwrap());
        assert!(inside(Path::new("/bin/sh")).exists());
        assert!(!inside(&base.join("state/token")).exists());
        assert!(inside(&base.join("state/sandbox/x")).is_dir());
        assert!(fs::write(inside(&base.join("state/new")), "").is_err());
        assert!(inside(&real).join("file").exists());
        assert!(fs::write(inside(&real).join("new"), "").is_err());
        fs::write(inside(Path::new("/etc/monopod-test")), "x").unwrap();
        assert!(!Path::new("/etc/monopod-test").exists());
        assert_eq!(fs::read_dir(inside(Path::new("/proc"))).unwrap().count(), 0);
    });
}

#[test]
fn the_hosts_root_itself_is_read_only_or_writable() {
    let name = "rootfs::tests::the_hosts_root_itself_is_read_only_or_writable";
    in_namespace(name, |base| {
        let made = directories(base, &["state/sandbox", "ro", "rw", "free"]);
        let covered = vec![base.join("state")];
        let points = [made[0].clone()];
        let read_only = Rootfs::HostReadOnly {
            covered: covered.clone(),
        };
        mount(&read_only, &made[1], &points).unwrap();
        let inside = |target: &Path, path: &Path| target.join(path.strip_prefix("/").unwrap());
        let file = made[3].join("file");
        assert!(fs::write(inside(&made[1], &file), "x").is_err());
        mount(&Rootfs::HostReadWrite { covered }, &made[2], &points).unwrap();
        fs::write(inside(&made[2], &file), "x").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"x");
        let absent = mount(&read_only, &made[1], &["/no/such/dir".into()]).unwrap_err();
        assert!(
            matches!(absent, RootfsError::NoMountPoint { .. }),
            "{absent}"
        );
    });
}
