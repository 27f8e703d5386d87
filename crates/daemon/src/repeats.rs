//! How often something that happens again and again is worth a line in the log.

use std::time::{Duration, Instant};

/// Between two lines.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Counts what repeats, such as the connections that one executor's link lost.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    told_at: Option<Instant>,
    untold: u32,
}

impl Repeats {
    /// Notes one; says how many are to be told of now, those included that were not told before. The first one is told
    /// at once.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u32> {
        self.untold = self.untold.saturating_add(1);
        let recently = |told: Instant| now.saturating_duration_since(told) < TELL_AGAIN;
        if self.told_at.is_some_and(recently) {
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_tells_of_all() {
        let mut repeats = Repeats::default();
        let began = Instant::now();
        let mut note = |seconds| repeats.note(began + Duration::from_secs(seconds));
        assert_eq!(note(0), Some(1));
        let told: Vec<_> = (1..=60).filter_map(&mut note).collect();
        assert_eq!(told, [60]);
        assert_eq!(note(61), None);
        assert_eq!(note(300), Some(2));
        assert_eq!(note(300), None);
    }
}
