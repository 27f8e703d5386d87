//! The keeper: the process of the systemd unit whose delegated cgroup subtree all pods live in.
//!
//! On cgroup version 2 systemd cannot start a service again whose cgroup has populated cgroups with controllers
//! below it (measured on 252 and 257: `Device or resource busy`). So pods live in no cgroup of the daemon's unit, but
//! in that of a unit that nobody has reason to start again: the keeper's.
//!
//! ```text
//! <delegated root>            no process: a cgroup with controllers below it may have none
//!   ├─ keeper                 this process
//!   ├─ .control               made by systemd for ExecReload= and ExecStop=
//!   └─ pods                   the daemon's cgroup parent: one cgroup a run
//! ```
//!
//! The keeper holds nothing that would be lost with it: its end touches no pod. It executes itself anew at SIGHUP,
//! under the same process id, which is how it is upgraded. One thread, no asynchronous runtime.

mod record;
mod reload;
mod stop;
mod subtree;

use std::{
    convert::Infallible,
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::{SigSet, Signal};
use tracing::{error, info};

pub use record::Record;
pub use reload::{Reloaded, reload};
pub use stop::{Stopped, stop};
pub use subtree::Subtree;

use crate::{
    cgroup::{CgroupError, Cgroups},
    sys::signals,
};

/// Why the keeper cannot keep, or pods could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The host has cgroups of version 1.
    #[error(
        "keep a cgroup subtree on a host with cgroups {mode}: the keeper serves systemd and cgroup v2; \
         without them start `monopod daemon` alone"
    )]
    Mode {
        /// What the host has.
        mode: &'static str,
    },
    /// The process is in the root cgroup, which nobody delegated.
    #[error(
        "keep the cgroup of this process, which is the root: start the keeper by monopod-pods.service, \
         or by `systemd-run -p Delegate=yes monopod keeper`"
    )]
    NotDelegated,
    /// Other processes are in the delegated root.
    #[error(
        "keep cgroup {path}: processes {pids:?} are in it beside the keeper, and it may have none; \
         start the keeper in a unit of its own with Delegate=yes"
    )]
    Crowded {
        /// The delegated root.
        path: String,
        /// Who is there.
        pids: Vec<i32>,
    },
    /// The cgroups below the delegated root could not be made.
    #[error("make the cgroups of the keeper")]
    Cgroup {
        /// Why.
        source: CgroupError,
    },
    /// A file could not be read or written.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("wait for signals")]
    Signals {
        /// Why.
        source: nix::Error,
    },
    /// The keeper lives, but did not do what it was told.
    #[error(
        "see the keeper (process {pid}) execute itself anew; `systemctl status monopod-pods` may tell why"
    )]
    Unresponsive {
        /// The keeper.
        pid: i32,
    },
}

impl From<CgroupError> for KeeperError {
    fn from(source: CgroupError) -> Self {
        Self::Cgroup { source }
    }
}

impl KeeperError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// A keeper whose subtree is prepared.
#[derive(Debug)]
pub struct Keeper {
    record: Record,
    signals: SigSet,
}

impl Keeper {
    /// Takes its place in the cgroup that this process was started in, makes the pods' cgroup, and writes the record
    /// that the daemon reads. To be called before the process has a second thread.
    ///
    /// # Errors
    /// The cgroup is not delegated, or something cannot be made.
    pub fn begin(run_dir: &Path, version: &str) -> Result<Self, KeeperError> {
        // First: whoever reads the record may signal at once.
        let signals = signals::block(&[Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT])
            .map_err(|source| KeeperError::Signals { source })?;
        let subtree = Subtree::take(&Cgroups::detect()?)?;
        let record = Record::of_this_process(run_dir, version, &subtree)?;
        record.write(run_dir)?;
        Ok(Self { record, signals })
    }

    /// What was recorded.
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Waits until SIGTERM or SIGINT; executes `executable` anew, with this process's arguments, at SIGHUP. Pods go on
    /// running when it returns.
    ///
    /// # Errors
    /// Signals cannot be waited for.
    pub fn keep(&self, executable: &Path) -> Result<(), KeeperError> {
        loop {
            let signal = self.signals.wait();
            let signal = signal.map_err(|source| KeeperError::Signals { source })?;
            if signal != Signal::SIGHUP {
                info!(%signal, "the keeper ends; pods go on running");
                return Ok(());
            }
            let Err(error) = execute_anew(executable);
            let executable = executable.display();
            error!(%executable, %error, "failed to execute anew; the keeper goes on as it is");
        }
    }
}

/// The signals stay blocked across the exec, so that none is lost and none kills.
fn execute_anew(executable: &Path) -> Result<Infallible, io::Error> {
    info!(executable = %executable.display(), "the keeper executes itself anew");
    Err(Command::new(executable)
        .args(std::env::args_os().skip(1))
        .exec())
}
