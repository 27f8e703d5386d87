//! The first steps of an executor: take the launch message, and leave everything of the daemon's behind.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::{
    fs::Mode,
    process::{Pid, PidfdFlags, Resource, Rlimit, getppid, pidfd_open},
};
use serde::Deserialize;

use crate::{
    launch::Launch,
    protocol::Versions,
    sys::{
        descriptors,
        fork::{SingleThreaded, clear_environment},
        keyring, signals,
    },
};

/// The launch message comes on this descriptor.
const LAUNCH_FD: i32 = 3;

/// The run's lock is held through this descriptor.
const LOCK_FD: i32 = 4;

/// Open files at first; the hard limit stays as it was inherited.
const OPEN_FILES: u64 = 1024;

/// Why a process could not become an executor. Nothing was launched.
#[derive(Debug, thiserror::Error)]
pub enum BirthError {
    /// The process has more than one thread, or that cannot be told.
    #[error("begin with one thread")]
    Threads {
        /// Why not.
        source: io::Error,
    },
    /// A descriptor is missing: this is no process for people to start.
    #[error("take over descriptor {number} from the daemon")]
    Descriptor {
        /// Its number.
        number: i32,
        /// Why not.
        source: io::Error,
    },
    /// The launch message is cut or is none.
    #[error("understand the launch message")]
    Message {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The daemon's version is not spoken here.
    #[error(
        "understand a launch message of version {found}; this executor knows {} to {}",
        Versions::OURS.oldest, Versions::OURS.newest
    )]
    Version {
        /// The message's version.
        found: u32,
    },
    /// The process could not be detached from the daemon.
    #[error("detach from the daemon: {step}")]
    Detach {
        /// What was attempted.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A process that is an executor, before its surroundings are made.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) launch: Launch,
    pub(super) proof: SingleThreaded,
    /// The process that launched it, if it shall not outlive that.
    pub(super) parent: Option<OwnedFd>,
    /// Held until the process ends; containers never get it.
    pub(super) lock: OwnedFd,
}

/// Only the version, which every message has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Becomes an executor.
pub(super) fn be_born() -> Result<Born, BirthError> {
    let parent = getppid();
    let proof = SingleThreaded::prove().map_err(|source| BirthError::Threads { source })?;
    let lock = take(LOCK_FD)?;
    let launch = read_launch()?;
    let parent = if launch.die_with_parent {
        watch(parent)
    } else {
        None
    };
    detach(&proof, &lock, parent.as_ref())?;
    Ok(Born {
        launch,
        proof,
        parent,
        lock,
    })
}

fn take(number: i32) -> Result<OwnedFd, BirthError> {
    descriptors::take(number).map_err(|source| BirthError::Descriptor { number, source })
}

fn read_launch() -> Result<Launch, BirthError> {
    let mut text = Vec::new();
    File::from(take(LAUNCH_FD)?)
        .read_to_end(&mut text)
        .map_err(|source| BirthError::Descriptor {
            number: LAUNCH_FD,
            source,
        })?;
    parse(&text)
}

fn parse(text: &[u8]) -> Result<Launch, BirthError> {
    let message = |source| BirthError::Message { source };
    let Versioned { version } = serde_json::from_slice(text).map_err(message)?;
    if !Versions::OURS.contain(version) {
        return Err(BirthError::Version { found: version });
    }
    serde_json::from_slice(text).map_err(message)
}

/// A parent that is gone already has no pidfd; whoever took this process over is not watched.
fn watch(parent: Option<Pid>) -> Option<OwnedFd> {
    pidfd_open(parent?, PidfdFlags::empty()).ok()
}

fn detach(
    proof: &SingleThreaded,
    lock: &OwnedFd,
    parent: Option<&OwnedFd>,
) -> Result<(), BirthError> {
    let step = |step| move |source| BirthError::Detach { step, source };
    let mut kept = vec![lock.as_raw_fd()];
    kept.extend(parent.map(|fd| fd.as_raw_fd()));
    descriptors::fill_standard().map_err(step("open standard descriptors"))?;
    descriptors::close_all_but(&kept).map_err(step("close inherited descriptors"))?;
    clear_environment(proof);
    signals::reset();
    signals::ignore_broken_pipes();
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::chdir("/").map_err(|errno| step("go to /")(errno.into()))?;
    rustix::thread::set_thread_groups(&[]).map_err(|errno| step("drop groups")(errno.into()))?;
    // A leader of a group, as after a start by hand, cannot begin a session; it needs none.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Pid::from_raw(1))
        .map_err(|errno| step("become a subreaper")(errno.into()))?;
    lower_expectations();
    Ok(())
}

/// What may fail without harm: the result is what the daemon had.
fn lower_expectations() {
    let _ = rustix::thread::set_name(c"monopod-exec");
    let _ = keyring::join_new_session();
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    let _ = rustix::process::setpriority_process(None, 0);
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let soft = hard.map_or(OPEN_FILES, |hard| hard.min(OPEN_FILES));
    let limit = Rlimit {
        current: Some(soft),
        maximum: hard,
    };
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_other_versions_and_cut_ones_are_refused() {
        for version in [0, Versions::OURS.newest + 1] {
            let other = format!(r#"{{"version":{version},"a_member":"of another time"}}"#);
            let parsed = parse(other.as_bytes());
            assert!(matches!(parsed, Err(BirthError::Version { found }) if found == version));
        }
        assert!(matches!(
            parse(b"{\"version\":1"),
            Err(BirthError::Message { .. })
        ));
        assert!(matches!(
            parse(b"{\"version\":1}"),
            Err(BirthError::Message { .. })
        ));
    }
}
