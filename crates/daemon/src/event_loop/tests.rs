//! The real loop with the real store, fake executors and a clock moved by hand.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicU32, Ordering},
};

use model::{
    id::{PodId, RunId},
    offer::{AgentInfo, Claim},
    pod::PodDefinition,
    ports::PortSet,
    resources::{MIB, Resources},
    state::{Condition, Reason, TaskState},
    task_group::TaskGroup,
    update::{ExitStatus, RunOutcome, RunOver, TaskUpdate},
};
use scheduler::{Denied, Request};
use sqlx::Connection as _;

use super::*;
use crate::{handle::Handle, snapshot::Snapshot};

/// What the loop asked of executors.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Launch(RunId),
    Kill(RunId),
    Acknowledge(RunId, u64),
    Discard(RunId),
}

#[derive(Debug, Default)]
struct FakeExecutors(Mutex<Vec<Call>>);

impl FakeExecutors {
    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn push(&self, call: Call) {
        self.0.lock().unwrap().push(call);
    }
}

impl Executors for FakeExecutors {
    fn launch(&self, group: Arc<TaskGroup>) {
        self.push(Call::Launch(group.run));
    }

    fn kill(&self, run: RunId, _: Reason, _: Option<Duration>) {
        self.push(Call::Kill(run));
    }

    fn acknowledge(&self, run: RunId, sequence: u64) {
        self.push(Call::Acknowledge(run, sequence));
    }

    fn discard(&self, run: RunId) {
        self.push(Call::Discard(run));
    }
}

/// A host whose daemon can be started again and again on the same database.
struct World {
    dir: tempfile::TempDir,
    clock: Arc<AtomicI64>,
    ids: Arc<AtomicU32>,
    executors: Arc<FakeExecutors>,
}

struct Daemon {
    event_loop: EventLoop<FakeExecutors>,
    handle: Handle,
}

impl World {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::new(AtomicI64::new(1_700_000_000_000)),
            ids: Arc::default(),
            executors: Arc::default(),
        }
    }

    fn pass(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    fn database(&self) -> std::path::PathBuf {
        self.dir.path().join("monopod.db")
    }

    async fn start(&self) -> Daemon {
        let store = Arc::new(Store::open(&self.database()).await.unwrap());
        let restore: Restore = Box::new(|saved| {
            let info = here();
            let resources = Resources {
                cpus_milli: 2000,
                mem_bytes: 1024 * MIB,
                disk_bytes: 1024 * MIB,
                gpus: 0,
            };
            let total = Claim {
                resources,
                ports: PortSet::range(31000, 31010),
            };
            let scheduler = Scheduler::restore(scheduler::Config::new(info, total.clone()), saved)?;
            let mut agent = Agent::new(total, Duration::from_secs(60));
            agent.recover(&scheduler.open_runs());
            Ok((scheduler, agent))
        });
        let clock = Arc::clone(&self.clock);
        let clock: Clock = Box::new(move || Timestamp::from_millis(clock.load(Ordering::Relaxed)));
        let ids = Arc::clone(&self.ids);
        let ids: Ids =
            Box::new(move || Uuid::from_u128(ids.fetch_add(1, Ordering::Relaxed).into()));
        let (mut scheduler, agent) = restore(store.load().await.unwrap()).unwrap();
        let (handle, messages, publisher) = Handle::new(Snapshot::of(&mut scheduler, &agent));
        let event_loop = EventLoop {
            scheduler,
            agent,
            store,
            executors: Arc::clone(&self.executors),
            clock,
            ids,
            restore,
            messages,
            publisher: Publisher(publisher),
            recorder: Recorder::default(),
            retry: Vec::new(),
            trouble: None,
            conditions: Conditions::default(),
            events: EventBus::new(here(), CancellationToken::new()),
        };
        Daemon { event_loop, handle }
    }
}

fn here() -> AgentInfo {
    AgentInfo {
        id: "a-S0".to_owned(),
        hostname: "here".to_owned(),
        attributes: Default::default(),
    }
}

