//! The agent once more, in the plainest way: sums over lists, signed numbers, sets of single ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::{
    id::{OfferId, RunId},
    offer::{Claim, OfferEnd, Placement},
    resources::ResourceKind,
    time::Timestamp,
};

use crate::walk::{Call, OFFER_TIMEOUT};

/// Amounts in the order of [`ResourceKind::ALL`], and ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) scalars: [i128; 4],
    pub(crate) ports: BTreeSet<u16>,
}

impl From<&Claim> for Amounts {
    fn from(claim: &Claim) -> Self {
        Self {
            scalars: ResourceKind::ALL.map(|kind| i128::from(claim.resources.get(kind))),
            ports: claim.ports.iter().collect(),
        }
    }
}

impl Amounts {
    pub(crate) fn sum<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for amounts in all {
            for (total, more) in sum.scalars.iter_mut().zip(amounts.scalars) {
                *total += more;
            }
            sum.ports.extend(&amounts.ports);
        }
        sum
    }

    fn fits_in(&self, other: &Self) -> bool {
        let pairs = self.scalars.iter().zip(&other.scalars);
        pairs.into_iter().all(|(a, b)| a <= b) && self.ports.is_subset(&other.ports)
    }
}

#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) total: Amounts,
    pub(crate) runs: BTreeMap<RunId, Amounts>,
    pub(crate) offers: BTreeMap<OfferId, (Amounts, Timestamp)>,
    pub(crate) ended: Vec<(OfferId, OfferEnd)>,
    refused: Vec<(Amounts, Timestamp)>,
    suppressed: bool,
}

impl Plain {
    pub(crate) fn new(total: &Claim) -> Self {
        Self {
            total: total.into(),
            runs: BTreeMap::new(),
            offers: BTreeMap::new(),
            ended: Vec::new(),
            refused: Vec::new(),
            suppressed: false,
        }
    }

    pub(crate) fn used(&self) -> Amounts {
        Amounts::sum(self.runs.values())
    }

    pub(crate) fn offered(&self) -> Amounts {
        Amounts::sum(self.offers.values().map(|(amounts, _)| amounts))
    }

    pub(crate) fn free(&self) -> Amounts {
        let (used, offered) = (self.used(), self.offered());
        let mut free = self.total.clone();
        for kind in 0..4 {
            let rest = free.scalars[kind] - used.scalars[kind] - offered.scalars[kind];
            free.scalars[kind] = rest.max(0);
        }
        free.ports
            .retain(|port| !used.ports.contains(port) && !offered.ports.contains(port));
        free
    }

    /// Makes the call that the agent got; whether it should have succeeded, or made an offer, or freed
    /// something.
    pub(crate) fn follow(&mut self, call: &Call, now: Timestamp) -> bool {
        match call {
            Call::Offer(offer) => {
                self.pass(now);
                let free = self.free();
                let worth = free.scalars[0] >= 10 || free.scalars[1] >= 32 * 1024 * 1024;
                let refused = self
                    .refused
                    .iter()
                    .any(|(refused, _)| free.fits_in(refused));
                let expected = worth && !refused && !self.suppressed;
                if let (true, Some(offer)) = (expected, offer) {
                    self.offers
                        .insert(offer.id, (free, now.after(OFFER_TIMEOUT)));
                }
                expected
            }
            Call::Accept(offer, launches, _) if launches.is_empty() => {
                self.decline(*offer, Duration::from_secs(5), now)
            }
            Call::Accept(offer, launches, _) => {
                self.pass(now);
                let fits = self.fits(*offer, launches);
                if fits {
                    self.end(*offer, OfferEnd::Accepted);
                    self.hold(launches);
                }
                fits
            }
            Call::Decline(offer, refuse, _) => {
                self.decline(*offer, refuse.unwrap_or(Duration::from_secs(5)), now)
            }
            Call::Rescind(offer, _) => self.end(*offer, OfferEnd::Rescinded),
            Call::Release(run, _) => {
                let held = self.runs.remove(run).is_some();
                if held {
                    self.refused.clear();
                }
                held
            }
            Call::Recover(found) => {
                self.rescind_all();
                self.hold(found);
                true
            }
            Call::SetTotal(total, _) => {
                self.rescind_all();
                self.refused.clear();
                self.total = total.into();
                true
            }
            Call::Suppress => {
                self.suppressed = true;
                true
            }
            Call::Revive => {
                self.suppressed = false;
                self.refused.clear();
                true
            }
            Call::Expire(_) => {
                self.pass(now);
                true
            }
            Call::Wait => true,
        }
    }

    fn pass(&mut self, now: Timestamp) {
        self.refused.retain(|(_, until)| *until > now);
        for (offer, (_, expires)) in self.offers.clone() {
            if expires <= now {
                self.end(offer, OfferEnd::Expired);
            }
        }
    }

    fn decline(&mut self, offer: OfferId, refuse: Duration, now: Timestamp) -> bool {
        self.pass(now);
        let claim = self.offers.get(&offer).map(|(claim, _)| claim.clone());
        if let (Some(claim), true) = (claim, refuse > Duration::ZERO) {
            self.refused.push((claim, now.after(refuse)));
        }
        self.end(offer, OfferEnd::Declined)
    }

    fn fits(&self, offer: OfferId, launches: &[Placement]) -> bool {
        let Some((offered, _)) = self.offers.get(&offer) else {
            return false;
        };
        let claims: Vec<Amounts> = launches.iter().map(|p| (&p.claim).into()).collect();
        let wanted = Amounts::sum(claims.iter());
        let ports: usize = claims.iter().map(|claim| claim.ports.len()).sum();
        let runs: BTreeSet<RunId> = launches.iter().map(|p| p.run).collect();
        wanted.fits_in(offered)
            && ports == wanted.ports.len()
            && runs.len() == launches.len()
            && runs.iter().all(|run| !self.runs.contains_key(run))
    }

    fn hold(&mut self, launches: &[Placement]) {
        for launch in launches {
            self.runs.insert(launch.run, (&launch.claim).into());
        }
    }

    fn end(&mut self, offer: OfferId, end: OfferEnd) -> bool {
        let was_outstanding = self.offers.remove(&offer).is_some();
        if was_outstanding {
            self.ended.push((offer, end));
        }
        was_outstanding
    }

    fn rescind_all(&mut self) {
        for offer in self.offers.clone().into_keys() {
            self.end(offer, OfferEnd::Rescinded);
        }
    }
}
