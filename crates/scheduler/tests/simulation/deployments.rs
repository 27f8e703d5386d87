//! Deployments: what they do step by step, what locks them, and how they are undone.

use std::time::Duration;

use model::{
    pod::PodDefinition,
    record::ActionKind,
    state::{InstanceStatus, PodStatusKind},
    time::Timestamp,
};
use scheduler::{Denied, Move, Plan, Request, status};

use crate::{
    pods::{add, ids, one, shown, two},
    world::{World, config, definition, id, total},
};

fn put(world: &mut World, json: &str, force: bool) -> Result<scheduler::Accepted, Denied> {
    world.request(Request::PutPod {
        definition: definition(json),
        force,
    })
}

fn actions(world: &World) -> Vec<ActionKind> {
    world
        .scheduler
        .deployments()
        .flat_map(|deployment| deployment.steps.iter().flatten())
        .map(|action| action.action)
        .collect()
}

fn versions(world: &World, pod: &str) -> Vec<Timestamp> {
    world
        .view(pod)
        .instances
        .iter()
        .map(|instance| instance.record.version)
        .collect()
}

#[test]
fn steps_depend_on_what_changes() {
    use ActionKind as A;
    let label = r#","labels":{"x":"1"}"#;
    let cases: [(String, &[ActionKind]); 5] = [
        (two("/web", 3, ""), &[A::ScalePod]),
        (two("/web", 0, ""), &[A::ScalePod]),
        (two("/web", 2, label), &[A::RestartPod]),
        (two("/web", 0, label), &[A::ScalePod]),
        (two("/web", 2, ""), &[]),
    ];
    for (json, expected) in cases {
        let mut world = World::new();
        add(&mut world, &two("/web", 2, ""));
        assert_eq!(actions(&world), [A::StartPod, A::ScalePod]);
        let document = status::deployment_document(world.scheduler.deployments().next().unwrap());
        assert_eq!((document.current_step, document.total_steps), (2, 2));
        assert_eq!(document.current_actions[0].action, A::ScalePod);
        world.play();
        let accepted = put(&mut world, &json, false).unwrap();
        assert!(accepted.deployment.is_some());
        assert_eq!(actions(&world), expected, "{json}");
        world.quiesce();
        assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
        world
            .request(Request::RemovePod {
                pod: id("/web"),
                force: false,
            })
            .unwrap();
        let removing: &[ActionKind] = match world.scheduler.view(&id("/web")) {
            None => &[],
            Some(_) => &[A::StopPod],
        };
        assert_eq!(actions(&world), removing);
        world.quiesce();
        assert!(world.scheduler.pods().next().is_none());
    }
}

#[test]
fn an_identical_definition_changes_nothing() {
    let mut world = World::new();
    let first = add(&mut world, &two("/web", 2, ""));
    let same = put(&mut world, &two("/web", 2, ""), false).unwrap();
    assert_eq!(same.version, first.version);
    world.play();
    let before = world.view("/web");
    put(&mut world, &two("/web", 2, ""), false).unwrap();
    assert_eq!(world.view("/web"), before);
}

#[test]
fn scaling_keeps_instances_and_their_version() {
    let mut world = World::new();
    let first = add(&mut world, &two("/web", 1, "")).version.unwrap();
    world.play();
    let before = ids(&world, "/web");
    world.advance(Duration::from_millis(5));
    put(&mut world, &two("/web", 3, ""), false).unwrap();
    world.play();
    assert_eq!(versions(&world, "/web"), [first; 3]);
    assert_eq!(world.view("/web").versions.len(), 2);
    assert_eq!(ids(&world, "/web")[0], before[0]);
    world.advance(Duration::from_millis(5));
    put(&mut world, &two("/web", 1, ""), false).unwrap();
    world.quiesce();
    assert_eq!(ids(&world, "/web"), before, "the youngest went first");
}

#[test]
fn scaling_down_gives_up_waiting_instances_first() {
    let mut world = World::new();
    add(&mut world, &one("/web", 3, "2.5", ""));
    world.play();
    let running = ids(&world, "/web")
        .into_iter()
        .find(|instance| world.scheduler.open_runs()[0].run.instance == instance.uuid)
        .unwrap();
    put(&mut world, &one("/web", 1, "2.5", ""), true).unwrap();
    assert_eq!(ids(&world, "/web"), [running]);
    world.quiesce();
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
}