impl Daemon {
    async fn request(&mut self, request: Request) -> Result<Accepted, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.event_loop
            .turn(vec![Message::Request {
                request: Box::new(request),
                reply,
            }])
            .await;
        answer.await.unwrap()
    }

    /// Turns until the store is trusted again.
    async fn recover(&mut self) {
        while self.event_loop.trouble.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.event_loop.turn(Vec::new()).await;
        }
    }

    async fn observe(&mut self, events: impl IntoIterator<Item = Event>) {
        self.event_loop
            .turn(events.into_iter().map(Message::Observed).collect())
            .await;
    }

    fn condition(&self) -> Condition {
        let snapshot = self.handle.snapshot();
        snapshot.pods[&pod_id()].instances[0].record.condition
    }
}

fn pod_id() -> PodId {
    PodId::parse("/p").unwrap()
}

fn definition(cpus: f64) -> PodDefinition {
    serde_json::from_value(serde_json::json!({
        "id": "/p",
        "containers": [{
            "name": "c",
            "resources": { "cpus": cpus, "mem": 32 },
            "exec": { "command": { "shell": "sleep 1000" } },
        }],
    }))
    .unwrap()
}

fn add(cpus: f64) -> Request {
    Request::AddPod {
        definition: definition(cpus),
        force: false,
    }
}

fn update(run: RunId, sequence: u64, state: TaskState, exit: Option<ExitStatus>) -> Event {
    Event::Update(TaskUpdate {
        run,
        sequence,
        at: Timestamp::from_millis(1_700_000_000_000),
        container: "c".to_owned(),
        state,
        reason: None,
        message: exit.map(|exit| exit.to_string()).unwrap_or_default(),
        exit,
        healthy: None,
    })
}

