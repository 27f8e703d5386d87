//! `monopod keeper`: the process of `monopod-pods.service`, and what that unit runs at reload and stop.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use daemon::config::Config;
use runtime::{
    cgroup::Cgroups,
    keeper::{self, Keeper, Record, Reloaded},
};
use sd_notify::NotifyState;
use tracing::{info, warn};

use crate::{cli::Connection, daemon_verb, error::CliError, logging};

/// Arguments of `keeper`.
#[derive(Debug, Args)]
pub(crate) struct KeeperArgs {
    /// Configuration file [default: /etc/monopod/monopod.toml, if there is one].
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    deed: Option<Deed>,
}

/// What the unit asks for besides keeping.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Deed {
    /// Have the keeper execute itself anew, or start it again if it died.
    Reload,
    /// Stop all pods, and wait until they are gone.
    Stop {
        /// Seconds until those that are left are killed.
        #[arg(long, value_name = "SECONDS", default_value_t = 80)]
        within: u64,
    },
}

/// Keeps until it is asked to end, or does the deed.
///
/// # Errors
/// [`CliError::Keeper`].
pub(crate) fn run(args: &KeeperArgs, connection: &Connection) -> Result<(), CliError> {
    carry_out(args, connection).map_err(|source| CliError::Keeper { source })
}

fn carry_out(args: &KeeperArgs, connection: &Connection) -> anyhow::Result<()> {
    let config = daemon_verb::read_config(args.config.as_deref(), connection)?;
    logging::begin(logging::filter(&config.log_level)?);
    match args.deed {
        None => keep(&config),
        Some(Deed::Reload) => reload(&config),
        Some(Deed::Stop { within }) => stop(&config, Duration::from_secs(within)),
    }
}

fn keep(config: &Config) -> anyhow::Result<()> {
    let executable = executable()?;
    let keeper = Keeper::begin(&config.run_dir, env!("CARGO_PKG_VERSION"))?;
    let record = keeper.record();
    info!(
        cgroup = record.cgroup_parent,
        executions = record.executions,
        version = record.version,
        "keeps the cgroup of all pods"
    );
    let status = format!("Pods live in /{}", record.cgroup_parent);
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    Ok(keeper.keep(&executable)?)
}

fn reload(config: &Config) -> anyhow::Result<()> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    arguments.retain(|argument| argument != "reload");
    match keeper::reload(&config.run_dir, &executable()?, &arguments)? {
        Reloaded::Anew(record) => info!(
            version = record.version,
            process.id = record.pid,
            "the keeper executed itself anew"
        ),
        Reloaded::Started(record) => {
            warn!(
                process.id = record.pid,
                "the keeper had died and was started again"
            );
            let pid = u32::try_from(record.pid).context("tell systemd the keeper's process id")?;
            let status = format!("Pods live in /{}", record.cgroup_parent);
            tell(&[NotifyState::MainPid(pid), NotifyState::Status(&status)]);
        }
    }
    Ok(())
}

fn stop(config: &Config, within: Duration) -> anyhow::Result<()> {
    let record = Record::current(&config.run_dir, &Cgroups::detect()?)?;
    let Some(record) = record else {
        info!("no pods to stop: there is no keeper's cgroup");
        return Ok(());
    };
    let stopped = keeper::stop(&config.run_dir, &record.cgroup_parent, within)?;
    info!(
        asked = stopped.asked,
        killed = stopped.killed,
        "stopped all pods"
    );
    Ok(())
}

/// By the name it was started with, which a newer version takes over; not by the file that runs, which is deleted then.
fn executable() -> anyhow::Result<PathBuf> {
    let given = std::env::args_os().next().map(PathBuf::from);
    match given.filter(|path| path.is_absolute()) {
        Some(path) => Ok(path),
        None => std::env::current_exe().context("find the executable"),
    }
}

/// Tells systemd; where there is none, nobody.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "failed to tell systemd");
    }
}
