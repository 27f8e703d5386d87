//! System calls without a safe wrapper elsewhere. All `unsafe` code of the workspace is below this module.
//!
//! Each file wraps one facility and states in its `SAFETY` comments why the call is sound.
#![expect(
    unsafe_code,
    reason = "fork, descriptors by number, raw system calls: the one place for them"
)]

pub mod clock;
pub mod descriptors;
pub mod device_filter;
pub mod fork;
pub mod keyring;
pub mod loopback;
pub mod memory;
pub mod seccomp;
pub mod signals;
pub mod socket;
pub(crate) mod spawn;
