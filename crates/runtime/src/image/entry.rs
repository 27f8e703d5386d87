//! An archive's entry before it is applied: its path taken apart, its owner and times checked.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use rustix::{
    fs::{Gid, Mode, RawMode, Timespec, Timestamps, Uid},
    io::Errno,
};
use thiserror::Error;

/// Why an entry could not be applied.
#[derive(Debug, Error)]
pub enum EntryError {
    /// Its path or kind is not acceptable.
    #[error("accept it: {reason}")]
    Refused {
        /// What is wrong.
        reason: &'static str,
    },
    /// The filesystem refused.
    #[error("{action}")]
    System {
        /// What was attempted.
        action: &'static str,
        /// The reason.
        source: io::Error,
    },
}

/// Who owns an entry, what may be done with it and when it changed.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// The twelve permission bits.
    pub(super) mode: Mode,
    pub(super) times: Timestamps,
}

/// A path's components below the tree's root; none for the root itself.
pub(super) struct Components(Vec<OsString>);

impl Components {
    pub(super) fn new(path: &[u8]) -> Result<Self, EntryError> {
        if path.len() > 4095 {
            return Err(refused("its path has more than 4095 bytes"));
        }
        let mut components = Vec::new();
        for component in path.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(refused("its path contains '..'")),
                _ if component.contains(&0) => {
                    return Err(refused("its path contains a zero byte"));
                }
                _ => components.push(OsStr::from_bytes(component).to_owned()),
            }
        }
        Ok(Self(components))
    }

    /// The directory's path and the last component; `None` for the root.
    pub(super) fn split(&self) -> Option<(PathBuf, &OsStr)> {
        let (name, directory) = self.0.split_last()?;
        Some((directory.iter().collect(), name))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.iter().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().map(OsString::as_os_str)
    }
}

/// Permissions, owner and times of an archive's member.
pub(super) fn metadata(
    mode: RawMode,
    uid: u64,
    gid: u64,
    (seconds, nanoseconds): (i64, u32),
) -> Result<Metadata, EntryError> {
    let id = |id: u64| {
        // The highest one means "leave as it is" to the kernel.
        u32::try_from(id)
            .ok()
            .filter(|id| *id < u32::MAX)
            .ok_or(refused("its owner's id is out of range"))
    };
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    Ok(Metadata {
        uid: Uid::from_raw(id(uid)?),
        gid: Gid::from_raw(id(gid)?),
        mode: Mode::from_raw_mode(mode),
        times: Timestamps {
            last_access: time,
            last_modification: time,
        },
    })
}

pub(super) fn refused(reason: &'static str) -> EntryError {
    EntryError::Refused { reason }
}

pub(super) fn system(action: &'static str) -> impl FnOnce(Errno) -> EntryError {
    move |errno| EntryError::System {
        action,
        source: errno.into(),
    }
}
