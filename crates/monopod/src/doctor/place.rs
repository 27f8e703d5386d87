//! Which daemon is meant, where its files are, and whether it runs.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use daemon::config::Config;
use runtime::{cgroup::Cgroups, keeper::Record};
use rustix::fs::FlockOperation;
use serde_json::Value;

use super::{DoctorArgs, Finding};
use crate::cli::Connection;

/// The configuration file where none is named; it may be missing.
const DEFAULT_CONFIG: &str = "/etc/monopod/monopod.toml";

/// Where things are.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) state_dir: PathBuf,
    pub(super) run_dir: PathBuf,
    /// What the daemon says of itself; none if it does not answer.
    pub(super) info: Option<Value>,
    /// Whether a daemon holds the run directory or the state directory, answering or not; none if that cannot be seen.
    pub(super) held: Option<bool>,
}

impl Place {
    /// Reads the configuration and asks the daemon.
    pub(super) async fn find(args: &DoctorArgs, connection: &Connection) -> (Self, Vec<Finding>) {
        let (config, finding) = configuration(args.config.as_deref());
        let run_dir = connection.run_dir.clone();
        let run_dir = run_dir.unwrap_or_else(|| config.run_dir.clone());
        let mut asked = connection.clone();
        asked.run_dir = Some(run_dir.clone());
        let info = ask(&asked).await;
        let told = |member: &str| Some(PathBuf::from(info.as_ref()?.get(member)?.as_str()?));
        let state_dir = args.state_dir.clone().or_else(|| told("stateDir"));
        let state_dir = state_dir.unwrap_or_else(|| config.state_dir.clone());
        let held = match (is_held(&run_dir), is_held(&state_dir)) {
            (Some(run), Some(state)) => Some(run || state),
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
        };
        let place = Self {
            config,
            state_dir,
            run_dir,
            held: info.is_some().then_some(true).or(held),
            info,
        };
        (place, vec![finding])
    }

    /// A member of what the daemon says.
    pub(super) fn told(&self, member: &str) -> Option<&Value> {
        self.info.as_ref()?.get(member)
    }

    /// The cgroup that pods are below: the configured one, else the keeper's, else the default.
    pub(super) fn cgroup_parent(&self, cgroups: &Cgroups) -> String {
        let configured = self.config.cgroup_parent.as_deref();
        let parent = configured.map(|parent| parent.trim_matches('/').to_owned());
        let keeper = || Record::current(&self.run_dir, cgroups).ok().flatten();
        let parent = parent.or_else(|| Some(keeper()?.cgroup_parent));
        parent.unwrap_or_else(|| "monopod".to_owned())
    }

    /// The daemon's process, if it answers on this host.
    pub(super) fn pid(&self) -> Option<u64> {
        self.told("pid")?.as_u64()
    }
}

fn configuration(file: Option<&Path>) -> (Config, Finding) {
    let check = "configuration";
    let path = file.unwrap_or(Path::new(DEFAULT_CONFIG));
    if file.is_none() && !path.exists() {
        let found = format!("{DEFAULT_CONFIG} is not there; defaults are in force");
        return (Config::default(), Finding::ok(check, found));
    }
    let read = Config::read(path);
    match read.and_then(|config| config.check().map(|()| config)) {
        Ok(config) => (config, Finding::ok(check, path.display().to_string())),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            let finding = Finding::fail(
                check,
                error,
                "correct it; the rest is checked with defaults",
            );
            (Config::default(), finding)
        }
    }
}

async fn ask(connection: &Connection) -> Option<Value> {
    let client = connection.client().ok()?;
    let answer: Value = client
        .get("/v2/info?monopod=true")
        .await
        .ok()?
        .json()
        .ok()?;
    answer.get("monopod").cloned()
}

/// Whether somebody has the directory's lock. None if its file may not be read.
fn is_held(directory: &Path) -> Option<bool> {
    match File::open(directory.join("lock")) {
        Ok(file) => {
            let tried = rustix::fs::flock(file, FlockOperation::NonBlockingLockShared);
            Some(tried == Err(rustix::io::Errno::WOULDBLOCK))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}
