use super::*;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: probes need root");
    }
    root
}

#[test]
fn probes_leave_this_process_and_the_directory_as_they_were() {
    if !is_root() {
        return;
    }
    let before = |kind: Namespace| fs::read_link(format!("/proc/self/ns/{}", kind.as_str()));
    let namespaces = || Namespace::ALL.map(|kind| before(kind).unwrap());
    let at_first = namespaces();
    for kind in Namespace::ALL {
        namespace(kind).unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    }
    let directory = tempfile::tempdir().unwrap();
    // Whether this host can do it is not the point here.
    let _ = (
        overlay(directory.path()),
        create_link(Link::Veth),
        use_nftables(),
    );
    assert_eq!(namespaces(), at_first);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    let mounts = crate::mountinfo::read().unwrap();
    let below =
        |mount: &crate::mountinfo::MountEntry| mount.mount_point.starts_with(directory.path());
    assert!(!mounts.iter().any(below));
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let missing = overlay(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    pidfd().unwrap();
    inotify().unwrap();
}
