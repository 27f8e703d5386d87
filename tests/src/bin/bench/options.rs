//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::contestant::Kind;

/// Measures what a pod of three small containers costs, beside crun and podman where they are installed.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// How often each contestant does everything; 0 leaves the contest out.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) rounds: usize,
    /// How many pods stand at once.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) pods: usize,
    /// How many requests are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) parallel: usize,
    /// Launches and removals of a single pod in a round.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) single: usize,
    /// Seconds of idleness that are looked at.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) idle: u64,
    /// How many pods of one container monopod alone holds at once, to see what grows with them; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) scale: usize,
    /// One round with 10 pods, 20 where it is about many: whether it works at all.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write every measured value to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Only these contestants.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<Kind>,
}

impl Options {
    /// What `--quick` shortens is shortened.
    pub(crate) fn effective(mut self) -> Self {
        if self.quick {
            self.rounds = self.rounds.min(1);
            self.scale = self.scale.min(20);
            self.pods = self.pods.min(10);
            self.single = self.single.min(3);
            self.idle = self.idle.min(2);
        }
        self
    }

    /// Who takes part.
    pub(crate) fn contestants(&self) -> Vec<Kind> {
        let all = Kind::ALL.into_iter();
        all.filter(|kind| self.only.is_empty() || self.only.contains(kind))
            .collect()
    }

    /// How long idleness is looked at.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle)
    }
}
