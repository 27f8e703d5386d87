//! Removal, at any moment, and coming back.

use model::state::PodStatusKind;
use scheduler::{Denied, Request};

use crate::{
    pods::{add, ids, shown, two},
    world::{World, definition, id},
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
