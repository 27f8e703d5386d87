//! Random workloads with crashes anywhere: whatever happens, every goal is reached.

use std::time::Duration;

use model::{
    id::InstanceId,
    offer::Claim,
    pools::{Access, Pools},
    ports::PortSet,
    record::InstanceRecord,
    resources::{MIB, Resources},
    state::{Condition, Goal, TaskState},
};
use proptest::prelude::*;
use scheduler::{Event, InstanceView, PodView, Request, WaitReason};
use uuid::Uuid;

use crate::world::{Crash, World, definition, id, total};

/// A pod's definition, as far as it varies.
#[derive(Clone, Debug)]
struct Shape {
    pod: usize,
    instances: u32,
    cpus: &'static str,
    containers: usize,
    port: Option<u16>,
    checked: bool,
    unique: bool,
    upgrade: (f64, f64),
    label: u8,
    restart: &'static str,
    /// The pod's role, and those that it accepts.
    role: (&'static str, &'static str),
}

impl Shape {
    fn request(&self, put: bool, force: bool) -> Request {
        let endpoint = self.port.map_or(String::new(), |port| {
            format!(r#","endpoints":[{{"name":"web","hostPort":{port}}}]"#)
        });
        let check = if self.checked {
            r#","healthCheck":{"exec":{"command":{"shell":"true"}},"gracePeriodSeconds":1,
                "intervalSeconds":1,"maxConsecutiveFailures":1,"timeoutSeconds":1,"delaySeconds":1}"#
        } else {
            ""
        };
        let containers: Vec<_> = (0..self.containers)
            .map(|index| {
                let first = if index == 0 {
                    format!("{endpoint}{check}")
                } else {
                    String::new()
                };
                format!(
                    r#"{{"name":"c{index}","resources":{{"cpus":{},"mem":32}}{first}}}"#,
                    self.cpus
                )
            })
            .collect();
        let constraint = if self.unique {
            r#"{"fieldName":"hostname","operator":"UNIQUE"}"#
        } else {
            ""
        };
        let definition = definition(&format!(
            r#"{{"id":"/p{}","labels":{{"v":"{}"}},"containers":[{}],"networks":[{{"mode":"host"}}],
                "scaling":{{"kind":"fixed","instances":{}}},"scheduling":{{"upgrade":
                {{"minimumHealthCapacity":{},"maximumOverCapacity":{}}},"restartPolicy":"{}",
                "placement":{{"acceptedResourceRoles":{},"constraints":[{constraint}]}}}},"role":"{}"}}"#,
            self.pod,
            self.label,
            containers.join(","),
            self.instances,
            self.upgrade.0,
            self.upgrade.1,
            self.restart,
            self.role.1,
            self.role.0,
        ));
        if put {
            Request::PutPod { definition, force }
        } else {
            Request::AddPod { definition, force }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Define {
        shape: Shape,
        put: bool,
        force: bool,
    },
    Restart {
        pod: usize,
        force: bool,
    },
    Remove {
        pod: usize,
        force: bool,
    },
    Kill {
        pod: usize,
        index: usize,
        wipe: bool,
    },
    Cancel {
        index: usize,
    },
    RollBack {
        index: usize,
    },
    Exit {
        index: usize,
        container: usize,
        code: i32,
    },
    Health {
        index: usize,
        healthy: bool,
    },
    ExecutorDies {
        index: usize,
    },
    Work {
        steps: usize,
    },
    Advance {
        ms: u64,
    },
    Crash(Crash),
    Reboot,
    PowerCut,
    /// The daemon starts anew on a host that has more, or less, or other ports.
    Resize(Pools),
}

