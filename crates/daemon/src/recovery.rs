//! Start: what the store says is wanted, and what this host really has, are brought together.
//!
//! Running containers are not touched. What ended meanwhile is told to the loop, what was decided but never
//! launched is launched, what nobody wants is destroyed.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context as _;
use model::{
    id::RunId,
    update::{RunOutcome, RunOver},
};
use runtime::containerizer::{Containerizer, FoundState, Known};
use scheduler::{Event, Scheduler};
use store::{Setting, Store};
use tracing::{info, warn};

use crate::{
    event_loop::chain,
    executors::{Executors as _, linux::LinuxExecutors},
};

/// Whether the host restarted since the store was last used; remembers this boot.
pub(crate) async fn rebooted(store: &Store) -> anyhow::Result<bool> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("read the kernel's boot id")?
        .trim()
        .to_owned();
    let before = store.setting(Setting::BootId).await?;
    if before.as_deref() != Some(boot.as_str()) {
        store.put_setting(Setting::BootId, &boot).await?;
    }
    Ok(before.is_some_and(|before| before != boot))
}

/// Looks at every run that left a trace, and follows, concludes, launches or destroys it. Returns what the
/// loop must hear first.
pub(crate) fn recover(
    scheduler: &Scheduler,
    containerizer: &Containerizer,
    executors: &LinuxExecutors,
    rebooted: bool,
) -> anyhow::Result<Vec<Event>> {
    let open: BTreeSet<RunId> = scheduler
        .open_runs()
        .iter()
        .map(|placed| placed.run)
        .collect();
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    for found in containerizer.recover().context("look for runs")? {
        let run = found.run;
        seen.insert(run);
        match found.state {
            FoundState::Alive(executor) if open.contains(&run) => {
                info!(run.id = %run, process.id = executor.pid, "found a run alive");
                executors.adopt(run, executor);
            }
            FoundState::Over if open.contains(&run) => {
                info!(run.id = %run, "found a run that ended while the daemon was away");
                executors.conclude(run);
            }
            FoundState::NotStarted if open.contains(&run) => {
                events.extend(launch_again(scheduler, executors, run));
            }
            // The sweep destroys what nobody knows.
            FoundState::Alive(_) | FoundState::Over | FoundState::NotStarted => {}
        }
    }
    for run in open.difference(&seen) {
        if rebooted {
            let over = RunOver {
                run: *run,
                outcome: RunOutcome::HostRebooted,
            };
            events.push(Event::RunOver(over));
        } else {
            events.extend(launch_again(scheduler, executors, *run));
        }
    }
    Ok(events)
}

/// The launch was stored, but not carried out before the daemon died.
fn launch_again(scheduler: &Scheduler, executors: &LinuxExecutors, run: RunId) -> Option<Event> {
    if let Some(group) = scheduler.task_group(run) {
        info!(run.id = %run, "launches a run that was decided before");
        executors.launch(Arc::clone(&group));
        return None;
    }
    let message = "no longer wanted when the daemon came back".to_owned();
    Some(Event::RunOver(RunOver {
        run,
        outcome: RunOutcome::NotLaunched { message },
    }))
}

/// Destroys what nobody knows: runs, cgroups below our parent, sandboxes.
pub(crate) fn sweep(scheduler: &Scheduler, containerizer: &Containerizer) {
    let known = Known {
        runs: scheduler
            .open_runs()
            .iter()
            .map(|placed| placed.run)
            .collect(),
        instances: scheduler
            .instances()
            .map(|instance| instance.uuid)
            .collect(),
    };
    let swept = containerizer.sweep(&known);
    for run in &swept.runs {
        info!(run.id = %run, "removed a run that nobody knows");
    }
    for path in &swept.cgroups {
        info!(cgroup = path, "removed a cgroup that nobody knows");
    }
    for instance in &swept.sandboxes {
        info!(instance.uuid = %instance, "removed sandboxes that nobody knows");
    }
    for failure in &swept.failures {
        warn!(error = chain(failure), "failed to remove what nobody knows");
    }
}
