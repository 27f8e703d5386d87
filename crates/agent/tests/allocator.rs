//! The life of offers, case by case (the names in brackets are the Mesos tests with the same subject).

use std::time::Duration;

use agent::{
    acceptance::{AcceptError, OfferError},
    allocator::{
        Agent, DEFAULT_REFUSAL, MAX_REFUSAL, MIN_OFFERED_CPUS_MILLI, MIN_OFFERED_MEM_BYTES,
    },
};
use model::{
    id::{OfferId, RunId},
    offer::{Claim, Offer, OfferEnd, Placement},
    pools::{Access, Pools},
    ports::PortSet,
    resources::{MIB, ResourceKind, Resources},
    time::Timestamp,
};
use uuid::Uuid;

const START: Timestamp = Timestamp::from_millis(1_000_000);
const TIMEOUT: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

fn amount(cpus_milli: u64, mem_bytes: u64) -> Resources {
    Resources {
        cpus_milli,
        mem_bytes,
        ..Resources::ZERO
    }
}

fn claim(cpus_milli: u64, mem_mib: u64, ports: &[u16]) -> Claim {
    Claim {
        resources: amount(cpus_milli, mem_mib * MIB),
        ports: ports.iter().copied().collect(),
    }
}

fn run(n: u128) -> RunId {
    RunId {
        instance: Uuid::from_u128(n),
        incarnation: 1,
    }
}

fn placement(n: u128, claim: Claim) -> Placement {
    Placement {
        run: run(n),
        claim,
        access: Access::Unreserved,
    }
}

fn host() -> Claim {
    Claim {
        resources: amount(2000, 1024 * MIB),
        ports: PortSet::range(31000, 31009),
    }
}

fn agent() -> Agent {
    Agent::new(host(), TIMEOUT)
}

fn offered(agent: &mut Agent, now: Timestamp) -> Offer {
    agent.offer(now).expect("an offer should be made")
}

/// An agent on which run 1 holds `held`, with nothing refused.
fn agent_with(held: Claim) -> Agent {
    let mut agent = agent();
    let offer = offered(&mut agent, START);
    agent
        .accept(offer.id, &[placement(1, held)], START)
        .expect("run 1 should fit");
    agent
}

#[test]
fn an_offer_holds_everything_free_and_nothing_is_offered_twice() {
    let mut agent = agent();
    let offer = offered(&mut agent, START);
    assert_eq!(offer.claim, host());
    assert_eq!(offer.expires, START.after(TIMEOUT));
    assert_eq!(agent.offer(START), None);
    assert_eq!(agent.accounting().offered, host());
    assert_eq!(agent.offers().collect::<Vec<_>>(), [&offer]);
}

#[test]
fn accepted_launches_are_held_and_leftovers_come_back_at_once() {
    let mut agent = agent();
    let offer = offered(&mut agent, START);
    let launches = [
        placement(1, claim(500, 100, &[31000])),
        placement(2, claim(700, 200, &[31002, 31003])),
    ];
    assert_eq!(agent.accept(offer.id, &launches, START), Ok(()));
    assert_eq!(
        agent.accounting().used,
        claim(1200, 300, &[31000, 31002, 31003])
    );
    let rest = offered(&mut agent, START);
    assert_eq!(rest.claim.resources, amount(800, 724 * MIB));
    assert_eq!(rest.claim.ports.to_string(), "[31001-31001,31004-31009]");
    assert!(rest.id > offer.id);
}

