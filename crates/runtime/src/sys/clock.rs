//! The kernel's own opinion of its clock (`adjtimex(2)`).

use std::{io, mem::MaybeUninit};

/// Whether something (NTP, PTP, a hypervisor) keeps the wall clock right.
///
/// # Errors
/// What `adjtimex(2)` gives, such as a system call filter's refusal.
pub fn is_synchronised() -> io::Result<bool> {
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: all members are numbers, so zeroes are a valid value; no mode is set, so the call only fills it.
    let result = unsafe { libc::adjtimex(state.as_mut_ptr()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        libc::TIME_ERROR => Ok(false),
        _ => Ok(true),
    }
}
