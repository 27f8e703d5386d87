//! Random walks: sequences of calls that make sense often enough to get far, and go wrong often enough too.

use std::time::Duration;

use agent::{
    acceptance::{AcceptError, OfferError},
    allocator::Agent,
};
use model::{
    id::{OfferId, RunId},
    offer::{Claim, Offer, Placement},
    pools::Access,
    ports::PortSet,
    resources::{MIB, Resources},
    time::Timestamp,
};
use proptest::prelude::*;
use uuid::Uuid;

pub(crate) const OFFER_TIMEOUT: Duration = Duration::from_secs(10);

/// A step as drawn; what it means depends on what there is when it is taken.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Offer,
    /// The offers are counted back from the newest; 0 is one that was never made.
    Accept {
        offers_back: u64,
        launches: Vec<Launch>,
    },
    Decline {
        offers_back: u64,
        refuse: Option<Duration>,
    },
    Rescind {
        offers_back: u64,
    },
    /// The runs are counted from the oldest.
    Release {
        nth: usize,
    },
    Recover(Vec<Claim>),
    SetTotal(Claim),
    Suppress,
    Revive,
    Expire,
    Wait(Duration),
}

/// A launch that takes a share of the offer that it is accepted on.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    percent: [u64; 4],
    /// Counted among the offered ports, so that most can be had.
    nth_ports: Vec<usize>,
    /// A port that may not be offered.
    any_port: Option<u16>,
    /// Names the oldest run once more instead of a new one.
    run_again: bool,
}

/// A call that was made, and what came of it.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Offer(Option<Offer>),
    Accept(OfferId, Vec<Placement>, Result<(), AcceptError>),
    Decline(OfferId, Option<Duration>, Result<(), OfferError>),
    Rescind(OfferId, Result<(), OfferError>),
    Release(RunId, Option<Claim>),
    Recover(Vec<Placement>),
    SetTotal(Claim, Vec<OfferId>),
    Suppress,
    Revive,
    Expire(Vec<OfferId>),
    Wait,
}

impl Call {
    /// Whether the call was carried out, made an offer or freed something.
    pub(crate) fn succeeded(&self) -> bool {
        match self {
            Self::Offer(offer) => offer.is_some(),
            Self::Accept(_, _, result) => result.is_ok(),
            Self::Decline(_, _, result) | Self::Rescind(_, result) => result.is_ok(),
            Self::Release(_, freed) => freed.is_some(),
            Self::Recover(_) | Self::SetTotal(..) | Self::Suppress | Self::Revive => true,
            Self::Expire(_) | Self::Wait => true,
        }
    }
}

/// An agent on its walk.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) agent: Agent,
    pub(crate) now: Timestamp,
    newest_offer: u64,
    newest_run: u128,
}

impl Walk {
    pub(crate) fn new(total: Claim) -> Self {
        Self {
            agent: Agent::new(total, OFFER_TIMEOUT),
            now: Timestamp::from_millis(0),
            newest_offer: 0,
            newest_run: 0,
        }
    }

    pub(crate) fn take(&mut self, step: Step) -> Call {
        let now = self.now;
        match step {
            Step::Offer => {
                let offer = self.agent.offer(now);
                self.newest_offer = offer.as_ref().map_or(self.newest_offer, |offer| offer.id.0);
                Call::Offer(offer)
            }
            Step::Accept {
                offers_back,
                launches,
            } => {
                let offer = self.offer_id(offers_back);
                let launches = self.placements(offer, launches);
                let result = self.agent.accept(offer, &launches, now);
                Call::Accept(offer, launches, result)
            }
            Step::Decline {
                offers_back,
                refuse,
            } => {
                let offer = self.offer_id(offers_back);
                Call::Decline(offer, refuse, self.agent.decline(offer, refuse, now))
            }
            Step::Rescind { offers_back } => {
                let offer = self.offer_id(offers_back);
                Call::Rescind(offer, self.agent.rescind(offer))
            }
            Step::Release { nth } => {
                let count = self.agent.runs().count();
                let run = self.agent.runs().nth(nth % count.max(1));
                let run = run.map_or(run_id(0), |(run, _)| run);
                Call::Release(run, self.agent.release(run))
            }
            Step::Recover(claims) => {
                let found = self.found(claims);
                self.agent.recover(&found);
                Call::Recover(found)
            }
            Step::SetTotal(total) => {
                let rescinded = self.agent.set_total(total.clone());
                Call::SetTotal(total, rescinded)
            }
            Step::Suppress => {
                self.agent.suppress();
                Call::Suppress
            }
            Step::Revive => {
                self.agent.revive();
                Call::Revive
            }
            Step::Expire => Call::Expire(self.agent.expire(now)),
            Step::Wait(duration) => {
                self.now = now.after(duration);
                Call::Wait
            }
        }
    }

    fn offer_id(&self, back: u64) -> OfferId {
        OfferId((self.newest_offer + 1).saturating_sub(back))
    }