#[test]
fn a_misfit_places_nothing_and_leaves_the_offer_outstanding() {
    let mut agent = agent_with(claim(100, 0, &[31000]));
    let offer = offered(&mut agent, START);
    let before = agent.accounting();
    let good = placement(2, claim(100, 10, &[31001]));
    let cases = [
        (
            placement(3, claim(1801, 0, &[])),
            AcceptError::DoesNotFit {
                offer: offer.id,
                run: run(3),
                kind: ResourceKind::Cpus,
                needed: 1801,
                left: 1800,
            },
        ),
        (
            placement(3, claim(0, 1015, &[])),
            AcceptError::DoesNotFit {
                offer: offer.id,
                run: run(3),
                kind: ResourceKind::Mem,
                needed: 1015 * MIB,
                left: 1014 * MIB,
            },
        ),
        (
            // Held by run 1, so it is not in the offer.
            placement(3, claim(0, 0, &[31000])),
            AcceptError::PortNotOffered {
                offer: offer.id,
                run: run(3),
                port: 31000,
            },
        ),
        (
            placement(3, claim(0, 0, &[31001])),
            AcceptError::PortTwice {
                run: run(3),
                port: 31001,
            },
        ),
        (
            placement(1, claim(0, 0, &[])),
            AcceptError::AlreadyPlaced { run: run(1) },
        ),
        (good.clone(), AcceptError::AlreadyPlaced { run: run(2) }),
    ];
    for (bad, expected) in cases {
        let launches = [good.clone(), bad];
        assert_eq!(agent.accept(offer.id, &launches, START), Err(expected));
        assert_eq!(agent.accounting(), before, "{expected}");
    }
    assert_eq!(agent.accept(offer.id, &[good], START), Ok(()));
}

// (LaunchDuplicateOfferDropped, OfferNotRescindedOnceUsed, OfferNotRescindedOnceDeclined)
#[test]
fn an_ended_offer_cannot_be_used_and_says_how_it_ended() {
    type Ending = fn(&mut Agent, OfferId);
    let endings: [(OfferEnd, &str, Ending); 6] = [
        (OfferEnd::Accepted, "it was accepted", |agent, id| {
            let launch = placement(1, claim(10, 1, &[]));
            agent.accept(id, &[launch], START).unwrap();
        }),
        (OfferEnd::Declined, "it was declined", |agent, id| {
            agent.decline(id, None, START).unwrap();
        }),
        (OfferEnd::Rescinded, "it was rescinded", |agent, id| {
            agent.rescind(id).unwrap();
        }),
        (OfferEnd::Rescinded, "it was rescinded", |agent, id| {
            assert_eq!(agent.set_total(host()), [id]);
        }),
        (OfferEnd::Rescinded, "it was rescinded", |agent, _| {
            agent.recover(&[]);
        }),
        (OfferEnd::Expired, "it has expired", |agent, id| {
            assert_eq!(agent.expire(START.after(TIMEOUT)), [id]);
        }),
    ];
    for (end, text, ending) in endings {
        let mut agent = agent();
        let offer = offered(&mut agent, START).id;
        ending(&mut agent, offer);
        let before = agent.accounting();
        let error = OfferError::Ended { offer, end };
        let launch = placement(2, claim(10, 1, &[]));
        assert_eq!(
            agent.accept(offer, &[launch], START),
            Err(AcceptError::Offer(error))
        );
        assert_eq!(agent.decline(offer, None, START), Err(error));
        assert_eq!(agent.rescind(offer), Err(error));
        assert_eq!(error.to_string(), format!("use offer O1: {text}"));
        assert_eq!(agent.ended().collect::<Vec<_>>(), [(offer, end)]);
        assert_eq!(agent.accounting(), before);
    }
}

#[test]
fn an_offer_that_was_never_made_or_ended_long_ago_is_unknown() {
    let mut agent = agent();
    let unknown = |offer| OfferError::Unknown { offer };
    let never = OfferId(77);
    assert_eq!(agent.decline(never, None, START), Err(unknown(never)));
    let first = offered(&mut agent, START).id;
    agent.rescind(first).unwrap();
    for _ in 0..100 {
        let next = offered(&mut agent, START).id;
        agent.rescind(next).unwrap();
    }
    assert_eq!(agent.rescind(first), Err(unknown(first)));
    assert!(agent.ended().count() < 100);
}

