//! The shortest walk through a user's host: install, run pods, restart, kill, a power cut.

use std::collections::BTreeSet;

use e2e::{guest, guest::marked_pod, pods};

#[test]
fn pods_survive_restart_kill_and_power_cut() {
    let mut guest = guest!();
    guest.install();
    guest.import_probe();
    guest.add(&marked_pod("/web", 2, "first"));
    guest.add(&pods::pod(
        "/host",
        &[pods::shell_container(
            "c",
            "echo on $(cat /etc/hostname); exec sleep 100000",
        )],
    ));
    guest.wait_until_stable("/web");
    guest.wait_until_stable("/host");
    let said = "monopod pod logs /host | grep -q 'on guest'";
    guest.wait_until("a container says what it sees", guest::SOON, said);
    let containers = guest.containers();
    assert!(containers.len() >= 5, "{containers:?}");

    let first = guest.daemon_pid();
    guest.check("systemctl restart monopod");
    guest.wait_until_ready();
    guest.wait_until_stable("/web");
    let second = guest.daemon_pid();
    assert_ne!(first, second);
    assert_eq!(guest.containers(), containers, "after a restart");

    guest.check(&format!("kill -9 {second}"));
    let another =
        format!("p=$(systemctl show -P MainPID monopod); [ $p != 0 ] && [ $p != {second} ]");
    guest.wait_until("systemd brings the daemon back", guest::SOON, &another);
    guest.wait_until_ready();
    guest.wait_until_stable("/web");
    assert_eq!(guest.containers(), containers, "after a kill");

    let before = guest.boot_id();
    guest.add(&marked_pod("/late", 1, "acknowledged"));
    guest.power_cut();
    guest.boot();
    assert_ne!(guest.boot_id(), before);
    guest.wait_until_ready();
    let mut found = guest.pods();
    found.sort();
    let expected = [
        ("/host", 1, ""),
        ("/late", 1, "acknowledged"),
        ("/web", 2, "first"),
    ];
    assert_eq!(
        found,
        expected.map(|(id, n, marker)| (id.to_owned(), n, marker.to_owned()))
    );
    let mut known = BTreeSet::new();
    for (id, _, _) in &expected {
        guest.wait_until_stable(id);
        known.extend(guest.uuids(id));
    }
    assert_eq!(known.len(), 4);
    guest.wait_until_clean(&known, guest::SOON);

    for (id, _, _) in &expected {
        guest.remove(id);
    }
    guest.wait_until_clean(&BTreeSet::new(), guest::SOON);
}
