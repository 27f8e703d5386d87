//! Bringing up the loopback interface of a new network namespace (`netdevice(7)`).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Sets `lo` up in this process's network namespace; the kernel then gives it 127.0.0.1 and ::1.
///
/// # Errors
/// What making the socket or the requests give, such as `EPERM`.
pub fn bring_up() -> io::Result<()> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let flags = read_flags(&socket)? | libc::IFF_UP;
    let mut request = request_for_lo();
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags & 0x7fff).unwrap_or(0);
    // SAFETY: the request is a whole `ifreq`, which the kernel reads and which outlives the call.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn read_flags(socket: &OwnedFd) -> io::Result<libc::c_int> {
    let mut request = request_for_lo();
    // SAFETY: the request is a whole `ifreq`, which the kernel fills and which outlives the call.
    let got = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: SIOCGIFFLAGS fills exactly this member of the union.
    Ok(libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags }))
}

fn request_for_lo() -> libc::ifreq {
    // SAFETY: `ifreq` is plain numbers and bytes, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request
}
