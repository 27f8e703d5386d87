//! Pods that run once, or until they finish: results, and that nothing is launched once more than it may.

use std::time::Duration;

use model::{
    id::InstanceId,
    state::{Condition, InstanceStatus, PodStatusKind, TaskState},
};
use scheduler::{Effect, Event, Request, WaitReason, status};

use crate::{
    pods::{add, ids, incarnations, one, shown, two},
    world::{Crash, World, definition, id, total},
};

/// A pod of containers `a` and `b`.
fn job(pod: &str, instances: u32, policy: &str) -> String {
    let scheduling = format!(r#"{{"scheduling":{{"restartPolicy":"{policy}"}},"#);
    two(pod, instances, "").replacen('{', &scheduling, 1)
}

/// Lets both containers of the first living run end.
fn end(world: &mut World, codes: [i32; 2]) {
    for code in codes {
        world.runtime.exit(0, 0, code, world.now);
    }
    world.play();
}

fn put(world: &mut World, json: &str) {
    let request = Request::PutPod {
        definition: definition(json),
        force: false,
    };
    world.request(request).unwrap();
    world.play();
}

fn kill(world: &mut World, pod: &str, instance: &InstanceId, wipe: bool) {
    let request = Request::KillInstances {
        pod: id(pod),
        instances: vec![instance.clone()],
        wipe,
    };
    world.request(request).unwrap();
    world.play();
}

fn conditions(world: &World, pod: &str) -> Vec<Condition> {
    let view = world.view(pod);
    view.instances
        .iter()
        .map(|one| one.record.condition)
        .collect()
}

/// The only instance of `/job` is over with this result, holds nothing, and stays so whatever starts again.
#[track_caller]
fn check_over(
    world: &mut World,
    result: Condition,
    codes: [Option<i32>; 2],
    message: Option<&str>,
) {
    for again in [
        |_: &mut World| {},
        World::restart,
        World::reboot,
        World::power_cut,
    ] {
        again(world);
        world.quiesce();
        world.advance(Duration::from_secs(3600));
        world.quiesce();
        assert_eq!(conditions(world, "/job"), [result]);
        assert!(world.scheduler.open_runs().is_empty() && world.runtime.runs().is_empty());
        assert_eq!(
            world.scheduler.deployments().count(),
            0,
            "the deployment is done"
        );
        let shown = shown(world, "/job");
        assert_eq!(
            (shown.status, shown.message),
            (PodStatusKind::Terminal, None)
        );
        let instance = &shown.instances[0];
        assert_eq!(instance.status, InstanceStatus::Terminal);
        assert_eq!(instance.message.as_deref(), message);
        assert_eq!(instance.resources.cpus, 0.0);
        let told = instance
            .containers
            .iter()
            .map(|container| container.termination.as_ref().and_then(|end| end.exit_code));
        assert_eq!(told.collect::<Vec<_>>(), codes);
        assert_eq!(status::queue_item(&world.view("/job"), world.now), None);
    }
}

#[test]
fn a_result_stays() {
    // Policy, exit statuses, result, what is told of the containers.
    let cases = [
        (
            "NEVER",
            [0, 0],
            Condition::Finished,
            [Some(0), Some(0)],
            None,
        ),
        (
            "ON_FAILURE",
            [0, 0],
            Condition::Finished,
            [Some(0), Some(0)],
            None,
        ),
        (
            "NEVER",
            [3, 0],
            Condition::Failed,
            [Some(3), Some(0)],
            Some("a: Command exited with status 3"),
        ),
        (
            "NEVER",
            [0, 3],
            Condition::Failed,
            [Some(0), Some(3)],
            Some("b: Command exited with status 3"),
        ),
    ];
    for (policy, codes, result, told, message) in cases {
        let mut world = World::new();
        add(&mut world, &job("/job", 1, policy));
        world.play();
        assert_eq!(
            shown(&world, "/job").status,
            PodStatusKind::Stable,
            "while it runs"
        );
        end(&mut world, codes);
        check_over(&mut world, result, told, message);
        assert_eq!(incarnations(&world, "/job"), [1]);
    }
}

#[test]
fn a_failed_container_takes_its_siblings_along_for_good() {
    let mut world = World::new();
    add(&mut world, &job("/job", 1, "NEVER"));
    world.play();
    world.runtime.exit(0, 1, 7, world.now);
    assert!(world.deliver());
    let dying = shown(&world, "/job");
    assert_eq!(dying.instances[0].status, InstanceStatus::Terminal);
    assert_eq!(dying.message, None, "it waits for nothing");
    world.play();
    let told = [Some(128 + 15), Some(7)];
    check_over(
        &mut world,
        Condition::Failed,
        told,
        Some("b: Command exited with status 7"),
    );
}

/// Before it was heard of, while it starts, while it runs.
#[test]
fn a_run_that_was_cut_off_is_failed_or_repeated() {
    type Cut = (fn(&mut World), &'static str);
    let cuts: [Cut; 3] = [
        (World::reboot, "the host restarted"),
        (World::power_cut, "the host restarted"),
        (|world| world.runtime.executor_dies(0), "killed by signal 9"),
    ];
    for (cut, message) in cuts {
        for steps in [0, 2, 20] {
            let begin = |policy| {
                let mut world = World::new();
                add(&mut world, &job("/job", 1, policy));
                for _ in 0..steps {
                    if !world.deliver() {
                        world.runtime.step(world.now);
                    }
                }
                cut(&mut world);
                world.quiesce();
                world
            };
            let mut world = begin("NEVER");
            assert_eq!(incarnations(&world, "/job"), [1]);
            let message = format!("a: {message}");
            check_over(&mut world, Condition::Failed, [None; 2], Some(&message));
            let mut world = begin("ON_FAILURE");
            assert_eq!(incarnations(&world, "/job"), [2]);
            assert_eq!(shown(&world, "/job").status, PodStatusKind::Stable);
            end(&mut world, [0, 0]);
            check_over(&mut world, Condition::Finished, [Some(0); 2], None);
        }
    }
}

#[test]
fn failures_are_repeated_after_a_delay_until_it_finishes() {
    let mut world = World::new();
    add(&mut world, &job("/job", 1, "ON_FAILURE"));
    for delay_ms in [1000, 1150] {
        world.play();
        end(&mut world, [1, 0]);
        let reasons = world.reasons("/job");
        assert!(
            matches!(reasons[..], [WaitReason::BackOff { delay_ms: found, .. }] if found == delay_ms),
            "{reasons:?}"
        );
        assert_eq!(shown(&world, "/job").status, PodStatusKind::Degraded);
        world.now = world.scheduler.next_wake().unwrap();
        world.observe(Event::Tick);
    }
    world.play();
    end(&mut world, [0, 0]);
    assert_eq!(
        world.view("/job").backoff.unwrap().delay_ms,
        1150,
        "success delays nothing"
    );
    check_over(&mut world, Condition::Finished, [Some(0); 2], None);
    assert_eq!(incarnations(&world, "/job"), [3]);
}

/// What ends never delays what has not run yet.
#[test]
fn instances_that_end_let_others_go_on() {
    let mut world = World::new();
    // Only three of the five fit at a time.
    let five = one("/job", 5, "1.1", "");
    add(
        &mut world,
        &five.replacen('{', r#"{"scheduling":{"restartPolicy":"NEVER"},"#, 1),
    );
    world.play();
    assert_eq!(world.scheduler.open_runs().len(), 3);
    let mut left: usize = 5;
    while left > 0 {
        world.runtime.exit(0, 0, i32::from(left == 2), world.now);
        world.play();
        left -= 1;
        assert_eq!(world.scheduler.open_runs().len(), left.min(3));
        let status = shown(&world, "/job").status;
        assert_eq!(
            status == PodStatusKind::Terminal,
            left == 0,
            "{left} are left"
        );
    }
    let failed = conditions(&world, "/job");
    let failed = failed.iter().filter(|one| **one == Condition::Failed);
    assert_eq!(failed.count(), 1);
    assert_eq!(world.scheduler.deployments().count(), 0);
}

#[test]
fn kills_end_what_runs_and_leave_what_is_over() {
    let mut world = World::new();
    add(&mut world, &job("/job", 1, "NEVER"));
    world.play();
    let instance = ids(&world, "/job").remove(0);
    kill(&mut world, "/job", &instance, false);
    let ended_early = "it was ended before all of its containers finished";
    let told = [Some(128 + 15); 2];
    check_over(&mut world, Condition::Failed, told, Some(ended_early));
    kill(&mut world, "/job", &instance, false);
    check_over(&mut world, Condition::Failed, told, Some(ended_early));
    // To wipe it is to ask for another one.
    kill(&mut world, "/job", &instance, true);
    let other = ids(&world, "/job");
    assert!(other.len() == 1 && other[0] != instance);
    assert_eq!(shown(&world, "/job").status, PodStatusKind::Stable);
    end(&mut world, [0, 0]);
    check_over(&mut world, Condition::Finished, [Some(0); 2], None);

    let mut world = World::new();
    add(&mut world, &job("/job", 1, "ON_FAILURE"));
    world.play();
    let instance = ids(&world, "/job").remove(0);
    kill(&mut world, "/job", &instance, false);
    assert_eq!(incarnations(&world, "/job"), [2], "it has not finished yet");
}

#[test]
fn updates_replace_results_and_scaling_keeps_them() {
    let mut world = World::new();
    add(&mut world, &job("/job", 2, "NEVER"));
    world.play();
    end(&mut world, [0, 0]);
    let finished = ids(&world, "/job")[0].clone();
    put(&mut world, &job("/job", 3, "NEVER"));
    assert_eq!(ids(&world, "/job").len(), 3);
    assert_eq!(world.scheduler.open_runs().len(), 2);
    // Of so many runs as are wanted one is done.
    put(&mut world, &job("/job", 1, "NEVER"));
    assert_eq!(ids(&world, "/job"), std::slice::from_ref(&finished));
    assert_eq!(shown(&world, "/job").status, PodStatusKind::Terminal);
    put(
        &mut world,
        &job("/job", 1, "NEVER").replacen('{', r#"{"labels":{"new":"1"},"#, 1),
    );
    let new = ids(&world, "/job");
    assert!(new.len() == 1 && new[0] != finished);
    assert_eq!(world.scheduler.open_runs().len(), 1);
    end(&mut world, [1, 0]);
    assert_eq!(conditions(&world, "/job"), [Condition::Failed]);
    // The policy is part of the configuration: under another one it is another run.
    put(&mut world, &job("/job", 1, "ALWAYS"));
    assert_eq!(world.scheduler.open_runs().len(), 1);
    assert_eq!(world.scheduler.deployments().count(), 0);
    put(&mut world, &job("/job", 0, "NEVER"));
    world.quiesce();
    assert_eq!(
        (ids(&world, "/job").len(), world.runtime.runs().len()),
        (0, 0)
    );
}

#[test]
fn a_pod_that_is_over_is_removed_at_once() {
    let mut world = World::new();
    add(&mut world, &job("/job", 1, "NEVER"));
    world.play();
    end(&mut world, [0, 0]);
    let request = Request::RemovePod {
        pod: id("/job"),
        force: false,
    };
    world.request(request).unwrap();
    assert!(world.scheduler.view(&id("/job")).is_none());
    assert!(world.store.instances.is_empty());
}

/// Whatever is lost in a crash between commit and effects, at any turn: one run, and its result.
#[test]
fn a_crash_at_any_moment_changes_no_result() {
    for (policy, code) in [("NEVER", 0), ("NEVER", 1), ("ON_FAILURE", 0)] {
        for turn in 0..16 {
            for crash in [
                Crash::BeforeCommit,
                Crash::AfterEffects(0),
                Crash::AfterEffects(1),
                Crash::AfterEffects(9),
            ] {
                let mut world = World::new();
                if turn == 0 && crash != Crash::BeforeCommit {
                    world.crash = Some(crash);
                }
                add(&mut world, &job("/job", 1, policy));
                let mut exited = false;
                for number in 1..60 {
                    if number == turn {
                        world.crash = Some(crash);
                    }
                    if !world.deliver() && !world.runtime.step(world.now) && !exited {
                        exited = true;
                        world.runtime.exit(0, 0, code, world.now);
                        world.runtime.exit(0, 0, 0, world.now);
                    }
                }
                world.crash = None;
                world.quiesce();
                let result = if code == 0 {
                    Condition::Finished
                } else {
                    Condition::Failed
                };
                assert_eq!(
                    conditions(&world, "/job"),
                    [result],
                    "{policy} {turn} {crash:?}"
                );
                assert_eq!(incarnations(&world, "/job"), [1]);
            }
        }
    }
}

/// What is launched because room became free, not because somebody asked, is known after a power cut, too.
#[test]
fn a_power_cut_repeats_no_run() {
    let mut world = World::new();
    add(&mut world, &one("/first", 1, "3.8", ""));
    add(&mut world, &job("/job", 1, "NEVER"));
    world.play();
    assert_eq!(world.reasons("/job").len(), 1);
    world.runtime.exit(0, 0, 1, world.now);
    world.play();
    assert_eq!(incarnations(&world, "/job"), [1]);
    world.power_cut();
    world.quiesce();
    assert_eq!(conditions(&world, "/job"), [Condition::Failed]);
    assert_eq!(total(), world.total.sum());

    let mut world = World::new();
    add(&mut world, &job("/job", 1, "ON_FAILURE"));
    world.play();
    let mut uuids = || uuid::Uuid::nil();
    let mut turn = scheduler::Turn {
        now: world.now,
        new_uuid: &mut uuids,
    };
    world.runtime.exit(0, 0, 0, world.now);
    let event = world.runtime.next_event().unwrap();
    let effects = world.scheduler.observe(event, &mut turn);
    assert!(
        effects.contains(&Effect::Harden),
        "the end of a container is stored at once"
    );
    assert_eq!(
        world.view("/job").instances[0].tasks[0].state,
        TaskState::Finished
    );
}
