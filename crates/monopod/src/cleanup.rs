//! `monopod cleanup`.

use std::{
    io::{BufRead as _, Write as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use daemon::config::Config;
use runtime::{
    cleanup::{Cleanup, CleanupError, Outcome, Removed},
    layout::Layout,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{cli::Connection, daemon_verb, error::CliError, output};

/// How long a daemon may take to end.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a daemon that is not our child.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Arguments of `cleanup`.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    /// Configuration file [default: /etc/monopod/monopod.toml, if there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory, if it is not the configured one.
    #[arg(long, value_name = "DIR", env = "MONOPOD_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// The cgroup that pods are below, if it is not the configured one.
    #[arg(long, value_name = "CGROUP")]
    cgroup_parent: Option<String>,
    /// Stop a daemon that runs; without it a running daemon is a reason to refuse.
    #[arg(long)]
    stop_daemon: bool,
    /// Remove images, sandboxes, volumes, records and token, too.
    #[arg(long)]
    state: bool,
    /// Do not ask before the state is removed.
    #[arg(long)]
    yes: bool,
    /// Seconds until pods that do not stop are killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    within: u64,
}

/// Stops all pods and removes what monopod left on this host.
///
/// # Errors
/// [`CliError::Cleanup`].
pub(crate) fn run(args: &CleanupArgs, connection: &Connection) -> Result<(), CliError> {
    let outcome = carry_out(args, connection).map_err(|source| CliError::Cleanup { source })?;
    output::print(&describe(&outcome))?;
    match outcome.failures.into_iter().next() {
        None => Ok(()),
        Some(first) => Err(CliError::Cleanup {
            source: first.into(),
        }),
    }
}

fn carry_out(args: &CleanupArgs, connection: &Connection) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "only root can: start it as root"
    );
    let mut config = daemon_verb::read_config(args.config.as_deref(), connection)?;
    if let Some(state_dir) = &args.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    config.cgroup_parent = args.cgroup_parent.clone().or(config.cgroup_parent);
    config.check()?;
    anyhow::ensure!(
        !args.state || args.yes || confirmed(&config)?,
        "nothing was removed"
    );
    let cleanup = cleanup(args, &config);
    match cleanup.run() {
        Err(CleanupError::InUse { path, pid }) if args.stop_daemon => {
            stop(&pid).with_context(|| format!("stop the daemon that uses {}", path.display()))?;
            Ok(cleanup.run()?)
        }
        other => Ok(other?),
    }
}

fn cleanup(args: &CleanupArgs, config: &Config) -> Cleanup {
    let parent = config.cgroup_parent.as_deref().unwrap_or("monopod");
    Cleanup {
        layout: Layout {
            state_dir: config.state_dir.clone(),
            run_dir: config.run_dir.clone(),
        },
        cgroup_parent: parent.trim_matches('/').to_owned(),
        grace: Duration::from_secs(args.within),
        state: args.state,
    }
}

fn confirmed(config: &Config) -> anyhow::Result<bool> {
    let question = format!(
        "Remove {} with all images, sandboxes and volumes? [y/N] ",
        config.state_dir.display()
    );
    let mut stderr = std::io::stderr();
    stderr.write_all(question.as_bytes())?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Asks the process that signed the lock to end, and waits for it.
fn stop(pid: &str) -> anyhow::Result<()> {
    let raw = pid.parse().ok().and_then(Pid::from_raw);
    let pid = raw.context("find its process: it did not write down its id")?;
    let unit = std::fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero()));
    anyhow::ensure!(
        !unit.unwrap_or_default().contains("monopod.service"),
        "systemd would start it again: run `systemctl stop monopod` first"
    );
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + STOP_PATIENCE;
    while test_kill_process(pid).is_ok() {
        anyhow::ensure!(Instant::now() < deadline, "process {pid:?} does not end");
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

fn describe(outcome: &Outcome) -> String {
    if outcome.removed.is_empty() && outcome.failures.is_empty() {
        return "There is nothing to clean up\n".to_owned();
    }
    let line = |removed: &Removed| match removed {
        Removed::Pods(stopped) if stopped.killed == 0 => {
            format!("stopped {} pod instances\n", stopped.asked)
        }
        Removed::Pods(stopped) => format!(
            "stopped {} pod instances, killed what was left of {}\n",
            stopped.asked, stopped.killed
        ),
        Removed::Cgroup(path) => format!("removed cgroup {path}\n"),
        Removed::Mount(path) => format!("unmounted {}\n", path.display()),
        Removed::Directory(path) => format!("removed {}\n", path.display()),
    };
    let failed = |error: &CleanupError| format!("failed to {error}\n");
    let removed = outcome.removed.iter().map(line);
    removed.chain(outcome.failures.iter().map(failed)).collect()
}
