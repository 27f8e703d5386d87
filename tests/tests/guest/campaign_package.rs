//! A package of a higher version is installed while pods run, and then everything is purged.

use std::collections::BTreeSet;

use e2e::{
    guest,
    guest::{Guest, marked_pod},
};
use serde_json::Value;

/// Everything that a program can leave on a host, one thing a line: files, but for those that each boot, dpkg and
/// journald write anyway; processes, mounts, cgroups, links, firewall tables, users and groups.
const INVENTORY: &str = r"
find / /run -xdev \( -path /proc -o -path /sys -o -path /dev -o -path '/run/udev' -o -path '/run/systemd' -o -path /var/log/journal \
    -o -path /var/lib/dpkg -o -path /var/log/dpkg.log -o -path /var/lib/systemd -o -path /var/cache -o -path /tmp -o -path '/run/user' -o -path /var/tmp \) -prune -o -printf 'file %p\n'
ls /var/lib/dpkg/info | sed 's/^/file /'
ps -e -o comm= | grep -vE '^(kworker|ps|find|sort|bash|sed|grep|cut|ls|ip|nft|sleep|kcompactd)' | sed 's/^/process /'
cut -d' ' -f5 /proc/self/mountinfo | sed 's/^/mount /'
find /sys/fs/cgroup -type d -name '*monopod*' | sed 's/^/cgroup /'
ip -o link | cut -d' ' -f2 | sed 's/^/link /'
nft list tables | sed 's/^/table /'
cut -d: -f1 /etc/group | sed 's/^/group /'
cut -d: -f1 /etc/passwd | sed 's/^/user /'
";

fn inventory(guest: &Guest) -> BTreeSet<String> {
    guest.check(INVENTORY).lines().map(str::to_owned).collect()
}

fn keeper(guest: &Guest) -> Value {
    serde_json::from_str(&guest.read("/run/monopod/keeper.json")).unwrap()
}

#[test]
#[ignore = "a campaign of some minutes: make soak"]
fn an_upgrade_touches_no_container_and_a_purge_leaves_nothing() {
    let guest = guest!();
    // What is only loaded when it is needed is there before.
    guest.check("nft list tables; modprobe overlay; systemctl daemon-reload");
    let before = inventory(&guest);
    guest.install_package("0.1.1");
    guest.import_probe();
    guest.add(&marked_pod("/web", 2, "kept"));
    guest.wait_until_stable("/web");
    let containers = guest.containers();
    assert!(containers.len() >= 4, "{containers:?}");
    let (daemon, kept) = (guest.daemon_pid(), keeper(&guest));

    guest.install_package("0.1.2");
    assert_eq!(
        guest.check("dpkg-query -W -f '${Version}' monopod"),
        "0.1.2"
    );
    guest.wait_until_stable("/web");
    assert_eq!(guest.containers(), containers, "after the upgrade");
    assert_ne!(guest.daemon_pid(), daemon, "the daemon is the new one");
    let upgraded = keeper(&guest);
    assert_eq!(upgraded["pid"], kept["pid"]);
    let executions = |record: &Value| record["executions"].as_u64().unwrap();
    assert_eq!(executions(&upgraded), executions(&kept) + 1, "{upgraded}");

    guest.check("rm -f /var/tmp/probe.tar; dpkg --purge monopod");
    let after = inventory(&guest);
    let left: Vec<_> = after.difference(&before).collect();
    assert!(left.is_empty(), "left behind: {left:#?}");
    let gone: Vec<_> = before.difference(&after).collect();
    let lost = gone.iter().filter(|thing| !thing.starts_with("process "));
    assert_eq!(lost.count(), 0, "taken along: {gone:#?}");
}
