//! Start: what the store says is wanted, and what this host really has, are brought together.
//!
//! Running containers are not touched. What ended meanwhile is told to the loop, what was decided but never
//! launched is launched, what nobody wants is destroyed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context as _;
use model::{
    id::RunId,
    update::{RunOutcome, RunOver},
};
use runtime::containerizer::{Containerizer, FoundState, Known, Moment, Places, Swept};
use scheduler::{Event, Scheduler};
use store::{Setting, Store};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    clock,
    event_loop::chain,
    executors::{Executors as _, linux::LinuxExecutors},
};

/// How long the start waits for what nobody knows to be gone; the rest is removed while the daemon works.
const SWEEP_PATIENCE: Duration = Duration::from_secs(2);

/// The boot that the store was last used in, and this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boots {
    before: Option<Uuid>,
    now: Uuid,
}

impl Boots {
    /// Reads both.
    pub(crate) async fn read(store: &Store) -> anyhow::Result<Self> {
        let before = store.setting(Setting::BootId).await?;
        Ok(Self {
            before: before.and_then(|before| before.parse().ok()),
            now: runtime::boot::id().context("read the kernel's boot id")?,
        })
    }

    /// Whether the host restarted since the store was last used.
    pub(crate) fn differ(&self) -> bool {
        self.before.is_some_and(|before| before != self.now)
    }

    /// Remembers this boot. To be called once what the restart ended is stored: else a daemon killed in between would
    /// not know any more why nothing runs.
    pub(crate) async fn remember(&self, store: &Store) -> anyhow::Result<()> {
        if self.before != Some(self.now) {
            store
                .put_setting(Setting::BootId, &self.now.to_string())
                .await
                .context("remember this boot")?;
        }
        Ok(())
    }
}

/// Sees to it that open runs are looked for where they are, should the daemon before have kept them elsewhere, and
/// remembers where this one does. To be called before anything is launched.
///
/// # Errors
/// Some of them still live there: they would be launched a second time.
pub(crate) async fn settle(
    scheduler: &Scheduler,
    containerizer: &Arc<Containerizer>,
    store: &Store,
) -> anyhow::Result<()> {
    let now = containerizer.places();
    let before = store.setting(Setting::Places).await?;
    let before: Option<Places> = before
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .context("understand where runs were kept before (table settings, key places)")?;
    if before.as_ref() == Some(&now) {
        return Ok(());
    }
    if let Some(before) = &before {
        let open = open_runs(scheduler);
        let alive = containerizer.out_of_reach(before, &open)?;
        if let Some(first) = alive.first() {
            anyhow::bail!(still_elsewhere(before, &now, alive.len(), *first));
        }
        info!(
            run_dir.before = %before.run_dir.display(),
            run_dir.now = %now.run_dir.display(),
            cgroup_parent.before = before.cgroup_parent,
            cgroup_parent.now = now.cgroup_parent,
            "runs are kept elsewhere from now on"
        );
        for run in containerizer.take_over(before, &open)? {
            info!(run.id = %run, "took over what a run left in the run directory before");
        }
    }
    let text = serde_json::to_string(&now).context("write down where runs are kept")?;
    store
        .put_setting(Setting::Places, &text)
        .await
        .context("remember where runs are kept")
}

fn open_runs(scheduler: &Scheduler) -> BTreeSet<RunId> {
    let open = scheduler.open_runs();
    open.iter().map(|placed| placed.run).collect()
}

/// What keeps the daemon from its start, and what to do.
fn still_elsewhere(before: &Places, now: &Places, count: usize, first: RunId) -> String {
    let place = |places: &Places| {
        let run_dir = places.run_dir.display();
        format!(
            "run_dir {run_dir} and cgroup_parent {}",
            places.cgroup_parent
        )
    };
    format!(
        "keep runs in {}: {count} of this state's runs still live where it kept them before, in {} (run {first} is \
         one), and would be launched a second time. Start the daemon as before and remove its pods, or stop them all \
         with `monopod --run-dir {} cleanup --cgroup-parent {}`; then start it here",
        place(now),
        place(before),
        before.run_dir.display(),
        before.cgroup_parent,
    )
}

/// Brings the open runs of the store and those of this host together.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) scheduler: &'a Scheduler,
    pub(crate) containerizer: &'a Containerizer,
    pub(crate) executors: &'a LinuxExecutors,
    /// Whether the host restarted: what ended, ended by that.
    pub(crate) rebooted: bool,
}