// (OfferTimeout)
#[test]
fn an_offer_expires_at_its_time_and_not_before() {
    let mut agent = agent();
    let offer = offered(&mut agent, START);
    let just_before = Timestamp::from_millis(offer.expires.as_millis() - 1);
    assert_eq!(agent.expire(just_before), []);
    assert_eq!(agent.next_wake(), Some(offer.expires));
    let launch = placement(1, claim(10, 1, &[]));
    let late = agent.accept(offer.id, &[launch], offer.expires);
    let expired = OfferError::Ended {
        offer: offer.id,
        end: OfferEnd::Expired,
    };
    assert_eq!(late, Err(AcceptError::Offer(expired)));
    assert_eq!(agent.accounting().free, host());
    assert_eq!(agent.next_wake(), None);
    assert_eq!(offered(&mut agent, offer.expires).claim, host());
}

// (OfferFilter, ReviveOffers, DEFAULT_REFUSE_SECONDS)
#[test]
fn a_declined_offer_is_held_back_for_the_refused_time() {
    let cases = [
        (None, DEFAULT_REFUSAL),
        (Some(SECOND), SECOND),
        (Some(Duration::ZERO), Duration::ZERO),
        (Some(MAX_REFUSAL), MAX_REFUSAL),
        (Some(MAX_REFUSAL + SECOND), MAX_REFUSAL),
        (Some(Duration::MAX), MAX_REFUSAL),
    ];
    for (refuse, lasts) in cases {
        let mut agent = agent();
        let offer = offered(&mut agent, START).id;
        agent.decline(offer, refuse, START).unwrap();
        let end = START.after(lasts);
        if lasts > Duration::ZERO {
            let just_before = Timestamp::from_millis(end.as_millis() - 1);
            assert_eq!(agent.offer(START), None, "{refuse:?}");
            assert_eq!(agent.offer(just_before), None, "{refuse:?}");
            assert_eq!(agent.next_wake(), Some(end), "{refuse:?}");
        } else {
            assert_eq!(agent.next_wake(), None, "{refuse:?}");
        }
        assert_eq!(offered(&mut agent, end).claim, host(), "{refuse:?}");
    }
}

#[test]
fn accepting_nothing_is_declining() {
    let mut agent = agent();
    let offer = offered(&mut agent, START).id;
    assert_eq!(agent.accept(offer, &[], START), Ok(()));
    assert_eq!(
        agent.ended().collect::<Vec<_>>(),
        [(offer, OfferEnd::Declined)]
    );
    assert_eq!(agent.offer(START), None);
}

#[test]
fn more_than_was_refused_is_offered_while_the_refusal_lasts() {
    let mut agent = agent_with(claim(500, 64, &[31000]));
    let big = offered(&mut agent, START).id;
    agent.release(run(1)).unwrap();
    let small = offered(&mut agent, START);
    assert_eq!(small.claim, claim(500, 64, &[31000]));
    agent.decline(small.id, Some(10 * SECOND), START).unwrap();
    assert_eq!(agent.offer(START), None);
    agent.rescind(big).unwrap();
    assert_eq!(offered(&mut agent, START).claim, host());
}

#[test]
fn revive_and_set_total_drop_refusals() {
    let calls: [fn(&mut Agent); 2] = [Agent::revive, |agent| {
        agent.set_total(host());
    }];
    for call in calls {
        let mut agent = agent();
        let offer = offered(&mut agent, START).id;
        agent.decline(offer, Some(MAX_REFUSAL), START).unwrap();
        assert_eq!(agent.offer(START), None);
        call(&mut agent);
        assert_eq!(offered(&mut agent, START).claim, host());
    }
}

// (RecoverResources; unlike Mesos, without waiting for the next pass)
#[test]
fn released_resources_are_offered_at_once() {
    let mut agent = agent_with(claim(500, 64, &[31000]));
    let offer = offered(&mut agent, START).id;
    agent.decline(offer, Some(MAX_REFUSAL), START).unwrap();
    assert_eq!(agent.release(run(9)), None);
    assert_eq!(
        agent.offer(START),
        None,
        "a release of nothing revives nothing"
    );
    assert_eq!(agent.release(run(1)), Some(claim(500, 64, &[31000])));
    assert_eq!(agent.release(run(1)), None);
    assert_eq!(offered(&mut agent, START).claim, host());
}

