//! What the service has to do with systemd: where pods live, readiness, the watchdog, what a unit must not do.

mod unit;

use std::time::Duration;

use anyhow::Context as _;
use runtime::{cgroup::Cgroups, keeper::Record};
use sd_notify::NotifyState;
use tracing::warn;

use crate::{config::Config, handle::Handle};

pub(crate) use unit::check as check_unit;

/// Where pods live without a keeper.
const DEFAULT_CGROUP_PARENT: &str = "monopod";

/// The cgroup that all pods are below: the configured one, else the keeper's, else the default.
///
/// # Errors
/// The keeper's record cannot be read.
pub(crate) fn cgroup_parent(config: &Config) -> anyhow::Result<String> {
    if let Some(parent) = &config.cgroup_parent {
        return Ok(parent.trim_matches('/').to_owned());
    }
    let cgroups = Cgroups::detect().context("prepare this host for containers")?;
    let record = Record::current(&config.run_dir, &cgroups)
        .context("find the keeper; `systemctl reload monopod-pods` writes its record anew")?;
    let Some(record) = record else {
        return Ok(DEFAULT_CGROUP_PARENT.to_owned());
    };
    if !record.is_alive() {
        warn!(
            process.id = record.pid,
            "the keeper is dead; pods go on running, `systemctl reload monopod-pods` starts it again"
        );
    }
    Ok(record.cgroup_parent)
}

/// Tells systemd; where there is none, nobody.
pub(crate) fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "failed to tell systemd");
    }
}

/// Feeds the watchdog of the unit, if it has one, as long as the loop answers.
pub(crate) async fn feed_watchdog(handle: Handle) {
    let Some(within) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut due = tokio::time::interval(feeding_interval(within));
    loop {
        due.tick().await;
        if handle.turned().await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Twice as often as needed, so that one slow turn is forgiven (sd_watchdog_enabled(3)).
fn feeding_interval(within: Duration) -> Duration {
    (within / 2).max(Duration::from_millis(1))
}
