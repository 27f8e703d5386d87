//! What daemon and executor say to each other over the executor's Unix socket: one JSON object a line.
//!
//! The executor listens on `executor.sock` in its run directory and serves one daemon at a time; a new
//! connection replaces the old one. Both sides say hello first. The executor then repeats every update that
//! was not acknowledged and goes on with new ones; it never waits for the daemon.

use model::{id::RunId, state::Reason, update::TaskUpdate};
use serde::{Deserialize, Serialize};

/// Longest line either side accepts, in bytes.
pub const LINE_LIMIT: usize = 64 * 1024;

/// From the daemon to an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
pub enum ToExecutor {
    /// First line.
    Hello {
        /// [`crate::launch::PROTOCOL_VERSION`] of the daemon.
        version: u32,
    },
    /// Every update up to this one is stored; the journal may drop them.
    Acknowledge {
        /// The last stored sequence number.
        sequence: u64,
    },
    /// Ends the whole run. A second kill may shorten the grace, never lengthen it.
    Kill {
        /// Why; goes into the updates of the containers it ends.
        reason: Reason,
        /// Instead of each container's own grace, in milliseconds.
        grace_ms: Option<u64>,
    },
    /// A verb this executor does not know (of a newer daemon); answered by `Unsupported`.
    #[serde(other)]
    Unknown,
}

/// From an executor to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
pub enum FromExecutor {
    /// First line.
    Hello {
        /// [`crate::launch::PROTOCOL_VERSION`] of the executor.
        version: u32,
        /// The run it is.
        run: RunId,
        /// Its process id in the daemon's namespace.
        pid: i32,
    },
    /// A change; repeated on every connection until acknowledged.
    Update(TaskUpdate),
    /// The daemon sent a verb that this executor does not know.
    Unsupported,
    /// A verb this daemon does not know (of a newer executor); ignored.
    #[serde(other)]
    Unknown,
}
