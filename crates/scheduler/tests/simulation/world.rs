//! The daemon's loop in small: a real scheduler and a real agent between the fake store and the fake runtime.

use std::{collections::BTreeMap, time::Duration};

use agent::{accounting::Accounting, allocator::Agent};
use model::{
    id::{PodId, RunId},
    offer::{AgentInfo, Claim},
    pod::PodDefinition,
    pools::Pools,
    ports::PortSet,
    record::Record,
    resources::{MIB, ResourceKind, Resources},
    state::Goal,
    time::Timestamp,
    update::{RunOutcome, RunOver},
};
use scheduler::{
    Accepted, Config, Denied, Effect, Event, Plan, PodView, Request, Scheduler, Turn, WaitReason,
};
use uuid::Uuid;

use crate::{runtime::Runtime, store::Store};

/// Where a turn is cut off by a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Everything that the turn decided is lost.
    BeforeCommit,
    /// The records are stored; so many of the other effects were carried out.
    AfterEffects(usize),
}

/// Why a turn is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Request,
    Observation,
}

/// Whether the host restarted before the daemon starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boot {
    Same,
    Another,
}

pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) agent: Agent,
    pub(crate) store: Store,
    /// What of the store a power cut leaves.
    durable: Store,
    pub(crate) runtime: Runtime,
    pub(crate) now: Timestamp,
    /// What the agent has.
    pub(crate) total: Pools,
    /// What the next turn ends with, if with a crash.
    pub(crate) crash: Option<Crash>,
    /// Everything that came out, for comparing two lives.
    pub(crate) trace: Vec<String>,
    /// What was announced.
    pub(crate) announced: Vec<String>,
    /// Views as readers have them: renewed when the scheduler tells that they changed.
    published: BTreeMap<PodId, PodView>,
    next_uuid: u128,
    /// How many turns there were.
    turns: usize,
    /// Every so many turns all of the state is compared, which takes time in proportion to it.
    pub(crate) compare_every: usize,
}

/// 4 cpus, plenty of memory, ten ports.
pub(crate) fn total() -> Claim {
    Claim {
        resources: Resources {
            cpus_milli: 4000,
            mem_bytes: 4096 * MIB,
            disk_bytes: 4096 * MIB,
            gpus: 0,
        },
        ports: PortSet::range(31000, 31009),
    }
}

