//! How this life of the daemon began.

use std::time::Duration;

use model::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

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
    pub(crate) fn document(&self) -> StartDocument {
        StartDocument {
            ready_at: self.ready_at,
            duration_ms: u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            host_rebooted: self.rebooted,
            runs_alive: self.alive,
            runs_over: self.over,
        }
    }
}

/// How this life of the daemon began, as `/v2/info?monopod=true` tells it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Start)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartDocument {
    /// When it was ready.
    ready_at: Timestamp,
    /// From the first instruction until it was ready, recovery included.
    duration_ms: u64,
    /// Whether the host restarted since the last life.
    host_rebooted: bool,
    /// Open runs that were found alive.
    runs_alive: usize,
    /// Open runs that had ended, or were never launched.
    runs_over: usize,
}
