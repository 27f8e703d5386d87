//! The life of instances: launched, ended, launched again.

use std::time::Duration;

use model::{
    id::RunId,
    state::{Condition, InstanceStatus, PodStatusKind, TaskState},
    update::TaskUpdate,
};
use scheduler::{Denied, Effect, Event, Request, WaitReason};

use crate::{
    pods::{add, ids, incarnations, shown, two},
    world::{Crash, World, id},
};

#[test]
fn a_pod_is_launched_and_becomes_stable() {
    let mut world = World::new();
    add(&mut world, &two("/web", 2, ""));
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Degraded);
    world.play();
    let shown = shown(&world, "/web");
    assert_eq!(shown.status, PodStatusKind::Stable);
    assert_eq!(shown.message, None);
    assert!(
        shown
            .instances
            .iter()
            .all(|instance| instance.status == InstanceStatus::Stable)
    );
    assert_eq!(incarnations(&world, "/web"), [1, 1]);
    assert_eq!(world.scheduler.deployments().count(), 0);
    assert_eq!(world.scheduler.next_wake(), None);
}

#[test]
fn an_exit_with_0_leaves_the_sibling_running() {
    let mut world = World::new();
    add(&mut world, &two("/web", 1, ""));
    world.play();
    world.runtime.exit(0, 0, 0, world.now);
    world.quiesce();
    let shown = shown(&world, "/web");
    assert_eq!(shown.instances[0].status, InstanceStatus::Stable);
    assert_eq!(shown.instances[0].containers[0].status, TaskState::Finished);
    assert_eq!(
        shown.instances[0].containers[0]
            .termination
            .as_ref()
            .unwrap()
            .exit_code,
        Some(0)
    );
    assert_eq!(shown.instances[0].containers[1].status, TaskState::Running);
    assert_eq!(incarnations(&world, "/web"), [1]);
}