pub(crate) fn config(total: impl Into<Pools>) -> Config {
    let agent = AgentInfo {
        id: "agent".to_owned(),
        hostname: "node1".to_owned(),
        attributes: BTreeMap::new(),
    };
    Config {
        max_versions: 4,
        max_removed_pods: 2,
        ..Config::new(agent, total)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(total())
    }

    /// A host that has this.
    pub(crate) fn of(total: impl Into<Pools>) -> Self {
        let total = total.into();
        let config = config(total.clone());
        let mut world = Self {
            scheduler: Scheduler::restore(config, Store::default().saved()).unwrap(),
            agent: Agent::new(total.clone(), Duration::from_secs(60)),
            store: Store::default(),
            durable: Store::default(),
            runtime: Runtime::default(),
            now: Timestamp::from_millis(1_000_000),
            total,
            crash: None,
            trace: Vec::new(),
            announced: Vec::new(),
            published: BTreeMap::new(),
            next_uuid: 0,
            turns: 0,
            compare_every: 1,
        };
        world.observe(Event::Tick);
        world
    }

    pub(crate) fn request(&mut self, request: Request) -> Result<Accepted, Denied> {
        let mut answer = None;
        self.turn(Cause::Request, |scheduler, turn| {
            let (given, effects) = scheduler.request(request, turn);
            answer = Some(given);
            effects
        });
        answer.expect("the turn asked the scheduler")
    }

    /// What a definition would do.
    pub(crate) fn plan(&self, definition: PodDefinition) -> Result<Plan, Denied> {
        let mut next = self.next_uuid;
        let mut new_uuid = || {
            next += 1;
            Uuid::from_u128(next)
        };
        let mut turn = Turn {
            now: self.now,
            new_uuid: &mut new_uuid,
        };
        self.scheduler.plan(definition, &mut turn)
    }

    pub(crate) fn observe(&mut self, event: Event) {
        self.turn(Cause::Observation, |scheduler, turn| {
            scheduler.observe(event, turn)
        });
    }

    /// One turn: decide, exchange offers, commit, carry out; cut off where a crash is due.
    fn turn(
        &mut self,
        cause: Cause,
        decide: impl FnOnce(&mut Scheduler, &mut Turn<'_>) -> Vec<Effect>,
    ) {
        let next = &mut self.next_uuid;
        let mut new_uuid = || {
            *next += 1;
            Uuid::from_u128(*next)
        };
        let mut turn = Turn {
            now: self.now,
            new_uuid: &mut new_uuid,
        };
        let mut effects = decide(&mut self.scheduler, &mut turn);
        effects.extend(self.scheduler.observe(Event::Tick, &mut turn));
        release(&mut self.agent, &effects);
        while self.scheduler.wants_offers(self.now) {
            self.agent.revive();
            let before = self.agent.accounting();
            let Some(offer) = self.agent.offer(self.now) else {
                break;
            };
            check_offer(&offer.claim, &before);
            let total = self.agent.pools().clone();
            let answer = self.scheduler.consider(&offer, &total, &mut turn);
            release(&mut self.agent, &answer.effects);
            effects.extend(answer.effects);
            if answer.launches.is_empty() {
                self.agent.decline(offer.id, None, self.now).unwrap();
                break;
            }
            self.agent
                .accept(offer.id, &answer.launches, self.now)
                .unwrap();
            let over = self.agent.accounting().over_committed;
            assert_eq!(
                over, before.over_committed,
                "a launch takes what is not there"
            );
        }
        self.trace
            .extend(effects.iter().map(|effect| format!("{effect:?}")));
        self.turns += 1;
        let compare = self.turns.is_multiple_of(self.compare_every);
        match self.crash.take() {
            Some(Crash::BeforeCommit) => self.restart(),
            Some(Crash::AfterEffects(count)) => {
                self.commit(cause, &effects);
                self.carry_out(
                    effects
                        .into_iter()
                        .filter(|effect| !is_record(effect))
                        .take(count),
                );
                self.restart();
            }
            None => {
                self.commit(cause, &effects);
                if compare {
                    self.check_memory_equals_store();
                    self.publish();
                }
                self.carry_out(effects.into_iter());
            }
        }
        if compare {
            self.check_holdings();
        }
    }

    fn commit(&mut self, cause: Cause, effects: &[Effect]) {
        let first = effects
            .iter()
            .position(|effect| !is_record(effect))
            .unwrap_or(effects.len());
        assert!(first == 0 || is_record(&effects[0]), "records come first");
        self.store
            .commit(effects.iter().filter_map(|effect| match effect {
                Effect::Record(record) => Some(record.clone()),
                _ => None,
            }));
        if cause == Cause::Request || effects.contains(&Effect::Harden) {
            self.durable = self.store.clone();
        }
    }

    fn carry_out(&mut self, effects: impl Iterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(Record::RunForgotten(run)) => self.runtime.forget(run),
                Effect::Launch(group) => {
                    let row = self.store.instances.get(&group.instance);
                    let row = row.expect("only known instances are launched");
                    assert!(row.run_open && row.incarnation == group.run.incarnation);
                    assert!(
                        row.goal == Goal::Running || !self.runtime.contains(group.run),
                        "launched what was removed"
                    );
                    self.runtime.launch(group);
                }
                Effect::Kill { run, .. } => self.runtime.kill(run),
                Effect::Acknowledge { run, sequence } => self.runtime.acknowledge(run, sequence),
                Effect::Announce(announcement) => self.announced.push(announcement.to_string()),
                Effect::Record(_) | Effect::Harden | Effect::Release(_) => {}
            }
        }
    }

    /// The daemon comes back on a host that has something else. That ends nothing: runs of pods that nobody changes
    /// go on, whether there is room for them or not.
    pub(crate) fn resize(&mut self, total: impl Into<Pools>) {
        self.crash = None;
        let settled = |world: &Self| -> Vec<RunId> {
            let idle = |view: &PodView| view.deployment.is_none() && !view.record.removing;
            let views = world.views().into_iter().filter(idle);
            let instances = views.flat_map(|view| view.instances);
            instances
                .filter(|one| one.record.goal == Goal::Running && one.record.run_open)
                .map(|one| RunId {
                    instance: one.record.id.uuid,
                    incarnation: one.record.incarnation,
                })
                .collect()
        };
        let (before, seen) = (settled(self), self.trace.len());
        self.total = total.into();
        self.restart();
        let (after, effects) = (settled(self), &self.trace[seen..]);
        for run in before {
            assert!(after.contains(&run), "a change of the host ended {run}");
            let is_kill = |effect: &&String| {
                effect.starts_with("Kill") && effect.contains(&format!("{run:?}"))
            };
            assert_eq!(effects.iter().find(is_kill), None);
        }
    }

    /// The host restarts in good order: nothing stored is lost.
    pub(crate) fn reboot(&mut self) {
        self.crash = None;
        self.runtime.reboot();
        self.start(Boot::Another);
    }

    /// The host loses its power, and with it all that was stored since somebody asked for something, or since what must
    /// not happen twice.
    pub(crate) fn power_cut(&mut self) {
        self.store = self.durable.clone();
        self.reboot();
    }

    /// The daemon dies and comes back: state from the store, the rest from what really exists.
    pub(crate) fn restart(&mut self) {
        self.start(Boot::Same);
    }

    fn start(&mut self, boot: Boot) {
        self.scheduler =
            Scheduler::restore(config(self.total.clone()), self.store.saved()).unwrap();
        self.published.clear();
        self.agent = Agent::new(self.total.clone(), Duration::from_secs(60));
        let open = self.scheduler.open_runs();
        self.agent.recover(&open);
        for run in self.runtime.runs() {
            if !open.iter().any(|placement| placement.run == run) {
                // It was over and forgotten, but not discarded yet.
                self.runtime.discard(run);
            }
        }
        let mut lost = Vec::new();
        for placement in open {
            if self.runtime.contains(placement.run) {
                continue;
            }
            if boot == Boot::Another {
                lost.push(placement.run);
            } else {
                let group = self
                    .scheduler
                    .task_group(placement.run)
                    .expect("the run is open");
                assert_eq!(group.claim, placement.claim);
                self.runtime.launch(group);
            }
        }
        self.runtime.reconnect();
        for run in lost {
            let outcome = RunOutcome::HostRebooted;
            self.observe(Event::RunOver(RunOver { run, outcome }));
        }
        self.observe(Event::Tick);
    }

    /// Delivers one thing that happened. Whether there was any.
    pub(crate) fn deliver(&mut self) -> bool {
        let event = self.runtime.next_event();
        let some = event.is_some();
        if let Some(event) = event {
            self.observe(event);
        }
        some
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.observe(Event::Tick);
    }

    /// Lets everything happen that was begun, fairly, while the clock stands still.
    pub(crate) fn play(&mut self) {
        for _ in 0..5000 {
            if !self.deliver() && !self.runtime.step(self.now) {
                return;
            }
        }
        panic!("the world does not come to rest: {:#?}", self.views());
    }

    /// Lets everything happen, moving the clock to whatever is due next, until nothing is.
    pub(crate) fn quiesce(&mut self) {
        for _ in 0..1000 {
            self.play();
            let Some(wake) = self.scheduler.next_wake() else {
                return;
            };
            self.now = self.now.max(wake);
            self.observe(Event::Tick);
        }
        panic!("something is always due: {:#?}", self.views());
    }

    pub(crate) fn views(&self) -> Vec<PodView> {
        self.scheduler
            .pods()
            .map(|pod| self.scheduler.view(pod).unwrap())
            .collect()
    }

    pub(crate) fn view(&self, pod: &str) -> PodView {
        self.scheduler
            .view(&id(pod))
            .unwrap_or_else(|| panic!("{pod} is not known"))
    }

    /// Why instances of a pod wait.
    pub(crate) fn reasons(&self, pod: &str) -> Vec<WaitReason> {
        self.view(pod)
            .instances
            .into_iter()
            .filter_map(|instance| instance.waiting)
            .collect()
    }

    /// What a restart would know is what is known.
    fn check_memory_equals_store(&self) {
        let restored = Scheduler::restore(config(self.total.clone()), self.store.saved()).unwrap();
        let stored = |scheduler: &Scheduler| {
            let mut views: Vec<_> = scheduler
                .pods()
                .map(|pod| scheduler.view(pod).unwrap())
                .collect();
            // Reasons depend on the time, which is not stored.
            let instances = views.iter_mut().flat_map(|view| &mut view.instances);
            instances.for_each(|instance| instance.waiting = None);
            (
                views,
                scheduler.deployments().cloned().collect::<Vec<_>>(),
                scheduler.open_runs(),
                scheduler.versions().count(),
            )
        };
        assert_eq!(stored(&restored), stored(&self.scheduler));
    }

    /// Publishes what changed; nothing else may have changed.
    fn publish(&mut self) {
        for pod in self.scheduler.take_changed() {
            match self.scheduler.view(&pod) {
                Some(view) => self.published.insert(pod, view),
                None => self.published.remove(&pod),
            };
        }
        let views = self.scheduler.pods().map(|pod| self.scheduler.view(pod));
        let views: Vec<_> = views.map(Option::unwrap).collect();
        assert_eq!(self.published.values().cloned().collect::<Vec<_>>(), views);
    }

    /// The agent holds for each open run what the scheduler thinks it holds, and nothing else.
    fn check_holdings(&self) {
        let held: BTreeMap<_, _> = self
            .agent
            .runs()
            .map(|(run, claim)| (run, claim.clone()))
            .collect();
        let open: BTreeMap<_, _> = self
            .scheduler
            .open_runs()
            .into_iter()
            .map(|open| (open.run, open.claim))
            .collect();
        assert_eq!(held, open);
        check_books(&self.agent.accounting(), &self.total.sum());
        for (run, _) in open {
            assert_eq!(self.scheduler.task_group(run).unwrap().run, run);
        }
    }
}

