//! What a turn of the loop costs, without store and effects: decisions, offers, and the views that readers get.
//!
//! The same event beside few and beside many instances that it does not concern: the cost may not grow with them.

use std::{collections::BTreeMap, hint::black_box, time::Duration};

use agent::allocator::Agent;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use model::{
    id::{InstanceId, PodId, RunId},
    offer::{AgentInfo, Claim},
    pod::PodDefinition,
    ports::PortSet,
    record::Saved,
    resources::{MIB, Resources},
    state::TaskState,
    time::Timestamp,
    update::{RunOutcome, RunOver, TaskUpdate},
};
use scheduler::{Config, Effect, Event, Request, Scheduler, Turn};
use uuid::Uuid;

/// Pods, and instances of each.
const SHAPES: [(usize, u32); 5] = [(1, 1), (50, 4), (1_000, 1), (50, 20), (4_000, 1)];

enum Input {
    Request(Box<Request>),
    Event(Event),
}

struct Host {
    scheduler: Scheduler,
    agent: Agent,
    now: Timestamp,
    uuids: u128,
    sequence: u64,
    /// The instance that events are about; its pod is in the middle.
    chosen: InstanceId,
    pod: PodId,
}

impl Host {
    fn new(pods: usize, instances: u32) -> Self {
        let total = Claim {
            resources: Resources {
                cpus_milli: 1 << 40,
                mem_bytes: MIB << 40,
                disk_bytes: MIB << 40,
                gpus: 0,
            },
            ports: PortSet::range(1025, 65_000),
        };
        let info = AgentInfo {
            id: "agent".to_owned(),
            hostname: "node1".to_owned(),
            attributes: BTreeMap::new(),
        };
        let config = Config::new(info, total.clone());
        let pod: PodId = format!("/p{}", pods / 2).parse().expect("a pod's id");
        let mut host = Self {
            scheduler: Scheduler::restore(config, Saved::default()).expect("nothing is stored"),
            agent: Agent::new(total, Duration::from_secs(60)),
            now: Timestamp::from_millis(1_000_000),
            uuids: 0,
            sequence: 0,
            chosen: InstanceId::new(&pod, Uuid::nil()),
            pod,
        };
        for number in 0..pods {
            let definition = definition(number, instances);
            host.request(Request::AddPod {
                definition,
                force: false,
            });
        }
        let view = host.scheduler.view(&host.pod).expect("it was added");
        let middle = view.instances.len() / 2;
        host.chosen = view.instances[middle].record.id.clone();
        host
    }

    fn request(&mut self, request: Request) {
        self.play(Input::Request(Box::new(request)));
    }

    /// Turns until nothing more follows. What is launched runs at once, what is killed is over at once.
    fn play(&mut self, input: Input) {
        for effect in self.turn(input) {
            match effect {
                Effect::Launch(group) => {
                    self.sequence = 1;
                    let update = running(group.run, 1, Some(true), self.now);
                    self.play(Input::Event(Event::Update(update)));
                }
                Effect::Kill { run, .. } => {
                    let outcome = RunOutcome::Completed;
                    self.play(Input::Event(Event::RunOver(RunOver { run, outcome })));
                }
                Effect::Record(_)
                | Effect::Harden
                | Effect::Release(_)
                | Effect::Acknowledge { .. }
                | Effect::Announce(_) => {}
            }
        }
    }

    /// As the daemon's loop turns.
    fn turn(&mut self, input: Input) -> Vec<Effect> {
        let uuids = &mut self.uuids;
        let mut new_uuid = || {
            *uuids += 1;
            Uuid::from_u128(*uuids)
        };
        self.now = self.now.after(Duration::from_millis(1));
        let mut turn = Turn {
            now: self.now,
            new_uuid: &mut new_uuid,
        };
        let mut effects = match input {
            Input::Event(event) => self.scheduler.observe(event, &mut turn),
            Input::Request(request) => {
                let (answer, effects) = self.scheduler.request(*request, &mut turn);
                answer.expect("the request is in order");
                effects
            }
        };
        effects.extend(self.scheduler.observe(Event::Tick, &mut turn));
        for effect in &effects {
            if let Effect::Release(run) = effect {
                self.agent.release(*run);
            }
        }
        while self.scheduler.wants_offers(self.now) {
            self.agent.revive();
            let Some(offer) = self.agent.offer(self.now) else {
                break;
            };
            let total = self.agent.pools().clone();
            let answer = self.scheduler.consider(&offer, &total, &mut turn);
            effects.extend(answer.effects);
            self.agent
                .accept(offer.id, &answer.launches, self.now)
                .expect("what was offered");
            if answer.launches.is_empty() {
                break;
            }
        }
        for pod in self.scheduler.take_changed() {
            black_box(self.scheduler.view(&pod));
        }
        black_box(self.scheduler.next_wake());
        black_box(self.agent.next_wake());
        black_box(self.agent.accounting());
        effects
    }

    fn run(&self) -> RunId {
        let view = self.scheduler.view(&self.pod).expect("it is there");
        let mut instances = view.instances.iter().map(|instance| &instance.record);
        let chosen = instances.find(|record| record.id == self.chosen);
        RunId {
            instance: self.chosen.uuid,
            incarnation: chosen.expect("it is there").incarnation,
        }
    }
}

fn definition(number: usize, instances: u32) -> PodDefinition {
    let text = format!(
        r#"{{"id":"/p{number}","networks":[{{"mode":"host"}}],
            "containers":[{{"name":"c","resources":{{"cpus":0.01,"mem":32}},
                "endpoints":[{{"name":"web","hostPort":0}}],
                "healthCheck":{{"exec":{{"command":{{"shell":"true"}}}},"gracePeriodSeconds":1,
                    "intervalSeconds":1,"maxConsecutiveFailures":1,"timeoutSeconds":1,"delaySeconds":1}}}}],
            "scaling":{{"kind":"fixed","instances":{instances}}}}}"#
    );
    serde_json::from_str(&text).expect("a definition")
}

fn running(run: RunId, sequence: u64, healthy: Option<bool>, at: Timestamp) -> TaskUpdate {
    TaskUpdate {
        run,
        sequence,
        container: "c".to_owned(),
        state: TaskState::Running,
        reason: None,
        message: String::new(),
        exit: None,
        healthy,
        at,
    }
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("health changes");
    for (pods, instances) in SHAPES {
        let mut host = Host::new(pods, instances);
        let run = host.run();
        group.bench_function(
            BenchmarkId::from_parameter(name(pods, instances)),
            |bencher| {
                bencher.iter(|| {
                    host.sequence += 1;
                    let (sequence, healthy) =
                        (host.sequence, Some(host.sequence.is_multiple_of(2)));
                    let update = running(run, sequence, healthy, host.now);
                    host.turn(Input::Event(Event::Update(update)))
                });
            },
        );
    }
    group.finish();
    // Four turns: the request, the run's end with the next launch, that launch, and what is heard of it.
    let mut group = criterion.benchmark_group("an instance is killed and launched again");
    for (pods, instances) in SHAPES {
        let mut host = Host::new(pods, instances);
        group.bench_function(
            BenchmarkId::from_parameter(name(pods, instances)),
            |bencher| {
                bencher.iter(|| {
                    let (pod, instances) = (host.pod.clone(), vec![host.chosen.clone()]);
                    host.request(Request::KillInstances {
                        pod,
                        instances,
                        wipe: false,
                    });
                });
            },
        );
    }
    group.finish();
}

fn name(pods: usize, instances: u32) -> String {
    format!("{pods} pods x {instances}")
}

criterion_group!(benches, turns);
criterion_main!(benches);
