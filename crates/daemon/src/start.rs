//! How this life of the daemon began.

use std::time::Duration;

use model::time::Timestamp;
use serde_json::{Value, json};

/// How the daemon started, and what became of the runs that were open before.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// When it was ready.
    pub ready_at: Timestamp,
    /// From the first instruction until it was ready, recovery included.
    pub duration: Duration,
    /// Whether the host restarted since the last life.
    pub rebooted: bool,
    /// Open runs that were found alive.
    pub alive: usize,
    /// Open runs that had ended, or were never launched.
    pub over: usize,
}

impl Start {
    /// For `/v2/info?monopod=true`.
    pub(crate) fn document(&self) -> Value {
        json!({
            "readyAt": self.ready_at,
            "durationMs": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            "hostRebooted": self.rebooted,
            "runsAlive": self.alive,
            "runsOver": self.over,
        })
    }
}