#[test]
fn a_pod_at_work_is_locked_unless_forced() {
    let mut world = World::new();
    let first = add(&mut world, &one("/web", 1, "9", ""))
        .deployment
        .unwrap();
    let locked = Denied::Locked {
        deployments: vec![first],
    };
    assert_eq!(
        put(&mut world, &two("/web", 1, ""), false).unwrap_err(),
        locked
    );
    let remove = |force| Request::RemovePod {
        pod: id("/web"),
        force,
    };
    assert_eq!(world.request(remove(false)).unwrap_err(), locked);
    let exists = Denied::PodExists { pod: id("/web") };
    let again = Request::AddPod {
        definition: definition(&two("/web", 1, "")),
        force: true,
    };
    assert_eq!(world.request(again).unwrap_err(), exists);
    put(&mut world, &two("/web", 1, ""), true).unwrap();
    assert!(
        world
            .scheduler
            .deployments()
            .all(|deployment| deployment.id != first)
    );
    world.quiesce();
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
}

#[test]
fn limits_are_told() {
    let mut world = World::new();
    let max = config(total()).max_running_deployments;
    for pod in 0..max {
        add(&mut world, &one(&format!("/p{pod}"), 1, "9", ""));
    }
    let full = Denied::TooManyDeployments { max };
    assert_eq!(
        put(&mut world, &two("/web", 1, ""), true).unwrap_err(),
        full
    );
    put(&mut world, &two("/p0", 1, ""), true).unwrap();
    let many = Denied::TooManyInstances {
        wanted: 10_001,
        max: 10_000,
    };
    assert_eq!(
        put(&mut world, &two("/p1", 10_001, ""), true).unwrap_err(),
        many
    );
    assert!(
        many.to_string()
            .contains("got 10001, expected 10000 or less")
    );
}

