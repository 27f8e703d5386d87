//! Why a containerizer was not opened, a run not launched, or not removed.

use std::{io, path::PathBuf};

use model::id::RunId;

use crate::{cgroup::CgroupError, image::ImageError, prepare::PrepareError, seccomp::SeccompError};

/// A containerizer that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("use {path}: the daemon with process id {pid} uses it")]
    InUse {
        /// State directory, run directory, or cgroup.
        path: PathBuf,
        /// Who has it, as far as is known.
        pid: String,
    },
    /// A directory or lock could not be made.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Cgroups are not usable.
    #[error("set up cgroups")]
    Cgroup {
        /// Why.
        #[from]
        source: CgroupError,
    },
    /// The system call filter could not be compiled.
    #[error("set up the system call filter")]
    Seccomp {
        /// Why.
        #[from]
        source: SeccompError,
    },
    /// The image store is not usable.
    #[error("open the image store")]
    Images {
        /// Why.
        #[from]
        source: ImageError,
    },
    /// Our own capabilities cannot be read.
    #[error("read this process's capabilities")]
    Capabilities {
        /// Why.
        #[from]
        source: caps::errors::CapsError,
    },
}

/// A run that was not launched. Whatever had been made of it is gone again.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The run was launched before and has ended.
    #[error("launch {run}: it is over, a run is launched once")]
    Over {
        /// The run.
        run: RunId,
    },
    /// Its lock is held, but no process of it can be found.
    #[error("launch {run}: something holds its lock")]
    Held {
        /// The run.
        run: RunId,
    },
    /// The task group cannot be launched on this host as it is.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The image store failed.
    #[error("look up image '{image}'")]
    Image {
        /// The reference.
        image: String,
        /// Why.
        source: ImageError,
    },
    /// A volume names a path that the host does not have.
    #[error("prepare container '{container}': the host has no {path} to mount as a volume")]
    HostVolumeMissing {
        /// The container.
        container: String,
        /// The path.
        path: PathBuf,
    },
    /// A cgroup could not be made.
    #[error("make the run's cgroups")]
    Cgroup {
        /// Why.
        #[from]
        source: CgroupError,
    },
    /// A file, directory or process could not be made.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LaunchError {
    /// Whether the same launch cannot succeed until a person changes something.
    pub const fn is_invalid(&self) -> bool {
        match self {
            Self::Prepare(_) | Self::HostVolumeMissing { .. } => true,
            Self::Over { .. }
            | Self::Held { .. }
            | Self::Image { .. }
            | Self::Cgroup { .. }
            | Self::Io { .. } => false,
        }
    }
}

/// A run that could not be removed wholly. Trying again goes on where this stopped.
#[derive(Debug, thiserror::Error)]
pub enum DestroyError {
    /// Its cgroup could not be emptied or removed.
    #[error("end the run's processes")]
    Cgroup {
        /// Why.
        #[from]
        source: CgroupError,
    },
    /// The lock is held by a process that is not in the run's cgroup and is not known.
    #[error("end run {run}: something unknown holds its lock")]
    Held {
        /// The run.
        run: RunId,
    },
    /// Files could not be removed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
