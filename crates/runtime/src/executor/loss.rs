//! What is lost of a container's output, and when that is worth telling.

use crate::stream::{Loss, Pump};

/// The losses of one container.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Those of streams that have ended.
    ended_bytes: u64,
    told: Loss,
}

impl Losses {
    /// Keeps what a stream that has ended lost.
    pub(super) fn add(&mut self, ended: &Pump) {
        self.ended_bytes += ended.loss().bytes;
    }

    /// What is to be told, if anything: that output gets lost, that what is lost has doubled, that it is over.
    pub(super) fn news(&mut self, open: &[Loss]) -> Option<Loss> {
        let now = Loss {
            bytes: self.ended_bytes + open.iter().map(|loss| loss.bytes).sum::<u64>(),
            lasting: open.iter().any(|loss| loss.lasting),
        };
        let more =
            now.bytes > self.told.bytes && (!now.lasting || now.bytes / 2 >= self.told.bytes);
        if now.lasting == self.told.lasting && !more {
            return None;
        }
        self.told = now;
        Some(now)
    }

    /// What was told and goes on.
    pub(super) fn lasting(&self) -> Option<Loss> {
        Some(self.told).filter(|told| told.lasting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_at_their_beginning_as_they_double_and_at_their_end() {
        let mut losses = Losses::default();
        // Bytes lost by two streams, whether the second one loses, and whether that is told.
        let steps = [
            (0, 0, false, false),
            (0, 10, true, true),
            (0, 19, true, false),
            (1, 19, true, true),
            (1, 30, true, false),
            (1, 39, true, true),
            (1, 40, false, true),
            (1, 40, false, false),
            (1, 41, false, true),
        ];
        for (first, second, lasting, told) in steps {
            let of = |bytes, lasting| Loss { bytes, lasting };
            let news = losses.news(&[of(first, false), of(second, lasting)]);
            let expected = told.then_some(of(first + second, lasting));
            assert_eq!(news, expected, "{first} {second} {lasting}");
            assert_eq!(losses.lasting().is_some(), lasting);
        }
    }
}
