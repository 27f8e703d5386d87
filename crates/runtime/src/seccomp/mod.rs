//! The containers' system call filter: the profile the container world uses, compiled once and cached.
//!
//! Compiling takes some twenty milliseconds, three quarters of a container's whole creation, so the daemon
//! compiles once per set of capabilities and executors load the bytes. Loading is `sys`'s.

mod cache;
mod compile;
#[cfg(test)]
mod machine;
mod profile;

use std::{io, path::PathBuf};

use thiserror::Error;

pub use cache::{Cached, load_cached};

/// Size of one instruction (`struct sock_filter`) in bytes.
pub const INSTRUCTION_BYTES: usize = 8;

/// The most instructions that the kernel accepts (linux: `BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// A compiled filter, ready for `seccomp(SECCOMP_SET_MODE_FILTER)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    bytes: Vec<u8>,
}

impl Program {
    /// Compiles the default profile for a process with these capabilities (`CAP_…` names).
    ///
    /// The same names give the same bytes, whatever their order.
    pub fn compile(capabilities: &[String]) -> Result<Self, SeccompError> {
        compile::compile(capabilities)
    }

    /// Takes instructions in the kernel's layout; `None` unless they are 1 to [`MAX_INSTRUCTIONS`] whole ones.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let whole = bytes.len().is_multiple_of(INSTRUCTION_BYTES);
        let instructions = bytes.len() / INSTRUCTION_BYTES;
        (whole && (1..=MAX_INSTRUCTIONS).contains(&instructions)).then_some(Self { bytes })
    }

    /// The instructions: an array of `struct sock_filter` in native byte order.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many instructions there are.
    pub fn instructions(&self) -> usize {
        self.bytes.len() / INSTRUCTION_BYTES
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Program({} instructions)", self.instructions())
    }
}

/// Why there is no filter.
#[derive(Debug, Error)]
pub enum SeccompError {
    /// The library refused something.
    #[error("compile the system call filter: {step}")]
    Library {
        /// What was attempted.
        step: String,
        /// The library's reason.
        source: libseccomp::error::SeccompError,
    },
    /// The compiled filter could not be taken from the library.
    #[error("export the system call filter")]
    Export {
        /// The reason.
        source: io::Error,
    },
    /// The library made something the kernel would not take.
    #[error("use the compiled system call filter of {bytes} bytes")]
    Malformed {
        /// Its size.
        bytes: usize,
    },
    /// The cache could not be written.
    #[error("write the system call filter's cache {path}")]
    Cache {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}
