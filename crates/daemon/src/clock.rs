//! The wall clock, as far as it only goes forwards. Only the daemon reads it.
//!
//! Back-offs and time-outs are kept as points in time, since they are stored. A clock that is put back would make all
//! of them wait for as long; so time then goes on from where it was, at its own pace, until the clock has caught up. A
//! clock that is put forward is believed at once.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use model::time::Timestamp;

/// A step that is worth a line in the log.
const STEP: Duration = Duration::from_secs(60);

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

/// Now; never earlier than what this process was told before.
pub(crate) fn now() -> Timestamp {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let wall = Timestamp::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
    let mono = Instant::now();
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    clock.get_or_insert(Clock::new(wall, mono)).read(wall, mono)
}

/// What was told last, and where the wall clock was then.
#[derive(Clone, Copy, Debug)]
struct Clock {
    told: Timestamp,
    wall: Timestamp,
    mono: Instant,
}

impl Clock {
    fn new(wall: Timestamp, mono: Instant) -> Self {
        Self {
            told: wall,
            wall,
            mono,
        }
    }

    fn read(&mut self, wall: Timestamp, mono: Instant) -> Timestamp {
        let elapsed = mono.saturating_duration_since(self.mono);
        let (expected, goes_on) = (self.wall.after(elapsed), self.told.after(elapsed));
        let (back, forward) = (expected.since(wall), wall.since(expected));
        if back.max(forward) > STEP {
            let step_ms = wall.as_millis().saturating_sub(expected.as_millis());
            tracing::warn!(
                step_ms,
                "the wall clock was set; time-outs and back-offs go on as before"
            );
        }
        // After a small correction time stands still until the clock is there again, else it would stay ahead.
        let told = if goes_on.since(wall) > STEP {
            goes_on
        } else {
            self.told.max(wall)
        };
        *self = Self { told, wall, mono };
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_at_its_own_pace_while_the_clock_is_behind() {
        const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
        let (at, began) = (Timestamp::from_millis, Instant::now());
        let mut clock = Clock::new(at(2 * YEAR_MS), began);
        let mut read = |wall, seconds| {
            let told = clock.read(at(wall), began + Duration::from_secs(seconds));
            told.as_millis() - 2 * YEAR_MS
        };
        assert_eq!(read(2 * YEAR_MS + 1000, 1), 1000);
        assert_eq!(read(YEAR_MS, 2), 2000, "a year back");
        assert_eq!(read(YEAR_MS + 5000, 7), 7000, "and on");
        assert_eq!(read(3 * YEAR_MS, 8), YEAR_MS, "a year forward is believed");
        assert_eq!(read(3 * YEAR_MS + 1000, 9), YEAR_MS + 1000);
    }
}
