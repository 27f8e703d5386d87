//! Descriptors by number: taking over inherited ones, closing all others.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

/// Takes over an inherited descriptor and makes it close on exec.
///
/// Meant for the start of a process, when nothing else owns a descriptor above 2.
///
/// # Errors
/// If the number is not open.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD changes a flag only; a number that is not open gives EBADF.
    let set = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open, as just seen, and by this function's contract nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Opens `/dev/null` for those of descriptors 0 to 2 that are closed, so that no file gets their numbers.
///
/// # Errors
/// If `/dev/null` cannot be opened.
pub fn fill_standard() -> io::Result<()> {
    loop {
        // SAFETY: the path is a constant with its final zero; a new number is made, which nobody owns yet.
        let number = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        if number > 2 {
            // SAFETY: the number was opened above and is owned here.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
            return Ok(());
        }
        // SAFETY: F_SETFD changes a flag of the number just opened: standard descriptors stay open on exec.
        unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
    }
}

/// Closes every descriptor above 2 but `kept`.
///
/// Owners of the closed ones elsewhere in the process must not use or drop them afterwards, so this is for the
/// start of a process and for forked children, which leave without running destructors.
///
/// # Errors
/// What `close_range(2)` gives.
pub fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    for (first, last) in gaps(kept) {
        // SAFETY: closing has no memory effect; the contract above covers the owners.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
        if closed < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The ranges of numbers from 3 on that leave out `kept`.
fn gaps(kept: &[RawFd]) -> Vec<(u32, u32)> {
    let mut kept: Vec<u32> = kept
        .iter()
        .filter_map(|fd| u32::try_from(*fd).ok())
        .collect();
    kept.sort_unstable();
    let mut gaps = Vec::with_capacity(kept.len() + 1);
    let mut first = 3;
    for number in kept {
        if number > first {
            gaps.push((first, number - 1));
        }
        first = first.max(number + 1);
    }
    gaps.push((first, u32::MAX));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_leave_out_what_is_kept() {
        let max = u32::MAX;
        let check = |kept: &[RawFd], expected: &[(u32, u32)]| {
            assert_eq!(gaps(kept), expected, "{kept:?}");
        };
        check(&[], &[(3, max)]);
        check(&[4], &[(3, 3), (5, max)]);
        check(&[9, 3, 4, 9], &[(5, 8), (10, max)]);
        check(&[0, 1, 2, 5], &[(3, 4), (6, max)]);
    }

    #[test]
    fn a_closed_number_is_not_taken() {
        assert!(take(100_000).is_err());
    }
}
