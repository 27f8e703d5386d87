//! Signal dispositions and the mask.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Highest signal number of Linux.
const LAST_SIGNAL: i32 = 64;

/// Bytes of the kernel's signal set.
const SET_BYTES: usize = 8;

/// Sets every signal to its default action and empties the mask, as a new program expects them.
pub fn reset() {
    // The kernel's `struct sigaction`, which has at most four words: all zeros are the default action.
    let default = [0_u64; 4];
    let none = std::ptr::null_mut::<u64>();
    for signal in 1..=LAST_SIGNAL {
        let action = default.as_ptr();
        // SAFETY: the kernel reads the action, which outlives the call and installs no code; SIGKILL and SIGSTOP
        // give an error, which is fine. The library's own call would refuse the two signals it keeps to itself.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action, none, SET_BYTES) };
    }
    // A mask of no signals cannot be refused.
    let _ = nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Ignores SIGPIPE, so that a gone reader is an error of the write and not the end of the process.
pub fn ignore_broken_pipes() {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Blocks signals, so that a `signalfd` delivers them.
///
/// # Errors
/// What `sigprocmask(2)` gives.
pub fn block(signals: &[Signal]) -> nix::Result<SigSet> {
    let mut set = SigSet::empty();
    for signal in signals {
        set.add(*signal);
    }
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(set)
}

/// Sends any signal, real-time ones included, to the very process that a pidfd stands for.
///
/// # Errors
/// What `pidfd_send_signal(2)` gives: `ESRCH` once the process has ended.
pub fn send(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    let information = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without information the kernel reads no memory of ours; the descriptor is borrowed.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd,
            signal,
            information,
            0_u32,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether a signal's default action ends a process (`signal(7)`).
pub const fn ends_by_default(signal: i32) -> bool {
    !matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGCONT
            | libc::SIGURG
            | libc::SIGWINCH
            | libc::SIGSTOP
            | libc::SIGTSTP
            | libc::SIGTTIN
            | libc::SIGTTOU
    )
}

/// Whether a process neither catches nor ignores a signal. The first process of a PID namespace does not get
/// such a signal from its default action, unlike every other process.
///
/// # Errors
/// If the process is gone.
pub fn is_unhandled(pid: i32, signal: i32) -> io::Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(!is_in(&status, "SigCgt:", signal) && !is_in(&status, "SigIgn:", signal))
}

fn is_in(status: &str, member: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix(member))
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .unwrap_or(0);
    mask.checked_shr(u32::try_from(signal - 1).unwrap_or(64))
        .is_some_and(|shifted| shifted & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_read_by_bit() {
        let status = "Name:\tsh\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004002\n";
        let cases = [
            ("SigIgn:", 13, true),
            ("SigIgn:", 12, false),
            ("SigCgt:", 15, true),
        ];
        for (member, signal, expected) in cases {
            assert_eq!(is_in(status, member, signal), expected, "{member} {signal}");
        }
        assert!(!is_in("", "SigCgt:", 15));
    }

    #[test]
    fn this_process_has_no_handler_for_sigusr2() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(is_unhandled(pid, libc::SIGUSR2).unwrap());
        assert!(is_unhandled(i32::MAX, libc::SIGUSR2).is_err());
    }
}
