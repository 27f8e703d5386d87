//! The daemon is killed at random moments of a random workload, again and again, while its store, its directories and
//! its cgroups fail it and executors die as they are born. Whatever it acknowledged must hold, nothing that runs may
//! notice, nothing may be left over, and once the failures end all must settle by itself.
//!
//! `MONOPOD_CHAOS_ROUNDS` is how many rounds there are (20), `MONOPOD_CHAOS_SEED` repeats a run's decisions; what the
//! kernel makes of them varies.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

mod checks;
mod forecast;
mod hunter;
mod round;
mod workload;

use std::time::{Duration, Instant};

use e2e::{host::SOON, needs_root, pods, random::setting, wait_for};

use crate::workload::{BYSTANDER, Chaos, IDS};

const ROUNDS: u64 = 20;

#[test]
fn what_was_acknowledged_holds_whatever_fails_and_however_the_daemon_dies() {
    needs_root!();
    let began = Instant::now();
    let mut chaos = Chaos::new();
    chaos
        .host
        .launch(&pods::pod(BYSTANDER, &[pods::probe_container("c", "hold")]));
    chaos.note_bystander();
    let rounds = setting("MONOPOD_CHAOS_ROUNDS", ROUNDS);
    for number in 1..=rounds {
        chaos.round(number);
        if number % 5 == 0 || number == rounds {
            chaos.check_settled();
        }
    }
    eprintln!(
        "{rounds} rounds, {} requests, {:?} in {:.0?}",
        chaos.requests,
        chaos.tally,
        began.elapsed()
    );
    for id in IDS.into_iter().chain([BYSTANDER]) {
        let path = format!("/v2/pods{id}?force=true");
        chaos.host.request("DELETE", &path, None);
    }
    chaos.host.wait_until_clean();
    wait_for("everything that was held to be free again", SOON, || {
        let info = chaos
            .host
            .request("GET", "/v2/info?monopod=true", None)
            .json();
        let (total, free) = (&info["monopod"]["total"], &info["monopod"]["free"]);
        let ports = total["ports"].as_str();
        assert!(
            ports.is_some_and(|ports| ports.starts_with("[31000")),
            "{info}"
        );
        (free == total).then_some(())
    });
}

#[test]
fn a_daemon_killed_between_spawning_and_hearing_launches_no_second_executor() {
    needs_root!();
    let mut chaos = Chaos::new();
    for round in 0..setting("MONOPOD_CHAOS_ROUNDS", ROUNDS) {
        let id = IDS[0];
        chaos.host.add(&chaos.definition(id, 1, &round.to_string()));
        let delay = Duration::from_micros(chaos.random.below(30_000));
        // From before the executor exists until after it has been heard.
        if round % 3 != 0 {
            wait_for("an executor", SOON, || {
                (!chaos.host.executors().is_empty()).then_some(())
            });
        }
        std::thread::sleep(delay);
        chaos.host.kill_daemon();
        chaos.host.start_daemon();
        chaos.wait_until_settled(id);
        chaos.check_one_executor_a_run();
        assert_eq!(chaos.host.executors().len(), 1, "round {round}");
        chaos.host.remove(id);
    }
    chaos.host.wait_until_clean();
}
