//! Where things are: directories of the state, of the run directory, of one run.

use std::path::{Path, PathBuf};

use model::id::RunId;
use uuid::Uuid;

/// The two directories that everything is below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Survives a reboot, such as `/var/lib/monopod`.
    pub state_dir: PathBuf,
    /// Lost at reboot, such as `/run/monopod`; a tmpfs.
    pub run_dir: PathBuf,
}

impl Layout {
    /// Images and their layers.
    pub fn images(&self) -> PathBuf {
        self.state_dir.join("images")
    }

    /// Sandboxes of all instances.
    pub fn sandboxes(&self) -> PathBuf {
        self.state_dir.join("sandboxes")
    }

    /// Sandboxes that are being removed.
    pub fn trash(&self) -> PathBuf {
        self.state_dir.join("trash")
    }

    /// Sandboxes of one instance.
    pub fn instance_sandboxes(&self, instance: Uuid) -> PathBuf {
        self.sandboxes().join(instance.to_string())
    }

    /// The sandbox of one run.
    pub fn sandbox(&self, run: RunId) -> PathBuf {
        self.instance_sandboxes(run.instance)
            .join(run.incarnation.to_string())
    }

    /// Run directories of all runs.
    pub fn runs(&self) -> PathBuf {
        self.run_dir.join("runs")
    }

    /// The run directory of one run.
    pub fn run(&self, run: RunId) -> RunDir {
        RunDir(self.runs().join(run.to_string()))
    }
}

/// The directory of one run, below the run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(pub PathBuf);

impl RunDir {
    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Held by the executor as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.0.join("run.lock")
    }

    /// The executor's socket. At most 107 bytes: see `sys::socket` for longer run directories.
    pub fn socket(&self) -> PathBuf {
        self.0.join("executor.sock")
    }

    /// The executor's journal: a header line, then one update a line.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// libcontainer's state.
    pub fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }

    /// What the executor says when it fails; for messages.
    pub fn log(&self) -> PathBuf {
        self.0.join("executor.log")
    }
}

/// The sandbox of one container below its run's sandbox.
pub fn container_sandbox(sandbox: &Path, container: &str) -> PathBuf {
    sandbox.join("containers").join(container)
}

/// The directory of an ephemeral volume below its run's sandbox.
pub fn ephemeral_volume(sandbox: &Path, volume: &str) -> PathBuf {
    sandbox.join("volumes").join(volume)
}
