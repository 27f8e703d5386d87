//! One round: work in some weather, an end, a start, and what must be true then.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    time::{Duration, Instant},
};

use e2e::{host::SOON, wait_for};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::{hunter::Hunter, workload::Chaos};

/// The daemon works for so many milliseconds at the longest, until it is killed or the weather clears.
const LONGEST_LIFE_MS: u64 = 700;

/// How the work of a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Killed, then started in fine weather.
    Killed,
    /// Killed, then started in the same weather, which begins anew.
    KilledTwice,
    /// The weather clears, and the same daemon goes on.
    Survived,
}

impl Chaos {
    /// One round.
    pub(crate) fn round(&mut self, number: u64) {
        let forecast = self.forecast();
        let end = self
            .random
            .pick(&[End::Killed, End::Killed, End::KilledTwice, End::Survived]);
        *self.tally.entry(forecast.name).or_default() += 1;
        eprintln!(
            "round {number}: {end:?}, {} {:?}",
            forecast.name, forecast.rules
        );
        let hunter = (self.random.below(3) == 0).then(|| {
            let random = self.random.fork();
            Hunter::send_out(self.host.run_dir().join("runs"), random)
        });
        let rules: Vec<_> = forecast.rules.iter().map(String::as_str).collect();
        self.weather.set(&rules);
        let mut survived = self.work(end == End::Survived);
        if survived {
            self.weather.clear();
            // What it was about to do in bad weather may have killed it still, but not once it has answered.
            survived = wait_for("an answer, or the daemon's end", SOON, || {
                if self.host.daemon_end().is_some() {
                    return Some(false);
                }
                let answer = self.host.try_request("GET", "/v2/info", None);
                answer.is_ok().then_some(true)
            });
        }
        if !survived {
            self.host.kill_daemon();
            if end != End::KilledTwice {
                self.weather.clear();
            }
            self.start();
            self.weather.clear();
            // Ready, it may have been hit all the same before the weather cleared.
            if let Some(status) = self.host.daemon_end() {
                assert_eq!(status.signal(), Some(9), "{}", self.host.log_tail());
                self.host.kill_daemon();
                self.host.start_daemon();
            }
        }
        if let Some(hunter) = hunter {
            *self.tally.entry("executors hit").or_default() += hunter.call_back();
        }
        self.weather.clear();
        self.check(number);
        // Without the help of a restart.
        if survived {
            self.check_settled();
        }
    }

    /// Works until the daemon is dead, or for a while if it is to survive; tells whether it did.
    fn work(&mut self, survive: bool) -> bool {
        let life = Duration::from_millis(self.random.below(LONGEST_LIFE_MS));
        let until = Instant::now() + life;
        let killer = (!survive).then(|| {
            let pid = self.host.daemon_pid().and_then(Pid::from_raw).unwrap();
            let daemon = pidfd_open(pid, PidfdFlags::empty()).unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(until.saturating_duration_since(Instant::now()));
                // The weather may have been first.
                let _ = pidfd_send_signal(&daemon, Signal::KILL);
            })
        });
        let ended = loop {
            if let Some(status) = self.host.daemon_end() {
                assert_eq!(
                    status.signal(),
                    Some(9),
                    "{status}\n{}",
                    self.host.log_tail()
                );
                break true;
            }
            if survive && Instant::now() >= until {
                break false;
            }
            self.step();
        };
        if let Some(killer) = killer {
            killer.join().unwrap();
        }
        !ended
    }

    /// Starts the daemon; one that cannot start in this weather must say so, or was killed by it, and starts in fine
    /// weather.
    fn start(&mut self) {
        self.host.spawn_daemon();
        let Some(status) = self.host.wait_until_ready_or_ended() else {
            return;
        };
        assert!(may_refuse(status), "{status}\n{}", self.host.log_tail());
        self.host.kill_daemon();
        self.weather.clear();
        self.host.start_daemon();
    }
}

/// Refused with a reason, or killed; a panic is neither.
fn may_refuse(status: ExitStatus) -> bool {
    status.code() == Some(1) || status.signal() == Some(9)
}