    fn new_run(&mut self) -> RunId {
        self.newest_run += 1;
        run_id(self.newest_run)
    }

    fn placements(&mut self, offer: OfferId, launches: Vec<Launch>) -> Vec<Placement> {
        let offered = self.agent.offers().find(|o| o.id == offer);
        let offered = offered.map(|o| o.claim.clone()).unwrap_or_default();
        let ports: Vec<u16> = offered.ports.iter().collect();
        let mut placements = Vec::new();
        for launch in launches {
            let oldest = self.agent.runs().next().map(|(run, _)| run);
            let run = match oldest {
                Some(oldest) if launch.run_again => oldest,
                Some(_) | None => self.new_run(),
            };
            let chosen = launch.nth_ports.iter().filter_map(|nth| ports.get(*nth));
            let claim = Claim {
                resources: launch.share_of(&offered.resources),
                ports: chosen.copied().chain(launch.any_port).collect(),
            };
            placements.push(Placement {
                run,
                claim,
                access: Access::Unreserved,
            });
        }
        placements
    }

    /// Runs as the store would name them: no port is held by two.
    fn found(&mut self, claims: Vec<Claim>) -> Vec<Placement> {
        let mut held = self.agent.accounting().used.ports;
        let mut found = Vec::new();
        for mut claim in claims {
            claim.ports = claim.ports.difference(&held);
            held = held.union(&claim.ports);
            found.push(Placement {
                run: self.new_run(),
                claim,
                access: Access::Unreserved,
            });
        }
        found
    }
}

impl Launch {
    fn share_of(&self, offered: &Resources) -> Resources {
        let [cpus, mem, disk, gpus] = self.percent;
        Resources {
            cpus_milli: offered.cpus_milli * cpus / 100,
            mem_bytes: offered.mem_bytes * mem / 100,
            disk_bytes: offered.disk_bytes * disk / 100,
            gpus: offered.gpus * gpus / 100,
        }
    }
}

fn run_id(n: u128) -> RunId {
    RunId {
        instance: Uuid::from_u128(n),
        incarnation: 1,
    }
}

/// What a host may have, down to nothing; ports overlap from host to host.
pub(crate) fn hosts() -> impl Strategy<Value = Claim> {
    let cpus = prop_oneof![1 => 0u64..20, 4 => 0u64..8000];
    let mem = prop_oneof![1 => 0u64..64, 4 => 0u64..4096];
    let ports = (100u16..110, 100u16..120).prop_map(|(first, last)| PortSet::range(first, last));
    (cpus, mem, 0u64..10, 0u64..4, ports).prop_map(|(cpus_milli, mem_mib, disk, gpus, ports)| {
        Claim {
            resources: Resources {
                cpus_milli,
                mem_bytes: mem_mib * MIB,
                disk_bytes: disk * MIB,
                gpus,
            },
            ports,
        }
    })
}

/// Up to sixty steps, of which many are an offer and its acceptance.
pub(crate) fn walks() -> impl Strategy<Value = Vec<Step>> {
    let exchange = accepts().prop_map(|accept| vec![Step::Offer, accept]);
    let single = steps().prop_map(|step| vec![step]);
    let some = proptest::collection::vec(prop_oneof![1 => exchange, 3 => single], 0..30);
    some.prop_map(|some| some.concat())
}

fn steps() -> impl Strategy<Value = Step> {
    let refuse = proptest::option::of((0u64..12).prop_map(Duration::from_secs));
    prop_oneof![
        24 => Just(Step::Offer),
        18 => accepts(),
        6 => (offers_back(), refuse)
            .prop_map(|(offers_back, refuse)| Step::Decline { offers_back, refuse }),
        2 => offers_back().prop_map(|offers_back| Step::Rescind { offers_back }),
        16 => (0usize..8).prop_map(|nth| Step::Release { nth }),
        1 => proptest::collection::vec(hosts(), 0..3).prop_map(Step::Recover),
        1 => hosts().prop_map(Step::SetTotal),
        1 => Just(Step::Suppress),
        6 => Just(Step::Revive),
        2 => Just(Step::Expire),
        6 => (0u64..6000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
    ]
}

/// Acceptances, most of them of the newest offer.
pub(crate) fn accepts() -> impl Strategy<Value = Step> {
    (offers_back(), proptest::collection::vec(launches(), 0..4)).prop_map(
        |(offers_back, launches)| Step::Accept {
            offers_back,
            launches,
        },
    )
}

fn offers_back() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(1u64), 1 => 0u64..4]
}

fn launches() -> impl Strategy<Value = Launch> {
    (
        proptest::array::uniform4(prop_oneof![8 => 0u64..60, 1 => 60u64..=120]),
        proptest::collection::vec(0usize..6, 0..2),
        prop_oneof![9 => Just(None), 1 => (100u16..125).prop_map(Some)],
        prop_oneof![19 => Just(false), 1 => Just(true)],
    )
        .prop_map(|(percent, nth_ports, any_port, run_again)| Launch {
            percent,
            nth_ports,
            any_port,
            run_again,
        })
}