fn launched(calls: &[Call]) -> RunId {
    let runs: Vec<_> = calls
        .iter()
        .filter_map(|call| {
            if let Call::Launch(run) = call {
                Some(*run)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(runs.len(), 1, "one launch in {calls:?}");
    runs[0]
}

#[tokio::test]
async fn a_request_is_stored_launched_and_followed_to_stable() {
    let world = World::new();
    let mut daemon = world.start().await;
    let accepted = daemon.request(add(0.5)).await.unwrap();
    let deployment = accepted.deployment.unwrap();
    assert!(daemon.handle.snapshot().deployment(deployment).is_some());
    let run = launched(&world.executors.take());

    daemon
        .observe([update(run, 1, TaskState::Starting, None)])
        .await;
    assert_eq!(daemon.condition(), Condition::Starting);
    daemon
        .observe([update(run, 2, TaskState::Running, None)])
        .await;
    assert_eq!(daemon.condition(), Condition::Running);
    assert!(
        daemon.handle.snapshot().deployment(deployment).is_none(),
        "the deployment is over"
    );
    let calls = world.executors.take();
    assert!(calls.contains(&Call::Acknowledge(run, 2)), "{calls:?}");

    // An update that is repeated changes nothing, but is acknowledged.
    daemon
        .observe([update(run, 1, TaskState::Starting, None)])
        .await;
    assert_eq!(daemon.condition(), Condition::Running);
}

#[tokio::test]
async fn a_failure_is_launched_again_after_its_delay() {
    let world = World::new();
    let mut daemon = world.start().await;
    daemon.request(add(0.5)).await.unwrap();
    let run = launched(&world.executors.take());
    let failed = update(run, 2, TaskState::Failed, Some(ExitStatus::Exited(3)));
    daemon
        .observe([update(run, 1, TaskState::Running, None), failed])
        .await;
    let over = RunOver {
        run,
        outcome: RunOutcome::Completed,
    };
    daemon.observe([Event::RunOver(over)]).await;
    let calls = world.executors.take();
    assert!(
        calls.contains(&Call::Discard(run)),
        "the run directory goes: {calls:?}"
    );
    let early: Vec<_> = calls
        .iter()
        .filter(|call| matches!(call, Call::Launch(_)))
        .collect();
    assert!(early.is_empty(), "no launch before the delay: {early:?}");
    world.pass(1_001);
    daemon.observe([]).await;
    let next = launched(&world.executors.take());
    assert_eq!(
        next,
        RunId {
            incarnation: 2,
            ..run
        }
    );
}

#[tokio::test]
async fn why_a_pod_can_never_fit_is_known_with_the_answer() {
    let world = World::new();
    let mut daemon = world.start().await;
    daemon.request(add(4.0)).await.unwrap();
    let snapshot = daemon.handle.snapshot();
    let reason = snapshot.pods[&pod_id()].instances[0]
        .waiting
        .clone()
        .unwrap();
    assert!(reason.can_never_fit(), "{reason}");
    assert_eq!(world.executors.take(), []);
    let denied = daemon.request(add(4.0)).await.unwrap_err();
    assert!(
        matches!(denied, Refusal::Denied(Denied::PodExists { .. })),
        "{denied}"
    );
}

#[tokio::test]
async fn what_was_stored_but_not_carried_out_is_found_at_the_next_start() {
    let world = World::new();
    let mut daemon = world.start().await;
    daemon.request(add(0.5)).await.unwrap();
    let run = launched(&world.executors.take());
    drop(daemon);

    // The launch is supposed to be lost with the daemon.
    let daemon = world.start().await;
    let open: Vec<_> = daemon
        .event_loop
        .scheduler
        .open_runs()
        .iter()
        .map(|placed| placed.run)
        .collect();
    assert_eq!(open, [run]);
    let group = daemon.event_loop.scheduler.task_group(run).unwrap();
    assert_eq!(group.run, run);
    let held = daemon.event_loop.agent.accounting().to_string();
    assert!(
        held.contains("0.6"),
        "executor and container are held: {held}"
    );
}

#[tokio::test]
async fn a_turn_that_cannot_be_stored_did_not_happen() {
    let world = World::new();
    let mut daemon = world.start().await;
    let url = format!("sqlite://{}", world.database().display());
    let mut saboteur = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON instances BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::query(trigger).execute(&mut saboteur).await.unwrap();

    let refused = daemon.request(add(0.5)).await.unwrap_err();
    assert!(matches!(refused, Refusal::NotStored { .. }), "{refused}");
    assert_eq!(
        world.executors.take(),
        [],
        "nothing is launched that is not stored"
    );
    assert!(daemon.handle.snapshot().pods.is_empty());

    // At once again it is refused without an attempt, for the same reason.
    let refused = daemon.request(add(0.5)).await.unwrap_err();
    assert!(refused.to_string().contains("disk full"), "{refused}");
    let conditions = daemon.event_loop.conditions.clone();
    let told = conditions.get(Kind::StoreFailing).unwrap().text;
    assert!(told.contains("disk full"), "{told}");

    sqlx::query("DROP TRIGGER full")
        .execute(&mut saboteur)
        .await
        .unwrap();
    daemon.recover().await;
    assert!(conditions.get(Kind::StoreFailing).is_none());
    daemon.request(add(0.5)).await.unwrap();
    launched(&world.executors.take());
}

#[tokio::test]
async fn a_store_that_fails_is_not_asked_over_and_over() {
    let world = World::new();
    let mut daemon = world.start().await;
    daemon.request(add(0.5)).await.unwrap();
    let run = launched(&world.executors.take());
    daemon.event_loop.store.close().await.unwrap();
    let before = daemon.condition();
    daemon
        .observe([update(run, 1, TaskState::Running, None)])
        .await;
    let wait = daemon.event_loop.trouble.as_ref().unwrap().wait();
    assert!(!wait.is_zero());
    let mut attempts = 0;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(350) {
        daemon.event_loop.sleep_until_wake().await;
        daemon.event_loop.turn(Vec::new()).await;
        attempts += 1;
    }
    assert!(attempts <= 4, "{attempts} attempts");
    assert_eq!(daemon.event_loop.retry.len(), 1, "what was seen is kept");
    assert_eq!(daemon.condition(), before, "readers see what was stored");
}

#[tokio::test]
async fn observations_survive_a_turn_that_cannot_be_stored() {
    let world = World::new();
    let mut daemon = world.start().await;
    daemon.request(add(0.5)).await.unwrap();
    let run = launched(&world.executors.take());
    let url = format!("sqlite://{}", world.database().display());
    let mut saboteur = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let trigger = "CREATE TRIGGER full BEFORE UPDATE ON instances BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    sqlx::query(trigger).execute(&mut saboteur).await.unwrap();
    daemon
        .observe([update(run, 1, TaskState::Running, None)])
        .await;
    assert_eq!(
        world.executors.take(),
        [],
        "nothing is acknowledged that is not stored"
    );

    sqlx::query("DROP TRIGGER full")
        .execute(&mut saboteur)
        .await
        .unwrap();
    daemon.recover().await;
    assert_eq!(daemon.condition(), Condition::Running);
    assert!(world.executors.take().contains(&Call::Acknowledge(run, 1)));
}

#[tokio::test]
async fn more_requests_than_may_wait_are_refused_and_the_others_are_answered() {
    let world = World::new();
    let daemon = world.start().await;
    let unknown = || Request::RemovePod {
        pod: pod_id(),
        force: false,
    };
    // Nothing turns the loop yet: so many wait as there is room for.
    let waiting: Vec<_> = (0..1024)
        .map(|_| {
            let handle = daemon.handle.clone();
            tokio::spawn(async move { handle.request(unknown()).await })
        })
        .collect();
    while daemon.event_loop.messages.len() < waiting.len() {
        tokio::task::yield_now().await;
    }
    let refused = daemon.handle.request(unknown()).await.unwrap_err();
    assert!(matches!(refused, Refusal::Busy), "{refused}");

    let handle = daemon.handle.clone();
    let stop = CancellationToken::new();
    let looping = tokio::spawn(daemon.event_loop.run(stop.clone()));
    for one in waiting {
        let answer = one.await.unwrap().unwrap_err();
        assert!(matches!(answer, Refusal::Denied(_)), "{answer}");
    }
    let answer = handle.request(unknown()).await.unwrap_err();
    assert!(
        matches!(answer, Refusal::Denied(_)),
        "there is room again: {answer}"
    );
    stop.cancel();
    looping.await.unwrap();
}

#[tokio::test]
async fn the_end_of_a_run_that_must_not_be_repeated_survives_a_power_cut() {
    for (policy, full_commits) in [("ALWAYS", 0), ("ON_FAILURE", 2), ("NEVER", 2)] {
        let world = World::new();
        let mut daemon = world.start().await;
        let mut definition = serde_json::to_value(definition(0.5)).unwrap();
        definition["scheduling"]["restartPolicy"] = policy.into();
        let request = Request::AddPod {
            definition: serde_json::from_value(definition).unwrap(),
            force: false,
        };
        daemon.request(request).await.unwrap();
        let run = launched(&world.executors.take());
        let store = Arc::clone(&daemon.event_loop.store);
        let before = store.counters().await.full_commits;
        let running = update(run, 1, TaskState::Running, None);
        daemon.observe([running]).await;
        assert_eq!(store.counters().await.full_commits, before);
        let exit = Some(ExitStatus::Exited(0));
        daemon
            .observe([update(run, 2, TaskState::Finished, exit)])
            .await;
        let outcome = RunOutcome::Completed;
        daemon
            .observe([Event::RunOver(RunOver { run, outcome })])
            .await;
        let after = store.counters().await.full_commits;
        assert_eq!(after - before, full_commits, "{policy}");
        assert_eq!(daemon.condition(), Condition::Finished);
        world.pass(3_600_000);
        daemon.observe([]).await;
        let calls = world.executors.take();
        let relaunched = calls.iter().any(|call| matches!(call, Call::Launch(_)));
        assert_eq!(relaunched, policy == "ALWAYS", "{calls:?}");
    }
}
