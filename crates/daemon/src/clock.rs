//! The wall clock, as far as it only goes forwards. Only the daemon reads it.
//!
//! Back-offs and time-outs are kept as points in time, since they are stored. A clock that is put back would make all
//! of them wait for as long; so time then goes on from where it was, at its own pace, until the clock has caught up. A
//! clock that is put forward is believed at once.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use model::time::Timestamp;

use crate::conditions::{Conditions, Kind};

/// A step that is worth telling.
const STEP: Duration = Duration::from_secs(60);

/// How long a step is told of once time goes on with the clock again.
const TOLD_FOR: Duration = Duration::from_secs(10 * 60);

static CLOCK: Mutex<Option<Clock>> = Mutex::new(None);

static CONDITIONS: OnceLock<Conditions> = OnceLock::new();

/// From now on, steps of the clock are told there.
pub(crate) fn tell(conditions: &Conditions) {
    // One daemon a process: there is no other to tell.
    let _ = CONDITIONS.set(conditions.clone());
}

/// Now; never earlier than what this process was told before.
pub(crate) fn now() -> Timestamp {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let wall = Timestamp::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
    let mono = Instant::now();
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let (now, news) = clock.get_or_insert(Clock::new(wall, mono)).read(wall, mono);
    if let (Some(news), Some(conditions)) = (news, CONDITIONS.get()) {
        news.tell(conditions, now);
    }
    now
}

/// What was told last, and where the wall clock was then.
#[derive(Clone, Copy, Debug)]
struct Clock {
    told: Timestamp,
    wall: Timestamp,
    mono: Instant,
    /// It was put back and has not caught up yet.
    is_behind: bool,
}

/// Something that a reading shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    PutBack(Duration),
    PutForward(Duration),
    /// The clock was put back and is again where time goes on.
    CaughtUp,
}

impl News {
    fn tell(self, conditions: &Conditions, now: Timestamp) {
        const KIND: Kind = Kind::ClockStepped;
        // Each step is one of its own, also while the one before is told of.
        conditions.clear(KIND);
        match self {
            Self::PutBack(by) => {
                let text = format!(
                    "the wall clock was put back by {} s: back-offs and time-outs go on at their own pace, and times \
                     shown are ahead of the clock until it has caught up; if it is right now, a restart of the \
                     daemon makes them right at once, pods go on running",
                    by.as_secs()
                );
                conditions.raise(KIND, text, now);
            }
            Self::PutForward(by) => {
                let text = format!(
                    "the wall clock was put forward by {} s, or this host slept: what waits for a time is due sooner",
                    by.as_secs()
                );
                conditions.raise_for(KIND, TOLD_FOR, text, now);
            }
            Self::CaughtUp => {}
        }
    }
}

impl Clock {
    fn new(wall: Timestamp, mono: Instant) -> Self {
        Self {
            told: wall,
            wall,
            mono,
            is_behind: false,
        }
    }

    fn read(&mut self, wall: Timestamp, mono: Instant) -> (Timestamp, Option<News>) {
        let elapsed = mono.saturating_duration_since(self.mono);
        let (expected, goes_on) = (self.wall.after(elapsed), self.told.after(elapsed));
        let (back, forward) = (expected.since(wall), wall.since(expected.max(goes_on)));
        let is_behind = goes_on.since(wall) > STEP;
        let news = if back > STEP {
            Some(News::PutBack(back))
        } else if forward > STEP {
            Some(News::PutForward(forward))
        } else {
            (self.is_behind && !is_behind).then_some(News::CaughtUp)
        };
        // After a small correction time stands still until the clock is there again, else it would stay ahead.
        let told = if is_behind {
            goes_on
        } else {
            self.told.max(wall)
        };
        *self = Self {
            told,
            wall,
            mono,
            is_behind,
        };
        (told, news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_at_its_own_pace_while_the_clock_is_behind() {
        const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let (at, began) = (Timestamp::from_millis, Instant::now());
        let mut clock = Clock::new(at(2 * YEAR_MS), began);
        let mut read = |wall, seconds| {
            let (told, news) = clock.read(at(wall), began + Duration::from_secs(seconds));
            (told.as_millis() - 2 * YEAR_MS, news)
        };
        let second = Duration::from_secs(1);
        let back = News::PutBack(YEAR + 2 * second);
        assert_eq!(read(2 * YEAR_MS + 1000, 1), (1000, None));
        assert_eq!(read(YEAR_MS, 2), (2000, Some(back)), "a year back");
        assert_eq!(read(YEAR_MS + 5000, 7), (7000, None), "and on");
        let forward = News::PutForward(YEAR);
        let caught_up = Some(News::CaughtUp);
        assert_eq!(
            read(2 * YEAR_MS + 8000, 8),
            (8000, caught_up),
            "where it would have been"
        );
        assert_eq!(
            read(3 * YEAR_MS + 9000, 9),
            (YEAR_MS + 9000, Some(forward)),
            "a year forward is believed"
        );
        assert_eq!(read(3 * YEAR_MS + 10_000, 10), (YEAR_MS + 10_000, None));
    }

    #[test]
    fn a_step_is_told_until_it_no_longer_matters() {
        let conditions = Conditions::default();
        let (at, minute) = (Timestamp::from_millis, Duration::from_secs(60));
        let text = |now: Timestamp| {
            let found = conditions.list(now);
            found
                .into_iter()
                .map(|found| found.text)
                .collect::<String>()
        };
        News::PutBack(5 * minute).tell(&conditions, at(0));
        assert!(text(at(1)).contains("put back by 300 s"), "{}", text(at(1)));
        News::CaughtUp.tell(&conditions, at(2));
        assert_eq!(text(at(2)), "");
        News::PutForward(5 * minute).tell(&conditions, at(3));
        let told = text(at(3).after(9 * minute));
        assert!(told.contains("put forward by 300 s"), "{told}");
        assert_eq!(text(at(3).after(TOLD_FOR)), "");
    }
}