// (SuppressAndReviveOffers)
#[test]
fn suppressed_offers_stop_until_revived() {
    let mut agent = agent_with(claim(500, 64, &[]));
    let offer = offered(&mut agent, START).id;
    agent.suppress();
    assert_eq!(agent.next_wake(), Some(START.after(TIMEOUT)));
    let launch = placement(2, claim(10, 1, &[]));
    assert_eq!(agent.accept(offer, &[launch], START), Ok(()));
    agent.release(run(1)).unwrap();
    assert_eq!(agent.offer(START), None);
    assert_eq!(agent.next_wake(), None);
    agent.revive();
    let offer = offered(&mut agent, START).id;
    agent.suppress();
    agent.decline(offer, None, START).unwrap();
    assert_eq!(
        agent.next_wake(),
        None,
        "the end of a refusal changes nothing while suppressed"
    );
}

// (Allocatable)
#[test]
fn too_little_is_not_offered() {
    let cases = [
        (0, 0, false),
        (MIN_OFFERED_CPUS_MILLI / 2, MIN_OFFERED_MEM_BYTES / 2, false),
        (MIN_OFFERED_CPUS_MILLI - 1, MIN_OFFERED_MEM_BYTES - 1, false),
        (MIN_OFFERED_CPUS_MILLI, 0, true),
        (0, MIN_OFFERED_MEM_BYTES, true),
    ];
    for (cpus_milli, mem_bytes, expected) in cases {
        let total = Claim {
            resources: Resources {
                disk_bytes: 1 << 40,
                ..amount(cpus_milli, mem_bytes)
            },
            ports: PortSet::range(1, 100),
        };
        let mut agent = Agent::new(total, TIMEOUT);
        let offer = agent.offer(START);
        assert_eq!(
            offer.is_some(),
            expected,
            "{cpus_milli} milli-cpus, {mem_bytes} bytes"
        );
    }
}

#[test]
fn recovered_runs_may_exceed_a_shrunken_total() {
    let mut agent = agent();
    agent.recover(&[
        placement(1, claim(1500, 64, &[31000, 8080])),
        placement(2, claim(1500, 64, &[31001])),
    ]);
    let books = agent.accounting();
    assert_eq!(books.over_committed, claim(1000, 0, &[8080]));
    assert_eq!(books.free.resources, amount(0, 896 * MIB));
    assert_eq!(books.free.ports.to_string(), "[31002-31009]");

    let offer = offered(&mut agent, START);
    assert_eq!(
        offer.claim.resources.cpus_milli, 0,
        "memory is offered, cpus are not"
    );
    agent.rescind(offer.id).unwrap();

    assert!(agent.release(run(1)).is_some());
    let books = agent.accounting();
    assert_eq!(books.over_committed, Claim::default());
    assert_eq!(books.free.resources.cpus_milli, 500);
    assert!(
        !books.free.ports.contains(8080),
        "a port that is not the host's does not become free"
    );
}

#[test]
fn recovering_twice_is_recovering_once() {
    let mut agent = agent();
    let held = [placement(1, claim(500, 64, &[31000]))];
    agent.recover(&held);
    let before = agent.accounting();
    agent.recover(&held);
    assert_eq!(agent.accounting(), before);
    let offer = offered(&mut agent, START).id;
    let again = agent.accept(offer, &held, START);
    assert_eq!(again, Err(AcceptError::AlreadyPlaced { run: run(1) }));
}

#[test]
fn a_port_that_two_recovered_runs_hold_is_free_after_both() {
    let mut agent = agent();
    agent.recover(&[
        placement(1, claim(1, 1, &[31000])),
        placement(2, claim(1, 1, &[31000])),
    ]);
    agent.release(run(1)).unwrap();
    assert!(!agent.accounting().free.ports.contains(31000));
    agent.release(run(2)).unwrap();
    assert!(agent.accounting().free.ports.contains(31000));
}

