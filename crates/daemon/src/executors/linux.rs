//! The real executors: processes of this host, spoken to over their Unix sockets.
//!
//! One task follows each run from launch, or from recovery, to its end: it passes commands on, passes updates
//! to the loop, and sees by a pidfd when the executor is gone. Then it reads what the journal still holds,
//! ends whatever is left in the run's cgroup, and only then tells the loop that the run is over.

mod link;
mod log_loss;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use model::{
    id::RunId,
    state::Reason,
    task_group::TaskGroup,
    update::{RunOutcome, RunOver},
};
use runtime::{
    containerizer::{Containerizer, FoundState, Launched, Remains},
    journal::Salvaged,
    protocol::ToExecutor,
};
use scheduler::Event;
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::log_loss::LogLosses;
use super::Executors;
use crate::{
    collection::{self, Leftover, Policy},
    conditions::Conditions,
    event_loop::chain,
    handle::Handle,
    metrics::Metrics,
};

/// Launches prepared at the same time. More would only compete for the same cores and directories.
const PARALLEL_LAUNCHES: usize = 8;

/// When what could not be ended is ended again; each attempt already waits half a minute.
const END_AGAIN: Duration = Duration::from_secs(10);

/// Speaks to all executors of this host.
#[derive(Clone, Debug)]
pub struct LinuxExecutors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    containerizer: Arc<Containerizer>,
    handle: Handle,
    metrics: Arc<Metrics>,
    /// How many runs were found alive.
    adopted: AtomicUsize,
    /// Commands to the task that follows each run.
    runs: Mutex<BTreeMap<RunId, mpsc::UnboundedSender<ToExecutor>>>,
    launches: Semaphore,
    losses: Arc<LogLosses>,
    leftovers: std::sync::mpsc::Sender<Leftover>,
    tasks: TaskTracker,
    /// Those of the tasks that find out how runs ended while no daemon was there.
    conclusions: TaskTracker,
}

impl LinuxExecutors {
    /// Makes the executors' side of the daemon.
    pub(crate) fn new(
        containerizer: Arc<Containerizer>,
        handle: Handle,
        metrics: Arc<Metrics>,
        policy: Policy,
        conditions: Conditions,
    ) -> Self {
        // Unbounded, since the loop must not wait for a slow disk; each run adds one at its end.
        let (leftovers, receiver) = std::sync::mpsc::channel();
        let collected = Arc::clone(&containerizer);
        let losses = LogLosses::new(Arc::clone(&containerizer), conditions.clone());
        spawn_blocking(move || collection::work(&collected, policy, &conditions, &receiver));
        Self(Arc::new(Shared {
            containerizer,
            handle,
            metrics,
            adopted: AtomicUsize::new(0),
            runs: Mutex::default(),
            launches: Semaphore::new(PARALLEL_LAUNCHES),
            losses: Arc::new(losses),
            leftovers,
            tasks: TaskTracker::new(),
            conclusions: TaskTracker::new(),
        }))
    }

    /// Follows a run that was found alive.
    pub(crate) fn adopt(&self, run: RunId, launched: Launched) {
        self.0.adopted.fetch_add(1, Ordering::Relaxed);
        let commands = self.0.register(run);
        let shared = Arc::clone(&self.0);
        self.0
            .tasks
            .spawn(async move { shared.follow(run, launched, commands).await });
    }

    /// How many runs were found alive at the daemon's start.
    pub(crate) fn adopted(&self) -> usize {
        self.0.adopted.load(Ordering::Relaxed)
    }

    /// Takes over what earlier runs left.
    pub(crate) fn collect(&self, found: Vec<Remains>) {
        self.0.remove(Leftover::Found(found));
    }

    fn send(&self, run: RunId, command: ToExecutor) {
        let runs = self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.get(&run) {
            // A closed channel means that the run is ending already.
            Some(commands) => drop(commands.send(command)),
            None => tracing::debug!(run.id = %run, ?command, "no executor to tell"),
        }
    }
}

impl Executors for LinuxExecutors {
    fn launch(&self, group: Arc<TaskGroup>) {
        let run = group.run;
        let commands = self.0.register(run);
        let shared = Arc::clone(&self.0);
        self.0
            .tasks
            .spawn(async move { shared.launch(group, commands).await });
    }

    fn kill(&self, run: RunId, reason: Reason, grace: Option<Duration>) {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        self.send(run, ToExecutor::Kill { reason, grace_ms });
    }

    fn acknowledge(&self, run: RunId, sequence: u64) {
        self.send(run, ToExecutor::Acknowledge { sequence });
    }

    fn discard(&self, run: RunId) {
        self.0.remove(Leftover::Run(run));
    }
}

impl Shared {
    fn remove(&self, leftover: Leftover) {
        // The receiver lives as long as the runtime; without it the next start removes the leftover.
        let _ = self.leftovers.send(leftover);
    }

