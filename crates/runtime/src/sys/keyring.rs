//! Session keyrings (`keyctl(2)`).

use std::io;

/// `KEYCTL_GET_KEYRING_ID` of `linux/keyctl.h`.
const GET_KEYRING_ID: libc::c_long = 0;
/// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: libc::c_long = 1;
/// `KEY_SPEC_SESSION_KEYRING` of `linux/keyctl.h`.
const SESSION_KEYRING: libc::c_long = -3;

/// Gives this process a new, empty session keyring, which its children share.
///
/// # Errors
/// What `keyctl(2)` gives: a kernel without keyrings (`ENOSYS`), a quota.
pub fn join_new_session() -> io::Result<()> {
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: no name means an anonymous keyring; the kernel reads no memory of ours.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) };
    if serial < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The serial number of this process's session keyring, for tests and probes.
///
/// # Errors
/// What `keyctl(2)` gives: no keyrings, or a system call filter that denies the call.
pub fn session_serial() -> io::Result<i64> {
    // SAFETY: the call takes numbers only.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION_KEYRING, 0) };
    if serial < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_session_has_another_serial() {
        let Ok(before) = session_serial() else {
            eprintln!("SKIPPED: no keyrings here");
            return;
        };
        // Keyrings belong to threads' credentials: a thread of its own keeps the test process as it was.
        let after = std::thread::spawn(|| {
            join_new_session().unwrap();
            session_serial().unwrap()
        });
        assert_ne!(before, after.join().unwrap());
    }
}
