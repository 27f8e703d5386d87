//! Who competes.

use std::{fmt, path::Path, process::Command};

use anyhow::Context as _;

use crate::{place::Place, workload::Pod};

/// A contestant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Kind {
    /// This project's daemon.
    Monopod,
    /// Three times `crun run` on ready bundles: no daemon, no image store, no supervision.
    Crun,
    /// Podman's REST service.
    Podman,
}

impl Kind {
    /// All; the first is the one that others are compared with.
    pub(crate) const ALL: [Self; 3] = [Self::Monopod, Self::Crun, Self::Podman];

    /// Its version.
    ///
    /// # Errors
    /// It is not installed.
    pub(crate) fn version(self, place: &Place) -> anyhow::Result<String> {
        // Even to tell its version crun makes its directory.
        let mut crun = Command::new("crun");
        crun.arg("--root").arg(place.run.join("crun"));
        match self {
            Self::Monopod => first_line(Command::new(crate::monopod::program()?)),
            Self::Crun => first_line(crun),
            Self::Podman => {
                let podman = first_line(Command::new("podman"))?;
                Ok(format!("{podman} with {}", first_line(crun)?))
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monopod => "monopod",
            Self::Crun => "crun",
            Self::Podman => "podman",
        })
    }
}

fn first_line(mut program: Command) -> anyhow::Result<String> {
    let output = program
        .arg("--version")
        .output()
        .with_context(|| format!("run {program:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What comes back when a payload is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// All containers of the pod.
    Pod,
    /// Only the container.
    Container,
    /// Nothing.
    Nothing,
}

/// One way to run pods, ready to take requests.
pub(crate) trait Contestant: Sync {
    /// Launches a pod and returns when its own answer says so.
    fn launch(&self, pod: &Pod) -> anyhow::Result<()>;

    /// Removes a pod and returns when its own answer says that nothing is left.
    fn remove(&self, pod: &Pod) -> anyhow::Result<()>;

    /// Waits until nothing is under way for the pod any more. Not timed.
    fn settle(&self, pod: &Pod) -> anyhow::Result<()>;

    /// Reads the list of all pods.
    fn list(&self) -> anyhow::Result<()>;

    /// Reads the status of one pod.
    fn status(&self, pod: &Pod) -> anyhow::Result<()>;

    /// What comes back when a payload is killed.
    fn replacement(&self) -> Replacement;

    /// Where the service says what goes wrong, if there is one.
    fn log(&self) -> Option<&Path>;

    /// The service's process, if there is one.
    fn service(&self) -> Option<i32>;
}
