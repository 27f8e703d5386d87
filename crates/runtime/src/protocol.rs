//! What daemon and executor say to each other over the executor's Unix socket: one JSON object a line.
//!
//! The executor listens on `executor.sock` in its run directory and serves one daemon at a time; a new
//! connection replaces the old one. Both sides say hello first, and nothing else before they have heard the other's:
//! from then on both speak the older of their two versions ([`Versions::agree`]). The executor then repeats every update
//! that was not acknowledged and goes on with new ones; it never waits for the daemon.
//!
//! How this may change is told in `docs/decisions/0008-how-the-protocol-may-change.md`; `tests/golden` pins it.

use model::{id::RunId, state::Reason, update::TaskUpdate};
use serde::{Deserialize, Serialize};

use crate::launch::{OLDEST_VERSION, PROTOCOL_VERSION};

/// Longest line either side accepts, in bytes.
pub const LINE_LIMIT: usize = 64 * 1024;

/// The versions that one side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The newest.
    pub newest: u32,
    /// The oldest.
    pub oldest: u32,
}

/// Two sides have no version in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "find a protocol version in common: the other side speaks {} to {}, this monopod {} to {}",
    theirs.oldest, theirs.newest, ours.oldest, ours.newest
)]
pub struct NoCommonVersion {
    ours: Versions,
    theirs: Versions,
}

impl Versions {
    /// Those of this monopod.
    pub const OURS: Self = Self {
        newest: PROTOCOL_VERSION,
        oldest: OLDEST_VERSION,
    };

    /// Whether a version is among them.
    pub const fn contain(self, version: u32) -> bool {
        self.oldest <= version && version <= self.newest
    }

    /// The version that two sides speak to each other: the newest of whoever is older.
    ///
    /// # Errors
    /// It is below what one of them still speaks, or is 0, which never was a version.
    pub fn agree(self, theirs: Self) -> Result<u32, NoCommonVersion> {
        let version = self.newest.min(theirs.newest);
        if version > 0 && self.contain(version) && theirs.contain(version) {
            return Ok(version);
        }
        let ours = self;
        Err(NoCommonVersion { ours, theirs })
    }
}

/// From the daemon to an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
pub enum ToExecutor {
    /// First line.
    Hello {
        /// The newest version that the daemon speaks.
        version: u32,
        /// The oldest.
        #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
        oldest: u32,
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
        /// The newest version that the executor speaks.
        version: u32,
        /// The oldest.
        #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
        oldest: u32,
        /// The run it is.
        run: RunId,
        /// Its process id in the daemon's namespace.
        pid: i32,
    },
    /// A change; repeated on every connection until acknowledged.
    Update(TaskUpdate),
    /// Output of a container could not be kept, or can be kept again. Told when that begins, when it has doubled and
    /// when it is over; and on every connection as long as it lasts. Not acknowledged.
    LogLoss {
        /// The container's name.
        container: String,
        /// What was lost so far in this run.
        lost_bytes: u64,
        /// Whether it goes on.
        lasting: bool,
    },
    /// The daemon sent a verb that this executor does not know.
    Unsupported,
    /// A verb this daemon does not know (of a newer executor); ignored.
    #[serde(other)]
    Unknown,
}

const fn first_version() -> u32 {
    1
}

const fn is_first_version(version: &u32) -> bool {
    *version == first_version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_side_decides_what_is_spoken() {
        let versions = |oldest, newest| Versions { newest, oldest };
        let cases = [
            (versions(1, 1), versions(1, 1), Some(1)),
            (versions(1, 3), versions(1, 2), Some(2)),
            (versions(1, 2), versions(1, 3), Some(2)),
            (versions(2, 3), versions(1, 2), Some(2)),
            (versions(2, 3), versions(1, 1), None),
            (versions(1, 1), versions(2, 3), None),
            (versions(1, 1), versions(1, 0), None),
            (versions(1, 1), versions(0, 0), None),
            (versions(0, 1), versions(0, 0), None),
            (versions(1, 3), versions(3, 2), None),
        ];
        for (ours, theirs, expected) in cases {
            assert_eq!(ours.agree(theirs).ok(), expected, "{ours:?} {theirs:?}");
            assert_eq!(theirs.agree(ours).ok(), expected, "{theirs:?} {ours:?}");
        }
        let error = versions(1, 1).agree(versions(2, 3)).unwrap_err();
        let told =
            "find a protocol version in common: the other side speaks 2 to 3, this monopod 1 to 1";
        assert_eq!(error.to_string(), told);
    }
}
