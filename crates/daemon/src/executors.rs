//! What the loop asks of executors; the real ones are in [`linux`], tests bring their own.

pub mod linux;

use std::{sync::Arc, time::Duration};

use model::{id::RunId, state::Reason, task_group::TaskGroup};

/// Carries out the loop's effects. Every call returns at once, is idempotent per run, and may be repeated
/// after a crash; what comes of it arrives as an observation.
pub trait Executors: Send + Sync + 'static {
    /// Launches a run. A failure is observed as the run's end.
    fn launch(&self, group: Arc<TaskGroup>);

    /// Ends a run. Without `grace` each container has its own.
    fn kill(&self, run: RunId, reason: Reason, grace: Option<Duration>);

    /// Tells the run's executor that its updates up to `sequence` are stored.
    fn acknowledge(&self, run: RunId, sequence: u64);

    /// Drops what is left of a run whose end is stored: its run directory and journal. Its sandbox stays until it is
    /// collected.
    fn discard(&self, run: RunId);
}