/// How a run ends, and what follows: delay in milliseconds, entries of the history.
#[test]
fn ends_of_runs_and_what_follows() {
    type End = fn(&mut World);
    let cases: [(&str, End, u64, Option<&str>); 9] = [
        (
            "a failure",
            |world| world.runtime.exit(0, 0, 2, world.now),
            1000,
            Some("Command exited with status 2"),
        ),
        (
            "all finished",
            |world| {
                world.runtime.exit(0, 0, 0, world.now);
                world.runtime.exit(0, 0, 0, world.now);
            },
            1000,
            Some("Command exited with status 0"),
        ),
        (
            "its executor's death",
            |world| world.runtime.executor_dies(0),
            1000,
            Some("killed by signal 9"),
        ),
        (
            "a stop of all pods",
            |world| {
                world.runtime.stop_in_order(0, true, world.now);
                world.restart();
            },
            0,
            Some("Command terminated with signal Terminated"),
        ),
        (
            "a stop of all pods that had to be forced",
            |world| {
                world.runtime.stop_in_order(0, false, world.now);
                world.restart();
            },
            0,
            Some("killed, because it did not stop in time"),
        ),
        (
            "a stop of all pods after a container had finished",
            |world| {
                world.runtime.exit(0, 0, 0, world.now);
                world.runtime.stop_in_order(0, true, world.now);
                world.restart();
            },
            0,
            Some("Command exited with status 0"),
        ),
        (
            "a failure before all pods were stopped",
            |world| {
                world.runtime.exit(0, 0, 2, world.now);
                world.runtime.stop_in_order(0, true, world.now);
                world.restart();
            },
            1000,
            Some("Command exited with status 2"),
        ),
        (
            "the host's restart",
            |world| {
                world.runtime.reboot();
                world.restart();
            },
            0,
            Some("the host restarted"),
        ),
        (
            "a request",
            |world| {
                let instances = ids(world, "/web");
                let kill = Request::KillInstances {
                    pod: id("/web"),
                    instances,
                    wipe: false,
                };
                world.request(kill).unwrap();
            },
            0,
            None,
        ),
    ];
    for (name, end, delay, message) in cases {
        let mut world = World::new();
        add(&mut world, &two("/web", 1, ""));
        world.play();
        let before = ids(&world, "/web");
        let ended = world.now;
        end(&mut world);
        world.play();
        if delay > 0 {
            assert_eq!(incarnations(&world, "/web"), [1], "{name} backs off");
            assert_eq!(
                world.scheduler.next_wake(),
                Some(ended.after(Duration::from_millis(delay)))
            );
            let shown = shown(&world, "/web");
            assert_eq!(shown.instances[0].status, InstanceStatus::Pending, "{name}");
            assert!(
                shown
                    .message
                    .unwrap()
                    .starts_with("waits 1 s after a failed launch (until ")
            );
        }
        world.quiesce();
        assert_eq!(
            world.now,
            ended.after(Duration::from_millis(delay)),
            "{name}"
        );
        assert_eq!(ids(&world, "/web"), before, "{name} keeps the id");
        assert_eq!(incarnations(&world, "/web"), [2], "{name}");
        let shown = shown(&world, "/web");
        assert_eq!(shown.status, PodStatusKind::Stable, "{name}");
        let told: Vec<_> = shown
            .termination_history
            .iter()
            .map(|entry| entry.message.as_deref())
            .collect();
        assert_eq!(
            told,
            message.map(Some).into_iter().collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[test]
fn a_crash_loop_waits_longer_each_time_once_per_group() {
    let mut world = World::new();
    add(&mut world, &two("/web", 1, ""));
    let mut waits = Vec::new();
    for _ in 0..4 {
        world.play();
        let failed = world.now;
        world.runtime.exit(0, 0, 1, world.now);
        world.play();
        let wake = world.scheduler.next_wake().unwrap();
        waits.push(wake.since(failed).as_millis());
        world.now = wake;
        world.observe(Event::Tick);
    }
    assert_eq!(waits, [1000, 1150, 1322, 1520]);
    world.play();
    // A long time without failure, and the next one starts anew.
    world.advance(Duration::from_secs(301));
    world.runtime.exit(0, 0, 1, world.now);
    world.play();
    assert_eq!(world.reasons("/web").len(), 1);
    assert!(matches!(
        world.reasons("/web")[0],
        WaitReason::BackOff { delay_ms: 1000, .. }
    ));
    assert_eq!(shown(&world, "/web").termination_history.len(), 5);
}

#[test]
fn an_unhealthy_container_backs_off() {
    let check = r#","healthCheck":{"exec":{"command":{"shell":"true"}},"gracePeriodSeconds":1,
        "intervalSeconds":1,"maxConsecutiveFailures":1,"timeoutSeconds":1,"delaySeconds":1}"#;
    let mut world = World::new();
    add(&mut world, &two("/web", 1, check));
    world.play();
    world.runtime.health(0, false, world.now);
    world.play();
    let unhealthy = shown(&world, "/web");
    assert_eq!(unhealthy.instances[0].status, InstanceStatus::Degraded);
    assert_eq!(
        unhealthy.instances[0].containers[0].conditions[0].value,
        "false"
    );
    // The executor kills it and its sibling; nobody else asked for it.
    world.runtime.kill(world.runtime.alive()[0]);
    world.play();
    assert!(matches!(
        world.reasons("/web")[..],
        [WaitReason::BackOff { delay_ms: 1000, .. }]
    ));
    world.quiesce();
    assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
}

#[test]
fn wiped_instances_are_replaced_by_others() {
    let mut world = World::new();
    add(&mut world, &two("/web", 2, ""));
    world.play();
    let before = ids(&world, "/web");
    let instances = vec![before[0].clone()];
    let wipe = Request::KillInstances {
        pod: id("/web"),
        instances,
        wipe: true,
    };
    let accepted = world.request(wipe.clone()).unwrap();
    assert_eq!(accepted.instances[0].record.condition, Condition::Running);
    world.quiesce();
    let after = ids(&world, "/web");
    assert_eq!(
        (
            after.len(),
            after.contains(&before[0]),
            after.contains(&before[1])
        ),
        (2, false, true)
    );
    let unknown = Denied::InstanceUnknown {
        instance: before[0].clone(),
    };
    assert_eq!(world.request(wipe), Err(unknown));
}

/// Whatever of a turn is lost in a crash: an accepted kill holds, and so does a launch.
#[test]
fn a_crash_after_the_commit_loses_nothing() {
    for effects in 0..6 {
        for wipe in [false, true] {
            let mut world = World::new();
            world.crash = Some(Crash::AfterEffects(effects));
            add(&mut world, &two("/web", 1, ""));
            world.play();
            let before = ids(&world, "/web");
            assert_eq!(incarnations(&world, "/web"), [1]);
            world.crash = Some(Crash::AfterEffects(effects));
            let instances = before.clone();
            world
                .request(Request::KillInstances {
                    pod: id("/web"),
                    instances,
                    wipe,
                })
                .unwrap();
            world.play();
            assert_eq!(incarnations(&world, "/web"), [if wipe { 1 } else { 2 }]);
            assert_eq!(ids(&world, "/web") != before, wipe);
            assert_eq!(shown(&world, "/web").status, PodStatusKind::Stable);
        }
    }
}

#[test]
fn updates_are_applied_once_and_always_acknowledged() {
    let mut world = World::new();
    add(&mut world, &two("/web", 1, ""));
    let run = world.scheduler.open_runs()[0].run;
    let update = |run: RunId, sequence, state| TaskUpdate {
        run,
        sequence,
        at: model::time::Timestamp::from_millis(1_000_000),
        container: "a".to_owned(),
        state,
        reason: None,
        message: String::new(),
        exit: None,
        healthy: None,
    };
    let older = RunId {
        incarnation: 0,
        ..run
    };
    let unknown = RunId {
        instance: uuid::Uuid::nil(),
        ..run
    };
    let cases = [
        (update(run, 1, TaskState::Starting), true),
        (update(run, 1, TaskState::Starting), false),
        (update(run, 2, TaskState::Failed), true),
        (update(run, 1, TaskState::Running), false),
        (update(run, 3, TaskState::Running), true),
        (update(older, 9, TaskState::Failed), false),
        (update(unknown, 9, TaskState::Failed), false),
    ];
    for (update, applied) in cases {
        let mut uuids = || uuid::Uuid::nil();
        let mut turn = scheduler::Turn {
            now: world.now,
            new_uuid: &mut uuids,
        };
        let effects = world
            .scheduler
            .observe(Event::Update(update.clone()), &mut turn);
        let TaskUpdate { run, sequence, .. } = update;
        assert!(
            effects.contains(&Effect::Acknowledge { run, sequence }),
            "{update:?}"
        );
        let record = Effect::Record(model::record::Record::Applied { run, sequence });
        assert_eq!(effects.contains(&record), applied, "{update:?}");
    }
    let task = &world.view("/web").instances[0].tasks[0];
    assert_eq!(task.state, TaskState::Failed, "terminal states absorb");
}

#[test]
fn a_launch_lets_the_delay_count_anew() {
    let backoff =
        r#"{"scheduling":{"backoff":{"backoff":2,"backoffFactor":2,"maxLaunchDelay":3}},"#;
    let mut world = World::new();
    add(&mut world, &two("/web", 1, "").replacen('{', backoff, 1));
    world.play();
    world.runtime.exit(0, 0, 1, world.now);
    world.quiesce();
    // The failure is 4 s ago, more than is remembered, but the launch after it only 2.
    world.advance(Duration::from_secs(2));
    world.runtime.exit(0, 0, 1, world.now);
    world.play();
    assert!(matches!(
        world.reasons("/web")[..],
        [WaitReason::BackOff { delay_ms: 3000, .. }]
    ));
}
