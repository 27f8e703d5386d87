//! What must hold whatever is called in whatever order, as sentences.

mod plain;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use agent::{accounting::Accounting, allocator::Agent};
use model::{
    offer::Claim,
    resources::{MIB, ResourceKind},
};
use proptest::{
    prelude::*,
    test_runner::{TestCaseError, TestCaseResult},
};

use crate::{
    plain::{Amounts, Plain},
    walk::{Call, Step, Walk, accepts, hosts, walks},
};

/// Takes all steps and checks each: with the agent as it was before, the call, and the agent after it.
fn check_walk(
    total: &Claim,
    steps: Vec<Step>,
    mut check: impl FnMut(&Agent, &Call, &Walk) -> TestCaseResult,
) -> Result<Walk, TestCaseError> {
    let mut walk = Walk::new(total.clone());
    for step in steps {
        let before = walk.agent.clone();
        let call = walk.take(step);
        check(&before, &call, &walk)?;
    }
    Ok(walk)
}

fn amounts(books: &Accounting) -> [Amounts; 5] {
    [
        &books.total,
        &books.over_committed,
        &books.offered,
        &books.used,
        &books.free,
    ]
    .map(Amounts::from)
}

/// The books as they would be if every outstanding offer were taken back.
fn without_offers(agent: &Agent) -> Accounting {
    let mut agent = agent.clone();
    let offers: Vec<_> = agent.offers().map(|offer| offer.id).collect();
    for offer in offers {
        agent.rescind(offer).expect("the offer is outstanding");
    }
    agent.accounting()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn total_is_offered_and_used_and_free_at_every_step(total in hosts(), steps in walks()) {
        check_walk(&total, steps, |_, call, walk| {
            let [total, over, offered, used, free] = amounts(&walk.agent.accounting());
            for kind in 0..4 {
                prop_assert_eq!(
                    total.scalars[kind] + over.scalars[kind],
                    offered.scalars[kind] + used.scalars[kind] + free.scalars[kind],
                    "{:?} after {:?}", ResourceKind::ALL[kind], call
                );
            }
            let all: BTreeSet<u16> = &total.ports | &over.ports;
            prop_assert_eq!(all, &(&offered.ports | &used.ports) | &free.ports, "after {:?}", call);
            Ok(())
        })?;
    }

    #[test]
    fn what_is_over_committed_is_held_by_runs_and_not_free(total in hosts(), steps in walks()) {
        check_walk(&total, steps, |_, _, walk| {
            let [total, over, offered, used, free] = amounts(&walk.agent.accounting());
            for kind in 0..4 {
                if over.scalars[kind] > 0 {
                    prop_assert_eq!((free.scalars[kind], offered.scalars[kind]), (0, 0));
                    prop_assert_eq!(used.scalars[kind], total.scalars[kind] + over.scalars[kind]);
                }
            }
            prop_assert!(over.ports.is_subset(&used.ports));
            prop_assert!(over.ports.is_disjoint(&total.ports));
            Ok(())
        })?;
    }

    #[test]
    fn nothing_is_over_committed_while_the_total_stays(total in hosts(), steps in walks()) {
        let steps = steps
            .into_iter()
            .filter(|step| !matches!(step, Step::SetTotal(_) | Step::Recover(_)))
            .collect();
        check_walk(&total, steps, |_, _, walk| {
            prop_assert_eq!(walk.agent.accounting().over_committed, Claim::default());
            Ok(())
        })?;
    }

    #[test]
    fn a_port_is_in_at_most_one_place(total in hosts(), steps in walks()) {
        check_walk(&total, steps, |_, call, walk| {
            let free = walk.agent.accounting().free;
            let offers = walk.agent.offers().map(|offer| &offer.claim);
            let runs = walk.agent.runs().map(|(_, claim)| claim);
            let mut places = BTreeMap::<u16, u32>::new();
            for claim in offers.chain(runs).chain([&free]) {
                for port in claim.ports.iter() {
                    *places.entry(port).or_default() += 1;
                }
            }
            for (port, count) in places {
                prop_assert_eq!(count, 1, "port {} after {:?}", port, call);
            }
            Ok(())
        })?;
    }

    #[test]
    fn each_offer_ends_exactly_once(total in hosts(), steps in walks()) {
        let mut made = BTreeSet::new();
        let walk = check_walk(&total, steps, |before, call, walk| {
            if let Call::Offer(Some(offer)) = call {
                prop_assert!(made.insert(offer.id), "offer {} was made twice", offer.id);
            }
            if let Call::SetTotal(_, told) | Call::Expire(told) = call {
                let ended = walk.agent.ended().skip(before.ended().count());
                prop_assert_eq!(told, &ended.map(|(offer, _)| offer).collect::<Vec<_>>());
            }
            Ok(())
        })?;
        let mut over = BTreeSet::new();
        for (offer, _) in walk.agent.ended() {
            prop_assert!(over.insert(offer), "offer {} ended twice", offer);
        }
        let outstanding: BTreeSet<_> = walk.agent.offers().map(|offer| offer.id).collect();
        prop_assert!(over.is_disjoint(&outstanding));
        prop_assert_eq!(&over | &outstanding, made);
    }

    #[test]
    fn a_task_group_lands_whole_or_not_at_all(total in hosts(), steps in walks()) {
        check_walk(&total, steps, |before, call, walk| {
            let Call::Accept(offer, launches, result) = call else {
                return Ok(());
            };
            let held: BTreeMap<_, _> = walk.agent.runs().collect();
            let held_before: BTreeMap<_, _> = before.runs().collect();
            if result.is_ok() {
                for launch in launches {
                    prop_assert_eq!(held.get(&launch.run), Some(&&launch.claim));
                }
                prop_assert_eq!(held.len(), held_before.len() + launches.len());
                prop_assert!(walk.agent.offers().all(|outstanding| outstanding.id != *offer));
            } else {
                prop_assert_eq!(held, held_before);
                let overdue = |id| before.offers().any(|o| o.id == id && o.expires <= walk.now);
                let still: Vec<_> = before.offers().filter(|o| !overdue(o.id)).collect();
                prop_assert_eq!(walk.agent.offers().collect::<Vec<_>>(), still);
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_offer_is_below_the_minimum_or_more_than_is_free(total in hosts(), steps in walks()) {
        check_walk(&total, steps, |before, call, walk| {
            if let Call::Offer(Some(offer)) = call {
                let amount = offer.claim.resources;
                prop_assert!(amount.cpus_milli >= 10 || amount.mem_bytes >= 32 * MIB);
                let mut before = before.clone();
                before.expire(walk.now);
                prop_assert_eq!(&offer.claim, &before.accounting().free);
                prop_assert!(offer.expires > walk.now);
            }
            Ok(())
        })?;
    }

    #[test]
    fn release_undoes_accept(total in hosts(), steps in walks(), accept in accepts()) {
        let mut walk = check_walk(&total, steps, |_, _, _| Ok(()))?;
        walk.agent.revive();
        walk.agent.expire(walk.now);
        let before = without_offers(&walk.agent);
        walk.take(Step::Offer);
        if let Call::Accept(_, launches, Ok(())) = walk.take(accept) {
            for launch in launches {
                prop_assert_eq!(walk.agent.release(launch.run), Some(launch.claim));
            }
        }
        prop_assert_eq!(without_offers(&walk.agent), before);
    }

    #[test]
    fn what_is_released_is_offered_at_once(total in hosts(), steps in walks(), nth in 0usize..8) {
        // A suppressed agent offers nothing, whatever is released.
        let steps = steps
            .into_iter()
            .filter(|step| !matches!(step, Step::Suppress))
            .collect();
        let mut walk = check_walk(&total, steps, |_, _, _| Ok(()))?;
        if !walk.take(Step::Release { nth }).succeeded() {
            return Ok(());
        }
        walk.agent.expire(walk.now);
        let free = walk.agent.accounting().free.resources;
        let worth_while = free.cpus_milli >= 10 || free.mem_bytes >= 32 * MIB;
        prop_assert_eq!(walk.agent.offer(walk.now).is_some(), worth_while);
    }

    #[test]
    fn once_woken_there_is_nothing_overdue(total in hosts(), steps in walks()) {
        let mut walk = check_walk(&total, steps, |_, _, _| Ok(()))?;
        // Each wake-up ends an offer or a refusal, so that they come to an end themselves.
        let mut wakes = 0;
        while let Some(wake) = walk.agent.next_wake() {
            walk.now = walk.now.max(wake);
            walk.agent.expire(walk.now);
            prop_assert!(walk.agent.next_wake().is_none_or(|next| next > walk.now));
            wakes += 1;
            prop_assert!(wakes <= 60, "wake-ups without end");
        }
        prop_assert_eq!(walk.agent.accounting().offered, Claim::default());
    }

    #[test]
    fn the_agent_does_what_a_plain_model_does(total in hosts(), steps in walks()) {
        let mut plain = Plain::new(&total);
        check_walk(&total, steps, |_, call, walk| {
            let expected = plain.follow(call, walk.now);
            prop_assert_eq!(call.succeeded(), expected, "{:?}", call);
            let books = walk.agent.accounting();
            prop_assert_eq!(Amounts::from(&books.total), plain.total.clone());
            prop_assert_eq!(Amounts::from(&books.used), plain.used(), "used after {:?}", call);
            prop_assert_eq!(Amounts::from(&books.offered), plain.offered(), "offered after {:?}", call);
            prop_assert_eq!(Amounts::from(&books.free), plain.free(), "free after {:?}", call);
            prop_assert_eq!(walk.agent.ended().collect::<Vec<_>>(), plain.ended.clone());
            Ok(())
        })?;
    }
}
