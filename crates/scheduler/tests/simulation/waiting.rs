//! Why instances wait, and that it is told.

use std::time::Duration;

use model::{
    offer::Claim,
    pools::Pools,
    ports::PortSet,
    resources::{MIB, Resources},
    state::{PodStatusKind, Reason},
    update::{RunOutcome, RunOver},
};
use scheduler::{Effect, Event, Request, WaitReason, status};

use crate::{
    pods::{add, incarnations, one, shown, two},
    world::{World, definition, id, total},
};

#[test]
fn why_a_pod_waits_is_told_at_once() {
    let port = r#"{"name":"web","hostPort":31000}"#;
    let cases = [
        (
            one("/p", 1, "9", ""),
            "needs 9.1 cpus, the agent has 4 in all: it can never fit",
        ),
        (one("/p", 1, "3.5", ""), "needs 3.6 cpus, 3.3 of 4 free"),
        (
            one("/p", 1, "0.1", port),
            "host port 31000 is taken by /other",
        ),
        (
            one("/p", 1, "0.1", r#"{"name":"web","hostPort":80}"#),
            "host port 80 is outside the agent's ports [31000-31009]: it can never fit",
        ),
        (
            one("/p", 3, "9", ""),
            "3 of 3 instances: needs 9.1 cpus, the agent has 4 in all: it can never fit",
        ),
    ];
    for (json, message) in cases {
        let mut world = World::new();
        add(&mut world, &one("/other", 1, "0.6", port));
        add(&mut world, &json);
        let shown = shown(&world, "/p");
        assert_eq!(shown.message.as_deref(), Some(message));
        assert_eq!(
            (shown.status, shown.instances.len()),
            (PodStatusKind::Degraded, 0)
        );
        world.quiesce();
        assert_eq!(
            world.scheduler.deployments().count(),
            1,
            "the deployment stays open"
        );
    }
}

#[test]
fn a_reason_to_wait_follows_what_is_free() {
    let mut world = World::new();
    add(&mut world, &one("/big", 1, "2.9", ""));
    add(&mut world, &one("/next", 1, "1.5", ""));
    assert_eq!(
        shown(&world, "/next").message.unwrap(),
        "needs 1.6 cpus, 1 of 4 free"
    );
    add(&mut world, &one("/small", 1, "0.4", ""));
    assert_eq!(
        shown(&world, "/next").message.unwrap(),
        "needs 1.6 cpus, 0.5 of 4 free"
    );
    // What waits first is served first, and does not hold up what fits.
    assert_eq!(incarnations(&world, "/small"), [1]);
    world.play();
    world
        .request(Request::RemovePod {
            pod: id("/big"),
            force: false,
        })
        .unwrap();
    world.play();
    assert_eq!(shown(&world, "/next").status, PodStatusKind::Stable);
}

#[test]
fn constraints_limit_instances_and_are_told() {
    let mut world = World::new();
    let mut pod = definition(&two("/web", 2, ""));
    pod.scheduling.placement.constraints = vec![model::pod::Constraint {
        field_name: "hostname".to_owned(),
        operator: model::pod::ConstraintOperator::Unique,
        value: None,
    }];
    world
        .request(Request::AddPod {
            definition: pod,
            force: false,
        })
        .unwrap();
    world.play();
    let message = "1 of 2 instances: constraint hostname UNIQUE allows 1 instance on this host";
    assert_eq!(shown(&world, "/web").message.unwrap(), message);
    let item = status::queue_item(&world.view("/web"), world.now).unwrap();
    let counts = item.processed_offers_summary.reject_summary_last_offers;
    let told: Vec<_> = counts
        .iter()
        .map(|count| (count.reason.as_str(), count.declined, count.processed))
        .collect();
    assert_eq!(
        told[..3],
        [
            ("UnfulfilledRole", 0, 1),
            ("UnfulfilledConstraint", 1, 1),
            ("NoCorrespondingReservationFound", 0, 0)
        ]
    );
    assert_eq!((item.count, item.delay.overdue), (1, true));
}

#[test]
fn the_next_run_waits_for_the_end_of_the_one_before() {
    let mut world = World::new();
    add(&mut world, &two("/web", 1, ""));
    world.play();
    world.runtime.exit(0, 0, 1, world.now);
    assert!(world.deliver());
    world.advance(Duration::from_secs(10));
    assert_eq!(world.reasons("/web"), [WaitReason::PreviousRun]);
    assert_eq!(incarnations(&world, "/web"), [1]);
    world.play();
    assert_eq!(incarnations(&world, "/web"), [2], "its delay ran meanwhile");
}

#[test]
fn a_launch_that_nothing_is_heard_of_is_killed_and_tried_again() {
    let mut world = World::new();
    let wake = world.now.after(Duration::from_secs(300));
    add(&mut world, &two("/web", 1, ""));
    assert_eq!(world.scheduler.next_wake(), Some(wake));
    let run = world.scheduler.open_runs()[0].run;
    let mut uuids = || uuid::Uuid::nil();
    let mut turn = scheduler::Turn {
        now: wake,
        new_uuid: &mut uuids,
    };
    let effects = world.scheduler.observe(Event::Tick, &mut turn);
    let kill = Effect::Kill {
        run,
        reason: Reason::ExecutorTerminated,
        grace: None,
    };
    assert!(effects.contains(&kill), "{effects:?}");
    assert_eq!(
        world.scheduler.next_wake(),
        Some(wake.after(Duration::from_secs(30))),
        "kills are repeated"
    );
    let outcome = RunOutcome::ExecutorDied {
        message: "destroyed".to_owned(),
    };
    world
        .scheduler
        .observe(Event::RunOver(RunOver { run, outcome }), &mut turn);
    assert!(matches!(
        world.reasons("/web")[..],
        [WaitReason::BackOff { .. }]
    ));
    let shown = shown(&world, "/web");
    let message = shown.termination_history[0].message.as_deref();
    assert_eq!(message, Some("launch was not confirmed within 300 s"));
    assert_eq!(
        shown.instances[0]
            .message
            .as_deref()
            .map(|told| told.split("; ").last().unwrap()),
        Some("last run: a: launch was not confirmed within 300 s")
    );
}

#[test]
fn what_is_reserved_for_another_role_is_not_there() {
    let dev = Claim {
        resources: Resources {
            cpus_milli: 1000,
            mem_bytes: 64 * MIB,
            ..total().resources
        },
        ports: PortSet::range(80, 80),
    };
    let reserved = [("dev".to_owned(), dev)].into();
    let mut world = World::of(Pools::new(total(), reserved));
    let pod = |id: &str, cpus: &str, role: &str, accepted: &str| {
        let mut pod = definition(&one(id, 1, cpus, ""));
        pod.role = Some(role.to_owned());
        pod.scheduling.placement.accepted_resource_roles = serde_json::from_str(accepted).unwrap();
        pod
    };
    let cases = [
        (
            pod("/too-big", "4.5", "*", "[]"),
            Some("needs 4.6 cpus, the agent has 4 in all: it can never fit"),
        ),
        (pod("/dev/big", "4.5", "dev", "[]"), None),
        (
            pod("/ci", "0.1", "ci", r#"["ci"]"#),
            Some(
                "accepts nothing but what is reserved for role ci, and nothing is: it can never fit",
            ),
        ),
        (
            pod("/dev/own", "0.5", "dev", r#"["dev"]"#),
            Some("needs 0.6 cpus, 0 of 1 free"),
        ),
    ];
    for (definition, message) in cases {
        let (id, force) = (definition.id.clone(), false);
        world
            .request(Request::AddPod { definition, force })
            .unwrap();
        assert_eq!(shown(&world, id.as_str()).message.as_deref(), message);
    }
    world.play();
    let reason = &world.reasons("/ci")[0];
    assert_eq!(reason.reject_reason(), Some("UnfulfilledRole"));
    let (pod, force) = (id("/dev/big"), false);
    world.request(Request::RemovePod { pod, force }).unwrap();
    world.play();
    assert_eq!(shown(&world, "/dev/own").status, PodStatusKind::Stable);
}