    fn register(&self, run: RunId) -> mpsc::UnboundedReceiver<ToExecutor> {
        // Unbounded, since the loop must never wait for one executor; commands are few and small.
        let (sender, receiver) = mpsc::unbounded_channel();
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run, sender);
        receiver
    }

    async fn launch(&self, group: Arc<TaskGroup>, commands: mpsc::UnboundedReceiver<ToExecutor>) {
        let run = group.run;
        let permit = self.launches.acquire().await;
        let containerizer = Arc::clone(&self.containerizer);
        let started = std::time::Instant::now();
        let launched = spawn_blocking(move || containerizer.launch(&group)).await;
        drop(permit);
        let problem = match launched {
            Ok(Ok(launched)) => {
                let duration_ms = started.elapsed().as_millis();
                info!(run.id = %run, process.id = launched.pid, duration_ms, "spawned an executor");
                return self.follow(run, launched, commands).await;
            }
            Ok(Err(error)) => chain(&error),
            Err(error) => format!("the launch was interrupted: {error}"),
        };
        warn!(run.id = %run, error = problem, "failed to launch a run");
        self.over(run, RunOutcome::NotLaunched { message: problem })
            .await;
    }

    /// Follows a run to its end.
    async fn follow(
        &self,
        run: RunId,
        launched: Launched,
        commands: mpsc::UnboundedReceiver<ToExecutor>,
    ) {
        let (socket, pid) = (launched.socket.clone(), launched.pid);
        self.metrics.executors.inc();
        let outcome = match link::Link::new(run, launched, Arc::clone(&self.losses)) {
            Ok(mut link) => link.follow(&socket, commands, &self.handle).await,
            Err(error) => format!("the executor cannot be watched: {error}"),
        };
        self.metrics.executors.dec();
        info!(run.id = %run, process.id = pid, outcome, "an executor ended");
        let outcome = RunOutcome::ExecutorDied { message: outcome };
        self.conclude(run, outcome).await;
    }

    /// Finds out what a run is whose executor is not to be seen, and goes on accordingly. `group` is what to launch if
    /// it never began.
    async fn resolve(
        &self,
        run: RunId,
        group: Option<Arc<TaskGroup>>,
        commands: mpsc::UnboundedReceiver<ToExecutor>,
    ) {
        let containerizer = Arc::clone(&self.containerizer);
        let state = spawn_blocking(move || containerizer.resolve(run)).await;
        match (state, group) {
            (Ok(Ok(FoundState::Alive(launched))), _) => self.follow(run, launched, commands).await,
            (Ok(Ok(FoundState::NotStarted)), Some(group)) => self.launch(group, commands).await,
            // What cannot be ended now, concluding tries again.
            _ => {
                let message = "the executor died while the daemon was away".to_owned();
                self.conclude(run, RunOutcome::ExecutorDied { message })
                    .await;
            }
        }
    }

    /// What the run still has to tell, then its end.
    async fn conclude(&self, run: RunId, outcome: RunOutcome) {
        // Containers first: nothing may write to the journal or run on while it is read.
        while let Err(problem) = self.end(run).await {
            error!(run.id = %run, error = problem, "failed to end what is left of a run; trying again");
            tokio::time::sleep(END_AGAIN).await;
        }
        let containerizer = Arc::clone(&self.containerizer);
        let journal = spawn_blocking(move || containerizer.journal(run)).await;
        let Salvaged { updates, damage } = journal.unwrap_or_default();
        for update in updates {
            self.handle.observed(Event::Update(update)).await;
        }
        let damage = damage.map(|damage| chain(&damage));
        if let Some(damage) = &damage {
            warn!(run.id = %run, error = damage, "a journal is damaged; it told what it could");
        }
        self.over(run, with_damage(outcome, damage)).await;
    }

    async fn end(&self, run: RunId) -> Result<(), String> {
        let containerizer = Arc::clone(&self.containerizer);
        match spawn_blocking(move || containerizer.end(run)).await {
            Ok(ended) => ended.map_err(|error| chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn over(&self, run: RunId, outcome: RunOutcome) {
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&run);
        self.losses.over(run);
        self.handle
            .observed(Event::RunOver(RunOver { run, outcome }))
            .await;
    }
}

impl LinuxExecutors {
    /// Tells the loop what a run left behind that was found ended, or that nothing can be told of.
    pub(crate) fn conclude(&self, run: RunId, outcome: RunOutcome) {
        let shared = Arc::clone(&self.0);
        self.0
            .conclusions
            .spawn(async move { shared.conclude(run, outcome).await });
    }

    /// Waits until the loop was sent all that [`LinuxExecutors::conclude`] was called for so far.
    pub(crate) async fn concluded(&self) {
        self.0.conclusions.close();
        self.0.conclusions.wait().await;
    }

    /// Takes up a run that something holds the lock of, though its executor is not to be seen. `group` is what to
    /// launch if it never began.
    pub(crate) fn resolve(&self, run: RunId, group: Option<Arc<TaskGroup>>) {
        let commands = self.0.register(run);
        let shared = Arc::clone(&self.0);
        self.0
            .tasks
            .spawn(async move { shared.resolve(run, group, commands).await });
    }
}

/// What a person is told of a run's end also tells that its journal did not tell all.
fn with_damage(outcome: RunOutcome, damage: Option<String>) -> RunOutcome {
    match (outcome, damage) {
        (RunOutcome::ExecutorDied { message }, Some(damage)) => RunOutcome::ExecutorDied {
            message: format!("{message}; failed to {damage}"),
        },
        (outcome, _) => outcome,
    }
}
