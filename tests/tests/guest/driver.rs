//! The guest itself: what tests rely on.

use std::{io::ErrorKind, time::Duration};

use e2e::guest;

#[test]
fn a_guest_does_as_told_and_keeps_what_it_synced() {
    let mut guest = guest!();
    assert_eq!(guest.check("cat /proc/1/comm"), "systemd");
    assert_eq!(guest.check("stat -fc %T /sys/fs/cgroup"), "cgroup2fs");

    let outcome = guest.sh("echo out; echo err >&2; exit 7");
    let told = (outcome.status, &*outcome.stdout, &*outcome.stderr);
    assert_eq!(told, (7, "out\n", "err\n"));
    let arguments = guest.run(&["printf", "%s|", "a b", "$c", ""]);
    assert_eq!(arguments.stdout, "a b|$c||");
    assert_eq!(guest.sh("kill -9 $$").status, 137);
    assert_eq!(guest.run(&["/no/such"]).status, 127);
    let slow = guest.try_run(&["sleep", "4242"], Duration::from_secs(2));
    assert_eq!(slow.unwrap_err().kind(), ErrorKind::TimedOut);
    guest.wait_until("it is killed", guest::SOON, "! pgrep -fx 'sleep 4242'");
    assert_eq!(
        guest.sh("sleep 4343 & echo started").stdout,
        "started\n",
        "a child left behind holds nothing up"
    );

    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    guest.write(&large, "/root/new directory/large", 0o711);
    let there = guest.check("stat -c '%a %s' '/root/new directory/large'");
    assert_eq!(there, "711 12000000");
    let sum = guest.check("tail -c 4 '/root/new directory/large' | od -An -tu4");
    assert_eq!(sum.trim(), "2999999");
    assert_eq!(
        guest
            .run(&["head", "-c", "3000000", "/dev/zero"])
            .stdout
            .len(),
        3_000_000
    );
    std::thread::scope(|scope| {
        let jobs = [1, 2, 3, 4, 5].map(|n| {
            (
                n,
                scope.spawn({
                    let guest = &guest;
                    move || guest.check(&format!("sleep 1; echo {n}"))
                }),
            )
        });
        for (n, job) in jobs {
            assert_eq!(job.join().unwrap(), n.to_string());
        }
    });

    let before = guest.boot_id();
    guest.check("echo durable >/root/synced; sync; echo 3 >/proc/sys/vm/drop_caches; echo lost >/root/unsynced");
    guest.power_cut();
    guest.boot();
    assert_eq!(guest.read("/root/synced"), "durable\n");
    assert_eq!(guest.sh("cat /root/unsynced").stdout, "");
    let between = guest.boot_id();
    guest.reboot();
    let ids = std::collections::BTreeSet::from([before, between, guest.boot_id()]);
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert_eq!(guest.check("systemctl --failed --no-legend | wc -l"), "0");
}
