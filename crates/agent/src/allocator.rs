//! The agent: what runs hold, and the offers of the rest.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use model::{
    id::{OfferId, RunId},
    offer::{Claim, Offer, OfferEnd, Placement},
    pools::{Held, Pools},
    resources::{MIB, Resources},
    time::Timestamp,
};

use crate::{
    acceptance::{AcceptError, OfferError, check_fit},
    accounting::{Accounting, are_apart},
    refusals::Refusals,
};

/// How long a declined offer is held back if the scheduler does not say (mesos: `Filters.refuse_seconds`).
pub const DEFAULT_REFUSAL: Duration = Duration::from_secs(5);

/// The longest that a declined offer is held back (mesos: `MAX_REFUSE_SECONDS`, 365 days).
pub const MAX_REFUSAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The least cpu that makes an offer worth while by itself (mesos: `MIN_CPUS`).
pub const MIN_OFFERED_CPUS_MILLI: u64 = 10;

/// The least memory that makes an offer worth while by itself (mesos: `MIN_MEM`).
pub const MIN_OFFERED_MEM_BYTES: u64 = 32 * MIB;

/// How many ended offers are remembered, so that a late answer hears how its offer ended. In use one offer is
/// outstanding at a time, so this is far more than any answer can be late.
const ENDED_REMEMBERED: usize = 64;

/// This host's resources: what runs hold, what is offered, what is free.
///
/// A call that fails changes nothing, but for offers whose time is over: they end whenever a call tells the
/// time. The agent does nothing by itself; [`Agent::next_wake`] says when it wants to be called.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What the host has, by the role that it is reserved for, and all together.
    pools: Pools,
    total: Claim,
    offer_timeout: Duration,
    runs: BTreeMap<RunId, Placement>,
    /// What the runs hold together.
    held: Held,
    /// Whether what a run gives back can simply be taken off `held`: no two hold the same, and the sum did not saturate.
    /// Claims read from a damaged store could break that.
    apart: bool,
    outstanding: BTreeMap<OfferId, Offer>,
    ended: VecDeque<(OfferId, OfferEnd)>,
    refusals: Refusals,
    suppressed: bool,
    next_offer: u64,
}

impl Agent {
    /// Makes an agent of a host on which nothing runs. An offer lasts `offer_timeout`.
    pub fn new(total: impl Into<Pools>, offer_timeout: Duration) -> Self {
        let pools = total.into();
        Self {
            total: pools.sum(),
            pools,
            offer_timeout,
            runs: BTreeMap::new(),
            held: Held::default(),
            apart: true,
            outstanding: BTreeMap::new(),
            ended: VecDeque::new(),
            refusals: Refusals::default(),
            suppressed: false,
            next_offer: 1,
        }
    }

    /// Takes over runs that already hold their claims, from the store. A run that is known gets the new claim.
    ///
    /// They may exceed the total, for it may have shrunk: then nothing of that kind is free until enough is
    /// released. Outstanding offers are rescinded, since they may lend what these runs hold.
    pub fn recover(&mut self, placements: &[Placement]) {
        self.rescind_all();
        let held = placements.iter().map(|placed| (placed.run, placed.clone()));
        self.runs.extend(held);
        // Not added to: a run that is known may have held something else.
        self.held = self.count();
        self.apart = are_apart(self.runs.values().map(|placed| &placed.claim));
    }

    fn count(&self) -> Held {
        let mut held = Held::default();
        for placed in self.runs.values() {
            held.add(&placed.access, &placed.claim);
        }
        held
    }

    /// Changes what the host has. Outstanding offers are rescinded and refusals forgotten, as Mesos does; what
    /// runs hold stays theirs even if it is now too much.
    ///
    /// Returns the rescinded offers.
    pub fn set_total(&mut self, total: impl Into<Pools>) -> Vec<OfferId> {
        let rescinded = self.rescind_all();
        self.refusals.clear();
        self.pools = total.into();
        self.total = self.pools.sum();
        rescinded
    }

    /// Offers everything free; `None` if that is too little to be worth while, was refused and the refusal
    /// lasts, or offers are suppressed.
    ///
    /// Worth while is at least [`MIN_OFFERED_CPUS_MILLI`] or [`MIN_OFFERED_MEM_BYTES`].
    pub fn offer(&mut self, now: Timestamp) -> Option<Offer> {
        self.expire(now);
        let pools = self.free();
        let free = pools.sum();
        let held_back = self.suppressed || self.refusals.hold_back(&free).is_some();
        if held_back || !is_worth_while(&free.resources) {
            return None;
        }
        let offer = Offer {
            id: OfferId(self.next_offer),
            claim: free,
            pools,
            expires: now.after(self.offer_timeout),
        };
        self.next_offer += 1;
        self.outstanding.insert(offer.id, offer.clone());
        Some(offer)
    }

    /// Gives every launch its claim out of the offer, all or none; what is left over is free again at once.
    ///
    /// Accepting with no launches is declining for [`DEFAULT_REFUSAL`], as in Mesos.
    ///
    /// # Errors
    /// The offer cannot be used, or the first launch that does not fit. The offer then stays outstanding.
    pub fn accept(
        &mut self,
        offer: OfferId,
        launches: &[Placement],
        now: Timestamp,
    ) -> Result<(), AcceptError> {
        if launches.is_empty() {
            return Ok(self.decline(offer, None, now)?);
        }
        self.expire(now);
        let outstanding = self.outstanding(offer)?;
        let placed = |run: &RunId| self.runs.contains_key(run);
        if let Some(run) = launches.iter().map(|p| p.run).find(placed) {
            return Err(AcceptError::AlreadyPlaced { run });
        }
        check_fit(outstanding, launches)?;
        self.end(offer, OfferEnd::Accepted);
        for placed in launches {
            self.held.add(&placed.access, &placed.claim);
            self.runs.insert(placed.run, placed.clone());
        }
        Ok(())
    }

