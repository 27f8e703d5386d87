//! The daemon is restarted and killed while requests go on; no container of any pod may notice.
//!
//! `MONOPOD_GUEST_RESTARTS` (20) and `MONOPOD_GUEST_KILLS` (30) are how often.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use e2e::{
    guest,
    guest::{Guest, marked_pod},
    random::setting,
};

/// Pods that nobody touches.
const BYSTANDERS: [&str; 2] = ["/stays/a", "/stays/b"];
/// A pod that is scaled up and down all the time.
const BUSY: &str = "/busy";
/// Nobody is there to answer for a while.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests that go on whether or not they are answered.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
    lost: AtomicU64,
}

impl Load {
    fn run(&self, guest: &Guest) {
        for turn in 0_u64.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let change = marked_pod(BUSY, turn / 4 % 2, "busy");
            let answer = match turn % 4 {
                0 => guest.request("PUT", &format!("/v2/pods{BUSY}?force=true"), Some(&change)),
                1 => guest.request("GET", "/v2/pods/::status", None),
                2 => guest.request("GET", "/v2/queue", None),
                _ => guest.request("GET", "/v2/deployments", None),
            };
            let counter = match answer {
                Ok(answer) if answer.status < 500 => &self.answered,
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{answer:?}");
                    &self.lost
                }
                Err(_) => {
                    std::thread::sleep(PAUSE);
                    &self.lost
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ends the load also when a check fails, since the scope waits for it.
struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn bystanders(guest: &Guest, uuids: &BTreeSet<String>) -> BTreeSet<String> {
    let mut containers = guest.containers();
    containers.retain(|line| uuids.iter().any(|uuid| line.contains(uuid.as_str())));
    containers
}

fn restart(guest: &Guest) {
    guest.check("systemctl restart monopod");
}

fn kill(guest: &Guest) {
    let pid = guest.daemon_pid();
    guest.check(&format!("kill -9 {pid}"));
    let another = format!("p=$(systemctl show -P MainPID monopod); [ $p != 0 ] && [ $p != {pid} ]");
    guest.wait_until("systemd brings the daemon back", guest::SOON, &another);
}

#[test]
#[ignore = "a campaign of many minutes: make soak"]
fn no_container_notices_that_the_daemon_is_restarted_or_killed() {
    let guest = guest!();
    guest.install();
    guest.import_probe();
    for id in BYSTANDERS {
        guest.add(&marked_pod(id, 2, "stays"));
    }
    guest.add(&marked_pod(BUSY, 1, "busy"));
    let mut uuids = BTreeSet::new();
    for id in BYSTANDERS {
        guest.wait_until_stable(id);
        uuids.extend(guest.uuids(id));
    }
    let before = bystanders(&guest, &uuids);
    assert!(before.len() >= 8, "{before:?}");
    let load = Load::default();
    std::thread::scope(|scope| {
        let _stop = Stop(&load);
        scope.spawn(|| load.run(&guest));
        let rounds = [
            (
                "restart",
                setting("MONOPOD_GUEST_RESTARTS", 20),
                restart as fn(&Guest),
            ),
            ("kill", setting("MONOPOD_GUEST_KILLS", 30), kill),
        ];
        for (what, count, deed) in rounds {
            for round in 1..=count {
                let answered = load.answered.load(Ordering::Relaxed);
                deed(&guest);
                guest.wait_until_ready();
                for id in BYSTANDERS {
                    let status = guest.wait_until_stable(id);
                    assert_eq!(status["instances"].as_array().map(Vec::len), Some(2));
                }
                assert_eq!(bystanders(&guest, &uuids), before, "{what} {round}");
                e2e::wait_for("requests are answered again", guest::SOON, || {
                    (load.answered.load(Ordering::Relaxed) > answered).then_some(())
                });
                eprintln!(
                    "{what} {round} of {count}: {} containers untouched",
                    before.len()
                );
            }
        }
    });
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{} requests answered, {} lost",
        count(&load.answered),
        count(&load.lost)
    );
    guest.remove(BUSY);
    guest.wait_until_clean(&uuids, guest::SOON);
    assert_eq!(bystanders(&guest, &uuids), before);
}