impl Recovery<'_> {
    /// Looks at every run that left a trace, and follows, concludes or launches it. Returns what the loop must hear
    /// first. A run that makes no sense is ended and told with its reason; no run keeps the daemon from its start.
    pub(crate) fn recover(&self) -> anyhow::Result<Vec<Event>> {
        let open = open_runs(self.scheduler);
        let mut seen = BTreeSet::new();
        let mut events = Vec::new();
        for found in self.containerizer.recover().context("look for runs")? {
            // The sweep destroys what nobody knows.
            if open.contains(&found.run) {
                seen.insert(found.run);
                events.extend(self.take_up(found.run, found.state));
            }
        }
        for run in open.difference(&seen) {
            events.extend(self.missing(*run));
        }
        Ok(events)
    }

    fn take_up(&self, run: RunId, state: FoundState) -> Option<Event> {
        match state {
            FoundState::Alive(executor) => {
                info!(run.id = %run, process.id = executor.pid, "found a run alive");
                self.executors.adopt(run, executor);
            }
            FoundState::Hidden => {
                info!(run.id = %run, "found a run whose executor is not to be seen");
                let group = self.scheduler.task_group(run);
                let group = group.filter(|_| !self.scheduler.was_heard_of(run));
                self.executors.resolve(run, group);
            }
            FoundState::Over => {
                info!(run.id = %run, "found a run that ended while the daemon was away");
                self.conclude(run, "the executor died while the daemon was away");
            }
            FoundState::NotStarted if self.scheduler.was_heard_of(run) => {
                warn!(run.id = %run, "found a run whose run directory lost its journal");
                self.conclude(run, "its run directory lost its journal");
            }
            FoundState::NotStarted => return self.launch_again(run),
            FoundState::Damaged { source } => {
                warn!(run.id = %run, error = chain(&source), "found a run whose run directory is damaged");
                let message = format!("its run directory is damaged: {}", chain(&source));
                self.conclude(run, &message);
            }
        }
        None
    }

    /// A run without a run directory: never begun, or ended by a restart of the host, which empties `/run`.
    fn missing(&self, run: RunId) -> Option<Event> {
        if self.rebooted {
            let outcome = RunOutcome::HostRebooted;
            return Some(Event::RunOver(RunOver { run, outcome }));
        }
        if self.scheduler.was_heard_of(run) {
            warn!(run.id = %run, "the run directory of a run is gone");
            self.conclude(run, "its run directory is gone");
            return None;
        }
        self.launch_again(run)
    }

    fn conclude(&self, run: RunId, message: &str) {
        let outcome = if self.rebooted {
            RunOutcome::HostRebooted
        } else {
            let message = message.to_owned();
            RunOutcome::ExecutorDied { message }
        };
        self.executors.conclude(run, outcome);
    }

    /// The launch was stored, but not carried out before the daemon died.
    fn launch_again(&self, run: RunId) -> Option<Event> {
        if let Some(group) = self.scheduler.task_group(run) {
            info!(run.id = %run, "launches a run that was decided before");
            self.executors.launch(group);
            return None;
        }
        let message = "no longer wanted when the daemon came back".to_owned();
        let outcome = RunOutcome::NotLaunched { message };
        Some(Event::RunOver(RunOver { run, outcome }))
    }
}

/// Destroys what nobody knows: runs, cgroups below our parent; hands over what runs that are over left. What takes long
/// goes on behind the caller.
pub(crate) async fn sweep(
    scheduler: &Scheduler,
    containerizer: &Arc<Containerizer>,
    executors: &LinuxExecutors,
) -> anyhow::Result<()> {
    let known = Known {
        runs: open_runs(scheduler),
    };
    // Found now, while nothing new is launched; removed whenever.
    let now = Moment::now(clock::now()).context("read the kernel's boot id")?;
    let unknown = containerizer.find_unknown(&known);
    let (containerizer, executors) = (Arc::clone(containerizer), executors.clone());
    let removal = tokio::task::spawn_blocking(move || {
        let swept = containerizer.remove(unknown, &now);
        tell(&swept);
        executors.collect(swept.remains);
        swept
            .unfinished
            .into_iter()
            .for_each(|run| executors.discard(run));
    });
    if tokio::time::timeout(SWEEP_PATIENCE, removal).await.is_err() {
        info!("what nobody knows is still being removed");
    }
    Ok(())
}

fn tell(swept: &Swept) {
    for run in &swept.runs {
        info!(run.id = %run, "removed a run that nobody knows");
    }
    for path in &swept.cgroups {
        info!(cgroup = path, "removed a cgroup that nobody knows");
    }
    for failure in &swept.failures {
        warn!(
            error = chain(failure),
            "failed to remove what nobody knows; tried again"
        );
    }
}