/// Only what nobody holds is offered; of a kind of which runs hold too much, nothing, unless it is reserved.
fn check_offer(offered: &Claim, books: &Accounting) {
    assert_eq!(*offered, books.free);
    if !books.reserved.is_empty() {
        return;
    }
    for kind in ResourceKind::ALL {
        let of = |claim: &Claim| claim.resources.get(kind);
        assert_eq!(
            of(offered),
            of(&books.total).saturating_sub(of(&books.used)),
            "{kind:?}"
        );
        assert!(
            of(&books.over_committed) == 0 || of(offered) == 0,
            "{kind:?}"
        );
    }
    assert_eq!(
        offered.ports,
        books.total.ports.difference(&books.used.ports)
    );
}

/// What there is and what is held beyond it are what is offered, used and free.
fn check_books(books: &Accounting, total: &Claim) {
    assert_eq!(books.total, *total);
    for kind in ResourceKind::ALL {
        let of = |claim: &Claim| claim.resources.get(kind);
        assert_eq!(
            of(&books.total) + of(&books.over_committed),
            of(&books.offered) + of(&books.used) + of(&books.free),
            "{kind:?}"
        );
    }
    let mut ports = books.used.ports.len() + books.offered.ports.len() + books.free.ports.len();
    ports -= books.over_committed.ports.len();
    assert_eq!(ports, books.total.ports.len());
}

fn is_record(effect: &Effect) -> bool {
    matches!(effect, Effect::Record(_))
}

fn release(agent: &mut Agent, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Release(run) = effect {
            agent.release(*run);
        }
    }
}

pub(crate) fn id(text: &str) -> PodId {
    text.parse().unwrap()
}

/// Reads a definition.
pub(crate) fn definition(json: &str) -> PodDefinition {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}