    /// Gives the offer back. The same resources, or part of them, are not offered again for `refuse`; more are.
    ///
    /// `None` means [`DEFAULT_REFUSAL`], zero means not to hold anything back; more than [`MAX_REFUSAL`] is
    /// taken as that.
    ///
    /// # Errors
    /// The offer cannot be used.
    pub fn decline(
        &mut self,
        offer: OfferId,
        refuse: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), OfferError> {
        self.expire(now);
        let refused = self.outstanding(offer)?.claim.clone();
        self.end(offer, OfferEnd::Declined);
        let refuse = refuse.unwrap_or(DEFAULT_REFUSAL).min(MAX_REFUSAL);
        if !refuse.is_zero() {
            self.refusals.add(refused, now.after(refuse));
        }
        Ok(())
    }

    /// Takes an offer back before it is answered.
    ///
    /// # Errors
    /// The offer cannot be used.
    pub fn rescind(&mut self, offer: OfferId) -> Result<(), OfferError> {
        self.outstanding(offer)?;
        self.end(offer, OfferEnd::Rescinded);
        Ok(())
    }

    /// Stops offers until [`Agent::revive`]. Outstanding ones may still be accepted.
    pub fn suppress(&mut self) {
        self.suppressed = true;
    }

    /// Forgets refusals and suppression: the scheduler wants whatever is free.
    pub fn revive(&mut self) {
        self.refusals.clear();
        self.suppressed = false;
    }

    /// Frees what a run holds, and returns it; `None`, and nothing changes, if it holds nothing.
    ///
    /// Refusals are forgotten, so that the next offer is made at once: what was refused for being too little
    /// may be enough now. (Mesos waits for its next allocation pass.)
    pub fn release(&mut self, run: RunId) -> Option<Claim> {
        let Placement { claim, access, .. } = self.runs.remove(&run)?;
        if self.apart {
            self.held.subtract(&access, &claim);
        } else {
            self.held = self.count();
        }
        self.refusals.clear();
        Some(claim)
    }

    /// Ends the offers and refusals whose time is over; returns the offers.
    pub fn expire(&mut self, now: Timestamp) -> Vec<OfferId> {
        self.refusals.drop_ended(now);
        let overdue: Vec<_> = self
            .outstanding
            .values()
            .filter(|offer| offer.expires <= now)
            .map(|offer| offer.id)
            .collect();
        for offer in &overdue {
            self.end(*offer, OfferEnd::Expired);
        }
        overdue
    }

    /// When time alone next changes something: an offer expires, or what is free may be offered again.
    /// Then [`Agent::expire`] is due.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let expiry = self.outstanding.values().map(|offer| offer.expires).min();
        let free = self.free().sum();
        let refusal = if self.suppressed || !is_worth_while(&free.resources) {
            None
        } else {
            self.refusals.hold_back(&free)
        };
        expiry.into_iter().chain(refusal).min()
    }

    /// What the host has.
    pub fn total(&self) -> &Claim {
        &self.total
    }

    /// What the host has, by the role that it is reserved for.
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// The runs and what each holds, in order.
    pub fn runs(&self) -> impl Iterator<Item = (RunId, &Claim)> {
        self.runs.iter().map(|(run, placed)| (*run, &placed.claim))
    }

    /// The outstanding offers, in the order in which they were made.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.outstanding.values()
    }

    /// The last offers that ended, oldest first.
    pub fn ended(&self) -> impl Iterator<Item = (OfferId, OfferEnd)> {
        self.ended.iter().copied()
    }

    /// The books at this moment.
    pub fn accounting(&self) -> Accounting {
        let used = self.held.of(&self.pools);
        Accounting::balance(&self.pools, &used, &self.offered())
    }

    fn offered(&self) -> Pools {
        let offers = self.outstanding.values();
        offers.fold(Pools::default(), |all, offer| all.with(&offer.pools))
    }

    fn free(&self) -> Pools {
        let used = self.held.of(&self.pools);
        self.pools.without(&used).without(&self.offered())
    }

    fn outstanding(&self, offer: OfferId) -> Result<&Offer, OfferError> {
        self.outstanding.get(&offer).ok_or_else(|| {
            let ended = self.ended.iter().find(|(id, _)| *id == offer);
            match ended {
                Some((_, end)) => OfferError::Ended { offer, end: *end },
                None => OfferError::Unknown { offer },
            }
        })
    }

    fn end(&mut self, offer: OfferId, end: OfferEnd) {
        self.outstanding.remove(&offer);
        if self.ended.len() == ENDED_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((offer, end));
    }

    fn rescind_all(&mut self) -> Vec<OfferId> {
        let offers: Vec<_> = self.outstanding.keys().copied().collect();
        for offer in &offers {
            self.end(*offer, OfferEnd::Rescinded);
        }
        offers
    }
}

fn is_worth_while(free: &Resources) -> bool {
    free.cpus_milli >= MIN_OFFERED_CPUS_MILLI || free.mem_bytes >= MIN_OFFERED_MEM_BYTES
}