fn shapes() -> impl Strategy<Value = Shape> {
    (
        (
            0..3usize,
            0..4u32,
            prop::sample::select(vec!["0.1", "0.5", "1.3", "9"]),
            1..3usize,
        ),
        prop::option::weighted(0.4, prop::sample::select(vec![0, 0, 31000, 31004, 80])),
        (
            prop::bool::weighted(0.3),
            prop::bool::weighted(0.15),
            0..3u8,
        ),
        (
            prop::sample::select(vec![0.0, 0.5, 1.0]),
            prop::sample::select(vec![0.0, 0.5, 1.0]),
        ),
        prop::sample::select(vec!["ALWAYS", "ALWAYS", "ON_FAILURE", "NEVER"]),
        prop::sample::select(vec![
            ("*", "[]"),
            ("*", "[]"),
            ("dev", "[]"),
            ("dev", r#"["*"]"#),
            ("dev", r#"["dev"]"#),
        ]),
    )
        .prop_map(
            |(
                (pod, instances, cpus, containers),
                port,
                (checked, unique, label),
                upgrade,
                restart,
                role,
            )| Shape {
                pod,
                instances,
                cpus,
                containers,
                port,
                checked,
                unique,
                upgrade,
                label,
                restart,
                role,
            },
        )
}

/// What the host may have instead: less than what runs hold, as much, more; ports that overlap with those before, or not.
fn totals() -> impl Strategy<Value = Pools> {
    let ports = prop::sample::select(vec![
        (31000, 31009),
        (31004, 31013),
        (31000, 31001),
        (80, 90),
    ]);
    let cpus_milli = prop::sample::select(vec![150, 600, 1400, 2500, 4000, 8000]);
    let mem_mib = prop::sample::select(vec![100, 4096, 4096]);
    let shared = (cpus_milli, mem_mib, ports).prop_map(|(cpus_milli, mem_mib, (first, last))| {
        let resources = Resources {
            cpus_milli,
            mem_bytes: mem_mib * MIB,
            ..total().resources
        };
        let ports = PortSet::range(first, last);
        Claim { resources, ports }
    });
    let reserved = (prop::sample::select(vec![0, 300, 700, 2000]), any::<bool>());
    let reserved = reserved.prop_map(|(cpus_milli, ports)| Claim {
        resources: Resources {
            cpus_milli,
            mem_bytes: 128 * MIB,
            ..total().resources
        },
        ports: if ports {
            PortSet::range(31000, 31002)
        } else {
            PortSet::default()
        },
    });
    (shared, prop::option::weighted(0.5, reserved)).prop_map(|(shared, reserved)| {
        let reserved = reserved.map(|claim| ("dev".to_owned(), claim));
        Pools::new(shared, reserved.into_iter().collect())
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let index = 0..8usize;
    let crash = prop_oneof![
        Just(Crash::BeforeCommit),
        (0..6usize).prop_map(Crash::AfterEffects),
        Just(Crash::AfterEffects(usize::MAX)),
    ];
    prop_oneof![
        6 => (shapes(), any::<bool>(), any::<bool>())
            .prop_map(|(shape, put, force)| Step::Define { shape, put, force }),
        1 => (0..3usize, any::<bool>()).prop_map(|(pod, force)| Step::Restart { pod, force }),
        2 => (0..3usize, any::<bool>()).prop_map(|(pod, force)| Step::Remove { pod, force }),
        2 => (0..3usize, index.clone(), any::<bool>())
            .prop_map(|(pod, index, wipe)| Step::Kill { pod, index, wipe }),
        1 => index.clone().prop_map(|index| Step::Cancel { index }),
        1 => index.clone().prop_map(|index| Step::RollBack { index }),
        3 => (index.clone(), 0..2usize, 0..2i32)
            .prop_map(|(index, container, code)| Step::Exit { index, container, code }),
        1 => (index.clone(), any::<bool>())
            .prop_map(|(index, healthy)| Step::Health { index, healthy }),
        1 => index.prop_map(|index| Step::ExecutorDies { index }),
        8 => (1..12usize).prop_map(|steps| Step::Work { steps }),
        3 => (1..4000u64).prop_map(|ms| Step::Advance { ms }),
        5 => crash.prop_map(Step::Crash),
        1 => Just(Step::Reboot),
        1 => Just(Step::PowerCut),
        1 => totals().prop_map(Step::Resize),
    ]
}

fn run(steps: &[Step]) -> World {
    let mut world = World::new();
    for step in steps {
        take(&mut world, step);
    }
    world.crash = None;
    // Every health check succeeds in the end.
    for index in 0..16 {
        world.runtime.health(index, true, world.now);
    }
    world.quiesce();
    world
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Define { shape, put, force } => {
            let request = shape.request(*put, *force);
            if let Request::PutPod { definition, .. } = &request {
                let before = world.views();
                let planned = world.plan(definition.clone());
                assert_eq!(world.views(), before, "a plan changes nothing: {planned:?}");
            }
            drop(world.request(request));
        }
        Step::Restart { pod, force } => {
            drop(world.request(Request::RestartPod {
                pod: id(&format!("/p{pod}")),
                force: *force,
            }));
        }
        Step::Remove { pod, force } => {
            drop(world.request(Request::RemovePod {
                pod: id(&format!("/p{pod}")),
                force: *force,
            }));
        }
        Step::Kill { pod, index, wipe } => kill(world, *pod, *index, *wipe),
        Step::Cancel { index } => {
            if let Some(deployment) = deployment(world, *index) {
                drop(world.request(Request::CancelDeployment { deployment }));
            }
        }
        Step::RollBack { index } => {
            if let Some(deployment) = deployment(world, *index) {
                drop(world.request(Request::RollbackDeployment { deployment }));
            }
        }
        Step::Exit {
            index,
            container,
            code,
        } => {
            world.runtime.exit(*index, *container, *code, world.now);
        }
        Step::Health { index, healthy } => world.runtime.health(*index, *healthy, world.now),
        Step::ExecutorDies { index } => world.runtime.executor_dies(*index),
        Step::Work { steps } => work(world, *steps),
        Step::Advance { ms } => world.advance(Duration::from_millis(*ms)),
        Step::Crash(crash) => world.crash = Some(*crash),
        Step::Reboot => world.reboot(),
        Step::PowerCut => world.power_cut(),
        Step::Resize(total) => world.resize(total.clone()),
    }
}

fn work(world: &mut World, steps: usize) {
    for step in 0..steps {
        if step % 3 == 0 {
            world.runtime.step(world.now);
        }
        if !world.deliver() {
            world.observe(Event::Tick);
        }
    }
}

fn kill(world: &mut World, pod: usize, index: usize, wipe: bool) {
    let pod = id(&format!("/p{pod}"));
    let Some(view) = world.scheduler.view(&pod) else {
        return;
    };
    let known: Vec<InstanceId> = view
        .instances
        .iter()
        .map(|instance| instance.record.id.clone())
        .collect();
    let Some(instance) = known.get(index % known.len().max(1)) else {
        return;
    };
    drop(world.request(Request::KillInstances {
        pod,
        instances: vec![instance.clone()],
        wipe,
    }));
}

fn deployment(world: &World, index: usize) -> Option<model::id::DeploymentId> {
    let known: Vec<_> = world
        .scheduler
        .deployments()
        .map(|found| found.id)
        .collect();
    known.get(index % known.len().max(1)).copied()
}

/// Every pod has what was asked for, or waits for something that really is not there.
fn check_goals(world: &World) {
    for view in world.views() {
        let pod = &view.record.id;
        assert!(
            !view.record.removing,
            "{pod} was removed and is still there"
        );
        let target = usize::try_from(view.definition.scaling.instances()).unwrap();
        let arrived = view
            .instances
            .iter()
            .filter(|instance| instance.ready || instance.is_over())
            .count();
        let old = view
            .instances
            .iter()
            .filter(|instance| instance.record.version != view.record.last_config_change)
            .count();
        if arrived == target && view.instances.len() == target && view.deployment.is_none() {
            continue;
        }
        let waiting: Vec<_> = view
            .instances
            .iter()
            .filter_map(|instance| instance.waiting.as_ref())
            .collect();
        assert!(
            !waiting.is_empty(),
            "{pod} stands still and nothing waits: {view:#?}"
        );
        for instance in view.instances.iter().filter(|one| one.waiting.is_some()) {
            assert!(
                !would_fit(world, &view, instance, &[]),
                "{pod} waits although it fits: {view:#?}"
            );
        }
        for reason in &waiting {
            let transient = matches!(
                reason,
                WaitReason::PreviousRun | WaitReason::BackOff { .. } | WaitReason::NextOffer
            );
            assert!(
                !transient,
                "{pod} came to rest although its instance {reason}"
            );
        }
        assert!(
            view.deployment.is_none() || old == 0 || !would_fit_without_old(world, &view),
            "{pod} waits for its own old instances: {view:#?}"
        );
    }
}

/// Were the pod's old instances gone, could one that waits be launched?
fn would_fit_without_old(world: &World, view: &PodView) -> bool {
    let is_new = |record: &InstanceRecord| record.version == view.record.last_config_change;
    let (new, old): (Vec<_>, Vec<_>) = view
        .instances
        .iter()
        .partition(|instance| is_new(&instance.record));
    let old: Vec<_> = old.iter().map(|one| one.record.id.uuid).collect();
    let mut waiting = new.iter().filter(|one| one.waiting.is_some());
    waiting.any(|instance| would_fit(world, view, instance, &old))
}

/// A plain reckoning beside the scheduler's: could the instance be launched if those of `without` were gone?
fn would_fit(world: &World, view: &PodView, instance: &InstanceView, without: &[Uuid]) -> bool {
    let open = world.scheduler.open_runs().into_iter();
    let held: Vec<_> = open
        .filter(|open| !without.contains(&open.run.instance))
        .collect();
    let (pools, definition) = (&world.total, &instance.definition);
    let access = Access::of(definition);
    let total = pools.of(&access);
    let dev = || Access::Reserved("dev".to_owned());
    // What the role's runs hold beyond what is reserved for it they hold of everybody's.
    let free = |of: fn(&Claim) -> u64| {
        let holds = |shared: bool| {
            let runs = held
                .iter()
                .filter(|one| (one.access == Access::Unreserved) == shared);
            runs.map(|one| of(&one.claim)).sum::<u64>()
        };
        let (own, everybodys) = (of(&pools.of(&dev())), of(&pools.of(&Access::Unreserved)));
        let beyond = holds(false).saturating_sub(own);
        let everybodys = everybodys.saturating_sub(holds(true) + beyond);
        let own = own.saturating_sub(holds(false));
        match access {
            Access::Unreserved => everybodys,
            Access::Reserved(_) => own,
            Access::Both(_) => own + everybodys,
        }
    };
    let needed = definition.instance_resources().unwrap();
    let endpoints = || definition.containers.iter().flat_map(|one| &one.endpoints);
    let is_free = |port: u16| !held.iter().any(|one| one.claim.ports.contains(port));
    let free_ports = total.ports.iter().filter(|port| is_free(*port)).count();
    let port_fits = |port: u16| port == 0 || (total.ports.contains(port) && is_free(port));
    let placed = view
        .instances
        .iter()
        .any(|other| other.record.run_open && !without.contains(&other.record.id.uuid));
    let unique = !definition.scheduling.placement.constraints.is_empty();
    needed.cpus_milli <= free(|claim| claim.resources.cpus_milli)
        && needed.mem_bytes <= free(|claim| claim.resources.mem_bytes)
        && endpoints().count() <= free_ports
        && endpoints().all(|endpoint| port_fits(endpoint.host_port.unwrap_or(0)))
        && !(unique && placed)
}

/// An instance that is not launched again tells how each container ended, and has the result that follows from it.
fn check_result(instance: &InstanceView) {
    let states: Vec<_> = instance.tasks.iter().map(|task| task.state).collect();
    assert!(
        states.iter().all(|state| state.is_terminal()),
        "{instance:#?}"
    );
    let finished = states.iter().all(|state| *state == TaskState::Finished);
    let result = if finished {
        Condition::Finished
    } else {
        Condition::Failed
    };
    assert_eq!(instance.record.condition, result, "{instance:#?}");
    assert_eq!((instance.ready, &instance.waiting), (false, &None));
}

fn check_world(world: &World) {
    check_goals(world);
    let open: Vec<_> = world
        .scheduler
        .open_runs()
        .into_iter()
        .map(|open| open.run)
        .collect();
    let mut alive = world.runtime.alive();
    alive.sort_unstable();
    let mut sorted = open.clone();
    sorted.sort_unstable();
    assert_eq!(alive, sorted, "what runs is what is known to run");
    for view in world.views() {
        for instance in &view.instances {
            assert_eq!(instance.record.goal, Goal::Running);
            if instance.is_over() {
                check_result(instance);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::default() })]

    /// Every goal is reached, with one run for each instance at most, whatever crashes on the way.
    #[test]
    fn every_goal_is_reached_across_crashes(steps in prop::collection::vec(steps(), 1..60)) {
        let mut world = run(&steps);
        check_world(&world);
        // Where there was too little for what was wanted, there is room in the end.
        world.resize(total());
        world.quiesce();
        check_world(&world);
    }

    /// The same inputs give the same effects, in the same order.
    #[test]
    fn same_inputs_replay_identically(steps in prop::collection::vec(steps(), 1..30)) {
        prop_assert_eq!(run(&steps).trace, run(&steps).trace);
    }
}
