//! Whether launches fit the offer they are accepted on, and why not.

use model::{
    id::{OfferId, RunId},
    offer::{Offer, OfferEnd, Placement},
    pools::short,
    resources::ResourceKind,
};

/// Why an offer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The offer was never made, or ended too long ago to say how.
    #[error("find offer {offer}")]
    Unknown {
        /// The id as given.
        offer: OfferId,
    },
    /// The offer is over.
    #[error("use offer {offer}: it {}", told(*.end))]
    Ended {
        /// The offer.
        offer: OfferId,
        /// How it ended.
        end: OfferEnd,
    },
}

/// Why nothing was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The offer cannot be used.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The run needs more of one kind than the launches before it leave.
    #[error("place run {run}: needs {}, {} left of offer {offer}", kind.describe(*needed), kind.describe(*left))]
    DoesNotFit {
        /// The offer.
        offer: OfferId,
        /// The run.
        run: RunId,
        /// The first kind that is short.
        kind: ResourceKind,
        /// What the run claims, in the kind's unit.
        needed: u64,
        /// What is left of the offer, in the kind's unit.
        left: u64,
    },
    /// The run claims a port that was not offered.
    #[error("place run {run}: port {port} is not in offer {offer}")]
    PortNotOffered {
        /// The offer.
        offer: OfferId,
        /// The run.
        run: RunId,
        /// The lowest such port.
        port: u16,
    },
    /// Two launches of the same call claim a port.
    #[error("place run {run}: port {port} goes to another run of the same call")]
    PortTwice {
        /// The later of the two runs.
        run: RunId,
        /// The lowest such port.
        port: u16,
    },
    /// The run already holds resources, or is named twice in the call.
    #[error("place run {run}: it is already placed")]
    AlreadyPlaced {
        /// The run.
        run: RunId,
    },
}

fn told(end: OfferEnd) -> &'static str {
    match end {
        OfferEnd::Accepted => "was accepted",
        OfferEnd::Declined => "was declined",
        OfferEnd::Rescinded => "was rescinded",
        OfferEnd::Expired => "has expired",
    }
}

/// Says whether all launches together fit in the offer, in the order given.
///
/// # Errors
/// The first launch that does not fit, with the first thing it lacks.
pub(crate) fn check_fit(offer: &Offer, launches: &[Placement]) -> Result<(), AcceptError> {
    let mut pools = offer.pools.clone();
    for (index, placement) in launches.iter().enumerate() {
        let Placement { run, claim, access } = placement;
        let run = *run;
        let left = pools.of(access);
        if launches[..index].iter().any(|earlier| earlier.run == run) {
            return Err(AcceptError::AlreadyPlaced { run });
        }
        if let Some(kind) = short(&claim.resources, &left.resources) {
            return Err(AcceptError::DoesNotFit {
                offer: offer.id,
                run,
                kind,
                needed: claim.resources.get(kind),
                left: left.resources.get(kind),
            });
        }
        if let Some(port) = claim.ports.difference(&left.ports).iter().next() {
            return Err(if offer.pools.of(access).ports.contains(port) {
                AcceptError::PortTwice { run, port }
            } else {
                AcceptError::PortNotOffered {
                    offer: offer.id,
                    run,
                    port,
                }
            });
        }
        pools.take(access, claim);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{
        offer::Claim, pools::Access, ports::PortSet, resources::Resources, time::Timestamp,
    };
    use uuid::Uuid;

    use super::*;

    fn placement(n: u128, cpus_milli: u64, ports: &[u16]) -> Placement {
        Placement {
            run: RunId {
                instance: Uuid::from_u128(n),
                incarnation: 1,
            },
            claim: Claim {
                resources: Resources {
                    cpus_milli,
                    ..Resources::ZERO
                },
                ports: ports.iter().copied().collect(),
            },
            access: Access::Unreserved,
        }
    }

    #[test]
    fn the_first_misfit_is_named() {
        let claim = Claim {
            resources: Resources {
                cpus_milli: 2000,
                ..Resources::ZERO
            },
            ports: PortSet::range(10, 12),
        };
        let offer = Offer {
            id: OfferId(3),
            claim: claim.clone(),
            pools: claim.into(),
            expires: Timestamp::from_millis(0),
        };
        let run = |n| placement(n, 0, &[]).run;
        let cases = [
            (vec![placement(1, 2000, &[10, 11, 12])], Ok(())),
            (
                vec![placement(1, 800, &[10]), placement(2, 1200, &[11])],
                Ok(()),
            ),
            (
                vec![placement(1, 800, &[]), placement(2, 1201, &[])],
                Err((
                    AcceptError::DoesNotFit {
                        offer: OfferId(3),
                        run: run(2),
                        kind: ResourceKind::Cpus,
                        needed: 1201,
                        left: 1200,
                    },
                    "needs 1.201 cpus, 1.2 cpus left of offer O3",
                )),
            ),
            (
                vec![placement(1, 0, &[13])],
                Err((
                    AcceptError::PortNotOffered {
                        offer: OfferId(3),
                        run: run(1),
                        port: 13,
                    },
                    "port 13 is not in offer O3",
                )),
            ),
            (
                vec![placement(1, 0, &[11]), placement(2, 0, &[10, 11])],
                Err((
                    AcceptError::PortTwice {
                        run: run(2),
                        port: 11,
                    },
                    "port 11 goes to another run",
                )),
            ),
            (
                vec![placement(1, 1, &[]), placement(1, 1, &[])],
                Err((AcceptError::AlreadyPlaced { run: run(1) }, "already placed")),
            ),
        ];
        for (launches, expected) in cases {
            let outcome = check_fit(&offer, &launches);
            if let (Err(error), Err((_, text))) = (&outcome, &expected) {
                assert!(error.to_string().contains(text), "{error}");
            }
            assert_eq!(outcome, expected.map_err(|(error, _)| error));
        }
    }
}