#[test]
fn absurd_recovered_claims_do_no_harm() {
    let mut agent = agent();
    agent.recover(&[
        placement(1, claim(u64::MAX, 0, &[])),
        placement(2, claim(u64::MAX, 0, &[])),
    ]);
    assert_eq!(agent.accounting().free.resources, amount(0, 1024 * MIB));
    agent.release(run(1)).unwrap();
    agent.release(run(2)).unwrap();
    assert_eq!(offered(&mut agent, START).claim, host());
}

// (UpdateSlaveTotalResources)
#[test]
fn a_new_total_counts_at_once() {
    let mut agent = agent_with(claim(1500, 64, &[31000]));
    agent.set_total(claim(1000, 2048, &[31000, 31001]));
    assert_eq!(agent.total(), &claim(1000, 2048, &[31000, 31001]));
    let books = agent.accounting();
    assert_eq!(books.over_committed, claim(500, 0, &[]));
    assert_eq!(books.free, claim(0, 1984, &[31001]));
    agent.set_total(host());
    assert_eq!(agent.accounting().over_committed, Claim::default());
    assert_eq!(offered(&mut agent, START).claim.resources.cpus_milli, 500);
}

#[test]
fn what_each_run_holds_can_be_listed() {
    let agent = agent_with(claim(500, 64, &[31000]));
    let held = claim(500, 64, &[31000]);
    assert_eq!(agent.runs().collect::<Vec<_>>(), [(run(1), &held)]);
}

/// What is reserved for a role goes to its runs alone (ReservedResourcesOnlyGoToTheirRole, `hierarchical_allocator_tests`).
#[test]
fn what_is_reserved_goes_to_its_role() {
    let reserved = [("dev".to_owned(), claim(500, 256, &[80]))].into();
    let mut agent = Agent::new(Pools::new(claim(1000, 512, &[90]), reserved), TIMEOUT);
    let books = agent.accounting();
    assert_eq!(books.total, claim(1500, 768, &[80, 90]));
    assert_eq!(books.reserved["dev"], claim(500, 256, &[80]));
    let wish = |n, cpus, ports: &[u16], access: &Access| Placement {
        access: access.clone(),
        ..placement(n, claim(cpus, 32, ports))
    };
    let dev = |access: fn(String) -> Access| access("dev".to_owned());
    let (only, both) = (dev(Access::Reserved), dev(Access::Both));
    let refused = [
        wish(1, 1001, &[], &Access::Unreserved),
        wish(1, 100, &[80], &Access::Unreserved),
        wish(1, 501, &[], &only),
        wish(1, 100, &[90], &only),
        wish(1, 1501, &[], &both),
    ];
    let offer = offered(&mut agent, START);
    assert_eq!(offer.claim, books.total);
    for launch in refused {
        let accepted = agent.accept(offer.id, std::slice::from_ref(&launch), START);
        assert!(accepted.is_err(), "{launch:?}");
    }
    let launches = [
        wish(1, 1200, &[80], &both),
        wish(2, 300, &[90], &Access::Unreserved),
    ];
    agent.accept(offer.id, &launches, START).unwrap();
    assert_eq!(agent.accounting().free.resources.cpus_milli, 0);
    // What the role's run held of everybody's is everybody's again, and the rest the role's.
    agent.release(run(1)).unwrap();
    let offer = offered(&mut agent, START);
    assert_eq!(offer.pools.of(&only).resources.cpus_milli, 500);
    assert_eq!(
        offer.pools.of(&Access::Unreserved).resources.cpus_milli,
        700
    );
    agent.decline(offer.id, None, START).unwrap();
    let shown = agent.accounting().to_string();
    assert!(
        shown.ends_with(
            "reserved for role dev: 0.5 cpus, 256 MiB mem, 0 MiB disk, 0 gpus, ports [80-80]"
        ),
        "{shown}"
    );
}
