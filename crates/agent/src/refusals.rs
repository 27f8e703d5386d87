//! Filters: what the scheduler refused, and for how long (mesos: `RefusedOfferFilter` in
//! `src/master/allocator/mesos/hierarchical.cpp`).

use model::{offer::Claim, time::Timestamp};

use crate::accounting::is_within;

/// A refusal holds an offer back while there is nothing in it beyond what was refused.
#[derive(Clone, Debug)]
struct Refusal {
    refused: Claim,
    until: Timestamp,
}

/// The refusals in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Adds a refusal. Earlier ones that hold back no more and no longer are dropped, to keep the list short.
    pub(crate) fn add(&mut self, refused: Claim, until: Timestamp) {
        self.0
            .retain(|old| old.until > until || !is_within(&old.refused, &refused));
        self.0.push(Refusal { refused, until });
    }

    /// Until when an offer of `free` is held back, if it is.
    pub(crate) fn hold_back(&self, free: &Claim) -> Option<Timestamp> {
        let matching = self.0.iter().filter(|old| is_within(free, &old.refused));
        matching.map(|old| old.until).max()
    }

    /// Drops the refusals whose time is over.
    pub(crate) fn drop_ended(&mut self, now: Timestamp) {
        self.0.retain(|refusal| refusal.until > now);
    }

    /// Drops all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use model::{ports::PortSet, resources::Resources};

    use super::*;

    fn cpus(cpus_milli: u64) -> Claim {
        Claim {
            resources: Resources {
                cpus_milli,
                ..Resources::ZERO
            },
            ports: PortSet::default(),
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn holds_back_what_was_refused_and_less_but_not_more() {
        let mut refusals = Refusals::default();
        refusals.add(cpus(1000), at(50));
        assert_eq!(refusals.hold_back(&cpus(1000)), Some(at(50)));
        assert_eq!(refusals.hold_back(&cpus(1)), Some(at(50)));
        assert_eq!(refusals.hold_back(&cpus(1001)), None);
        let one_port_more = Claim {
            ports: PortSet::range(80, 80),
            ..cpus(1)
        };
        assert_eq!(refusals.hold_back(&one_port_more), None);
        refusals.drop_ended(at(49));
        assert_eq!(refusals.hold_back(&cpus(1)), Some(at(50)));
        refusals.drop_ended(at(50));
        assert_eq!(refusals.hold_back(&cpus(1)), None);
    }

    #[test]
    fn the_longest_matching_refusal_counts() {
        let mut refusals = Refusals::default();
        refusals.add(cpus(1000), at(90));
        refusals.add(cpus(2000), at(50));
        assert_eq!(refusals.hold_back(&cpus(1500)), Some(at(50)));
        assert_eq!(refusals.hold_back(&cpus(500)), Some(at(90)));
        refusals.add(cpus(2000), at(95));
        assert_eq!(refusals.0.len(), 1, "the last one covers the others");
        assert_eq!(refusals.hold_back(&cpus(500)), Some(at(95)));
        refusals.clear();
        assert_eq!(refusals.hold_back(&cpus(500)), None);
    }
}