#[test]
fn only_so_many_versions_are_kept() {
    let mut world = World::new();
    add(&mut world, &two("/web", 1, ""));
    for label in 0..8 {
        world.quiesce();
        put(
            &mut world,
            &two("/web", 1, &format!(r#","labels":{{"x":"{label}"}}"#)),
            false,
        )
        .unwrap();
    }
    world.quiesce();
    let kept: Vec<_> = world
        .view("/web")
        .versions
        .iter()
        .map(|(version, _)| *version)
        .collect();
    assert_eq!(kept.len(), config(total()).max_versions);
    assert!(kept.is_sorted() && kept.last() == Some(&world.view("/web").record.version));
}

/// Watches a whole update: how few serve and how many live at the same time.
fn watch_update(json: &str, updated: &str) -> (usize, usize) {
    let mut world = World::new();
    add(&mut world, json);
    world.play();
    put(&mut world, updated, false).unwrap();
    let (mut fewest, mut most) = (usize::MAX, 0);
    while world.scheduler.deployments().count() > 0 {
        let view = world.view("/web");
        let stable = |instance: &&scheduler::InstanceView| instance.ready;
        fewest = fewest.min(view.instances.iter().filter(stable).count());
        most = most.max(world.runtime.alive().len());
        assert!(
            world.deliver() || world.runtime.step(world.now),
            "the update stands still"
        );
    }
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
    (fewest, most)
}

#[test]
fn updates_keep_within_their_strategy() {
    let strategy = |json: String, minimum: &str, over: &str| {
        let upgrade = format!(
            r#"{{"scheduling":{{"upgrade":{{"minimumHealthCapacity":{minimum},"maximumOverCapacity":{over}}}}},"#
        );
        json.replacen('{', &upgrade, 1)
    };
    let label = r#","labels":{"x":"1"}"#;
    // instances, minimum, over => fewest that serve, most that live
    let cases = [
        (5, "1", "1", 5, 10),
        (2, "0.5", "0", 1, 2),
        (1, "0.5", "0", 1, 2),
        (4, "1", "0.25", 4, 5),
        (3, "0", "0", 0, 3),
        (4, "1", "0", 4, 5),
    ];
    for (count, minimum, over, fewest, most) in cases {
        let before = strategy(two("/web", count, ""), minimum, over);
        let after = strategy(two("/web", count, label), minimum, over);
        assert_eq!(
            watch_update(&before, &after),
            (fewest, most),
            "{count} {minimum}/{over}"
        );
    }
}

#[test]
fn a_successor_must_be_ready_before_the_old_instance_goes() {
    let check = r#","healthCheck":{"exec":{"command":{"shell":"true"}},"gracePeriodSeconds":1,
        "intervalSeconds":1,"maxConsecutiveFailures":1,"timeoutSeconds":1,"delaySeconds":1}"#;
    let (fewest, most) = watch_update(&two("/web", 1, ""), &two("/web", 1, check));
    assert_eq!((fewest, most), (1, 2));
}

#[test]
fn an_update_that_needs_the_old_ones_place_makes_room() {
    let port = r#"{"name":"web","hostPort":31001}"#;
    let labelled = |json: String| json.replacen('{', r#"{"labels":{"x":"1"},"#, 1);
    let unique = r#"{"scheduling":{"placement":{"constraints":[{"fieldName":"hostname","operator":"UNIQUE"}]}},"#;
    let cases = [
        (
            one("/web", 1, "0.1", port),
            "which host port 31001 is taken by /web",
        ),
        (
            one("/web", 1, "2.5", ""),
            "which needs 2.6 cpus, 1.4 of 4 free",
        ),
        (
            one("/web", 3, "1.1", ""),
            "which needs 1.2 cpus, 0.4 of 4 free",
        ),
        (
            two("/web", 1, "").replacen('{', unique, 1),
            "which constraint hostname UNIQUE allows 1 instance on this host",
        ),
    ];
    for (json, told) in cases {
        let mut world = World::new();
        add(&mut world, &json);
        world.play();
        put(&mut world, &labelled(json.clone()), false).unwrap();
        world.quiesce();
        assert_eq!(
            shown(&world, "/web").status,
            PodStatusKind::Stable,
            "{json}"
        );
        assert_eq!(world.scheduler.deployments().count(), 0, "{json}");
        let announced = world.announced.iter().any(|text| text.contains(told));
        assert!(announced, "{told} in {:#?}", world.announced);
    }
}

#[test]
fn an_update_goes_on_when_others_take_the_room_it_counted_on() {
    let mut world = World::new();
    add(&mut world, &one("/other", 1, "1", ""));
    add(&mut world, &one("/web", 1, "1.5", ""));
    world.play();
    world.runtime.exit(0, 0, 1, world.now);
    world.play();
    // The back-off ends in the very turn of the update: both are looked at in one exchange.
    world.now = world.scheduler.next_wake().unwrap();
    put(&mut world, &one("/web", 1, "1.6", ""), false).unwrap();
    world.quiesce();
    assert_eq!(shown(&world, "/other").status, PodStatusKind::Stable);
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
    assert_eq!(world.scheduler.deployments().count(), 0);
}

#[test]
fn an_update_that_can_never_run_leaves_the_old_instances_alone() {
    let mut world = World::new();
    add(&mut world, &one("/web", 2, "0.5", ""));
    world.play();
    let before = ids(&world, "/web");
    put(&mut world, &one("/web", 2, "9", ""), false).unwrap();
    world.quiesce();
    let shown = shown(&world, "/web");
    assert_eq!(shown.status, PodStatusKind::Stable, "both old ones serve");
    let told = "2 of 2 instances: needs 9.1 cpus, the agent has 4 in all: it can never fit";
    assert_eq!(shown.message.as_deref(), Some(told));
    assert!(
        before
            .iter()
            .all(|instance| ids(&world, "/web").contains(instance))
    );
}

#[test]
fn a_cancelled_deployment_leaves_the_pod_as_it_is() {
    let mut world = World::new();
    let deployment = add(&mut world, &one("/web", 1, "9", ""))
        .deployment
        .unwrap();
    world
        .request(Request::CancelDeployment { deployment })
        .unwrap();
    assert_eq!(world.scheduler.deployments().count(), 0);
    assert_eq!(world.view("/web").instances.len(), 1);
    let unknown = Denied::DeploymentUnknown { deployment };
    assert_eq!(
        world
            .request(Request::CancelDeployment { deployment })
            .unwrap_err(),
        unknown
    );
    // An update that was cancelled half-way is taken up again by the next change.
    put(&mut world, &two("/web", 2, ""), false).unwrap();
    world.play();
    let update = put(&mut world, &one("/web", 2, "0.1", ""), false)
        .unwrap()
        .deployment
        .unwrap();
    world
        .request(Request::CancelDeployment { deployment: update })
        .unwrap();
    world.quiesce();
    assert_eq!(world.view("/web").instances.len(), 2);
    put(&mut world, &one("/web", 1, "0.1", ""), false).unwrap();
    world.quiesce();
    assert_eq!(
        versions(&world, "/web"),
        [world.view("/web").record.last_config_change]
    );
}

#[test]
fn rollback_takes_back_what_a_deployment_did() {
    let mut world = World::new();
    let created = add(&mut world, &one("/web", 1, "9", ""))
        .deployment
        .unwrap();
    world
        .request(Request::RollbackDeployment {
            deployment: created,
        })
        .unwrap();
    assert!(
        world.scheduler.view(&id("/web")).is_none(),
        "what was created is gone"
    );

    add(&mut world, &two("/web", 2, ""));
    world.play();
    let before = ids(&world, "/web");
    let updated = put(&mut world, &one("/web", 2, "9", ""), false)
        .unwrap()
        .deployment
        .unwrap();
    let back = world
        .request(Request::RollbackDeployment {
            deployment: updated,
        })
        .unwrap();
    assert_eq!(back.definition.unwrap().containers.len(), 2);
    world.quiesce();
    assert_eq!(
        ids(&world, "/web"),
        before,
        "what still runs the former configuration goes on"
    );

    let removed = world
        .request(Request::RemovePod {
            pod: id("/web"),
            force: false,
        })
        .unwrap();
    let deployment = removed.deployment.unwrap();
    world
        .request(Request::RollbackDeployment { deployment })
        .unwrap();
    world.quiesce();
    let shown = shown(&world, "/web");
    assert_eq!(
        (shown.status, shown.instances.len()),
        (PodStatusKind::Stable, 2)
    );
    assert!(
        shown
            .instances
            .iter()
            .all(|instance| instance.status == InstanceStatus::Stable)
    );
}

/// The host shrinks below what runs hold. An old instance is not ended for a successor that would not fit in what is
/// left without it.
#[test]
fn no_room_is_made_where_there_is_none_to_be_made() {
    let shrunk = |cpus_milli| {
        let mut world = World::new();
        add(&mut world, &one("/other", 1, "2.1", ""));
        add(&mut world, &one("/web", 1, "1", ""));
        world.play();
        let mut smaller = total();
        smaller.resources.cpus_milli = cpus_milli;
        world.resize(smaller);
        let relabelled = one("/web", 1, "1", "").replacen('{', r#"{"labels":{"new":"1"},"#, 1);
        put(&mut world, &relabelled, false).unwrap();
        world.quiesce();
        world
    };
    // 2.2 are held by the other pod, 1.1 are needed.
    let world = shrunk(3200);
    let view = world.view("/web");
    assert_eq!(view.instances.len(), 2, "{view:#?}");
    assert!(view.instances[0].ready, "the old instance goes on");
    assert_eq!(world.reasons("/web").len(), 1);
    // With room for it, the successor takes the place of the old one.
    let world = shrunk(3300);
    let view = world.view("/web");
    assert!(
        view.instances.len() == 1 && view.deployment.is_none(),
        "{view:#?}"
    );
    assert_eq!(view.instances[0].record.version, view.record.version);
}

#[test]
fn a_restart_replaces_every_instance_as_an_update_would() {
    let mut world = World::new();
    add(&mut world, &two("/web", 3, ""));
    world.play();
    let (before, definition) = (ids(&world, "/web"), world.view("/web").definition);
    let restart = |force| Request::RestartPod {
        pod: id("/web"),
        force,
    };
    let accepted = world.request(restart(false)).unwrap();
    assert_eq!(actions(&world), [ActionKind::RestartPod]);
    assert!(accepted.version > definition.version);
    assert!(matches!(
        world.request(restart(false)),
        Err(Denied::Locked { .. })
    ));
    world.request(restart(true)).unwrap();
    world.quiesce();
    let after = ids(&world, "/web");
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|instance| !before.contains(instance)));
    let view = world.view("/web");
    assert_eq!(
        PodDefinition {
            version: None,
            ..(*view.definition).clone()
        },
        PodDefinition {
            version: None,
            ..(*definition).clone()
        }
    );
    // The same definition again changes nothing, however the instances came to be.
    put(&mut world, &two("/web", 3, ""), false).unwrap();
    assert_eq!((actions(&world), ids(&world, "/web")), (vec![], after));
    let unknown = Request::RestartPod {
        pod: id("/no"),
        force: true,
    };
    assert!(matches!(
        world.request(unknown),
        Err(Denied::PodUnknown { .. })
    ));
    // Nothing to restart.
    put(&mut world, &two("/web", 0, ""), false).unwrap();
    world.quiesce();
    world.request(restart(false)).unwrap();
    world.quiesce();
    assert_eq!(actions(&world), []);
}

/// A plan's moves in words.
fn told(plan: &Plan) -> Vec<String> {
    let word = |one: &Move| match one {
        Move::Launch => "launch".to_owned(),
        Move::End(_) => "end".to_owned(),
        Move::MakeRoom(_, reason) => format!("make room: {reason}"),
    };
    plan.moves.iter().map(word).collect()
}

#[test]
fn a_plan_tells_what_would_happen() {
    let label = r#","labels":{"x":"1"}"#;
    let fixed = |labels: &str| {
        let port = r#"{"name":"web","hostPort":31000}"#;
        one("/port", 1, "0.1", port).replacen('{', &format!("{{{labels}"), 1)
    };
    let mut world = World::new();
    add(&mut world, &two("/web", 2, ""));
    add(&mut world, &fixed(""));
    world.play();
    let taken = "make room: host port 31000 is taken by /port";
    let whole = "needs 9.1 cpus, the agent has 4 in all: it can never fit";
    let cases: [(String, &[&str], Option<&str>); 7] = [
        (two("/new", 2, ""), &["launch", "launch"], None),
        (two("/web", 2, ""), &[], None),
        (two("/web", 3, ""), &["launch"], None),
        (two("/web", 1, ""), &["end"], None),
        (
            two("/web", 2, label),
            &["launch", "launch", "end", "end"],
            None,
        ),
        (fixed(r#""labels":{"x":"1"},"#), &[taken, "launch"], None),
        (one("/new", 1, "9", ""), &[], Some(whole)),
    ];
    for (json, moves, waiting) in cases {
        let plan = world.plan(definition(&json)).unwrap();
        assert_eq!(told(&plan), moves, "{json}");
        let reason = plan.waiting.as_ref().map(ToString::to_string);
        assert_eq!(reason.as_deref(), waiting, "{json}");
        assert_eq!(plan.present.is_some(), !json.contains("/new"));
        assert_eq!(plan.locked_by, None);
        // What was told is what happens.
        let announced = world.announced.len();
        put(&mut world, &json, false).unwrap();
        world.quiesce();
        let since = &world.announced[announced..];
        let count = |word: &str| since.iter().filter(|text| text.ends_with(word)).count();
        let launches = moves.iter().filter(|told| **told == "launch").count();
        assert_eq!(count(" is Provisioned"), launches, "{since:#?}");
        let again = if json.contains("/port") {
            fixed("")
        } else {
            two("/web", 2, "")
        };
        put(&mut world, &again, true).unwrap();
        if json.contains("/new") {
            let pod = id("/new");
            world
                .request(Request::RemovePod { pod, force: true })
                .unwrap();
        }
        world.quiesce();
    }
    put(&mut world, &two("/web", 2, label), false).unwrap();
    let plan = world.plan(definition(&two("/web", 4, ""))).unwrap();
    assert!(plan.locked_by.is_some());
    assert_eq!(world.scheduler.deployments().count(), 1);
}
