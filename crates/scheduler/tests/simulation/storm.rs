//! Many pods changed again and again before any change is done.

use std::{collections::BTreeSet, time::Duration};

use model::{
    ports::PortSet,
    resources::{MIB, Resources},
    state::PodStatusKind,
};
use scheduler::Request;

use crate::{
    pods::{add, shown, two},
    world::{World, definition, total},
};

const PODS: usize = 50;
const INSTANCES: u32 = 4;
const UPDATES: usize = 3;

fn json(number: usize, update: usize) -> String {
    let label = format!(r#","labels":{{"update":"{update}"}}"#);
    two(&format!("/p{number}"), INSTANCES, &label)
}

#[test]
fn a_storm_of_updates_ends_in_what_was_asked_for_last() {
    // Enough for a third more instances than there are: updates stand in each other's way.
    let mut world = World::of(model::offer::Claim {
        resources: Resources {
            cpus_milli: 80_000,
            mem_bytes: 64 * 1024 * MIB,
            disk_bytes: 64 * 1024 * MIB,
            ..total().resources
        },
        ports: PortSet::range(31000, 31009),
    });
    world.compare_every = 50;
    for number in 0..PODS {
        add(&mut world, &json(number, 0));
    }
    world.play();
    let mut gaps = 0;
    for update in 1..=UPDATES {
        for number in 0..PODS {
            let request = Request::PutPod {
                definition: definition(&json(number, update)),
                force: true,
            };
            world.request(request).unwrap();
            // All of them within a second, while containers start and end.
            gaps += 1;
            if gaps % 2 == 0 {
                world.advance(Duration::from_millis(13));
            }
            world.runtime.step(world.now);
            world.deliver();
        }
    }
    world.quiesce();
    assert_eq!(world.scheduler.deployments().count(), 0);
    for number in 0..PODS {
        let pod = format!("/p{number}");
        let view = world.view(&pod);
        assert_eq!(shown(&world, &pod).status, PodStatusKind::Stable);
        assert_eq!(view.instances.len(), INSTANCES as usize, "{pod}");
        let versions: BTreeSet<_> = view
            .instances
            .iter()
            .map(|instance| instance.record.version)
            .collect();
        assert_eq!(versions, [view.record.last_config_change].into(), "{pod}");
        let label = &view.definition.containers[0].labels;
        assert_eq!(label.get("update"), Some(&UPDATES.to_string()), "{pod}");
    }
    assert_eq!(world.runtime.alive().len(), PODS * INSTANCES as usize);
}
