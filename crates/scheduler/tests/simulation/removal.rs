//! Removal, at any moment, and coming back.

use std::time::Duration;

use model::{record::Record, state::PodStatusKind};
use scheduler::{Denied, Effect, Event, Request, Scheduler};

use crate::{
    pods::{add, ids, shown, two},
    world::{World, config, definition, id, total},
};

#[test]
fn a_removed_pod_is_terminal_until_its_last_run_is_over() {
    for steps in 0..12 {
        let mut world = World::new();
        let first = add(&mut world, &two("/web", 2, "")).version.unwrap();
        // Removed at any moment of its launch.
        for _ in 0..steps {
            if !world.deliver() {
                world.runtime.step(world.now);
            }
        }
        world
            .request(Request::RemovePod {
                pod: id("/web"),
                force: true,
            })
            .unwrap();
        assert_eq!(shown(&world, "/web").status, PodStatusKind::Terminal);
        let gone = Denied::PodUnknown { pod: id("/web") };
        let again = Request::RemovePod {
            pod: id("/web"),
            force: true,
        };
        assert_eq!(world.request(again), Err(gone));
        let add_again = Request::AddPod {
            definition: definition(&two("/web", 1, "")),
            force: false,
        };
        assert!(matches!(
            world.request(add_again),
            Err(Denied::Locked { .. })
        ));
        world.quiesce();
        assert!(
            world.scheduler.view(&id("/web")).is_none(),
            "after {steps} steps"
        );
        assert!(world.runtime.runs().is_empty());
        assert_eq!(world.scheduler.deployments().count(), 0);
        let second = add(&mut world, &two("/web", 1, "")).version.unwrap();
        assert!(second > first);
        assert!(
            world.scheduler.definition(&id("/web"), first).is_some(),
            "versions are inherited"
        );
        assert_eq!(world.view("/web").versions.len(), 2);
    }
}

#[test]
fn a_pod_comes_back_beside_its_dying_instances() {
    let mut world = World::new();
    add(&mut world, &two("/web", 2, ""));
    world.play();
    let old = ids(&world, "/web");
    world
        .request(Request::RemovePod {
            pod: id("/web"),
            force: false,
        })
        .unwrap();
    let definition = definition(&two("/web", 1, ""));
    world
        .request(Request::AddPod {
            definition,
            force: true,
        })
        .unwrap();
    assert_eq!(ids(&world, "/web").len(), 3);
    world.quiesce();
    let new = ids(&world, "/web");
    assert!(new.len() == 1 && !old.contains(&new[0]));
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
}

/// The versions of the last removed pods are kept, in the order of removal, not of definition; memory and rows together.
#[test]
fn versions_of_pods_removed_long_ago_are_forgotten() {
    let mut world = World::new();
    let first = add(&mut world, &two("/a", 1, "")).version.unwrap();
    let limit = config(total()).max_removed_pods;
    let jobs: Vec<String> = (0..limit + 2)
        .map(|number| format!("/job{number}"))
        .collect();
    let mut versions = Vec::new();
    let known =
        |world: &World, pod: &str, version| world.scheduler.definition(&id(pod), version).is_some();
    for job in &jobs {
        world.advance(Duration::from_secs(1));
        versions.push(add(&mut world, &two(job, 1, "")).version.unwrap());
        world.play();
        remove(&mut world, job);
    }
    for (index, (job, version)) in jobs.iter().zip(&versions).enumerate() {
        assert_eq!(known(&world, job, *version), index >= 2, "{job}");
    }
    // The pod that was defined before all others is removed after them.
    world.advance(Duration::from_secs(1));
    remove(&mut world, "/a");
    assert!(known(&world, "/a", first));
    assert_eq!(world.scheduler.versions().count(), limit);
    // One that comes back is no removed pod any more, and has its history.
    let back = jobs.last().unwrap();
    add(&mut world, &two(back, 1, ""));
    world.play();
    for job in ["/x", "/y", "/z"] {
        add(&mut world, &two(job, 1, ""));
        world.play();
        remove(&mut world, job);
    }
    assert_eq!(world.view(back).versions.len(), 2);
    assert!(!known(&world, "/a", first));
    // What a start finds beyond its limit goes with its first turn.
    let mut fewer = config(total());
    fewer.max_removed_pods = 0;
    let mut scheduler = Scheduler::restore(fewer, world.store.saved()).unwrap();
    assert_eq!(scheduler.versions().count(), limit + 2);
    let mut uuids = || uuid::Uuid::nil();
    let mut turn = scheduler::Turn {
        now: world.now,
        new_uuid: &mut uuids,
    };
    let effects = scheduler.observe(Event::Tick, &mut turn);
    let gone = |effect: &&Effect| matches!(effect, Effect::Record(Record::PodVersionGone { .. }));
    assert_eq!(effects.iter().filter(gone).count(), limit);
    assert_eq!(scheduler.versions().count(), 2);
}

fn remove(world: &mut World, pod: &str) {
    let request = Request::RemovePod {
        pod: id(pod),
        force: true,
    };
    world.request(request).unwrap();
    world.play();
}
