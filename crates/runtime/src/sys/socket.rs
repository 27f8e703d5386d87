//! Unix sockets at paths of any length: an address holds 107 bytes, a path may have more.
//!
//! The directory is opened and the address goes through `/proc/self/fd`, so no process changes its directory.

use std::{
    fs::Permissions,
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            fs::{PermissionsExt as _, chown},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, fchmod, open},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen as start, socket_with,
    },
};

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Supplementary groups that most processes have fewer of.
const USUAL_GROUPS: usize = 64;

/// Binds and listens at `path`; only root may connect.
///
/// # Errors
/// What opening the directory or binding give.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (_directory, short) = shorten(path)?;
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(short);
    rustix::process::umask(before);
    listener
}

/// Binds and listens at `path`; root may connect, and `group` if there is one. The socket does not block.
///
/// The file is private from its first moment on: a socket's own mode, set before it is bound, is the mode that the
/// file is made with (linux: `net/unix/af_unix.c`, `unix_bind_bsd`), so no process-wide umask is touched. Nobody can
/// connect before the group is set, because the socket listens only then.
///
/// # Errors
/// What opening the directory, binding or changing the file give.
pub fn listen_for_group(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let (_directory, short) = shorten(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::from_raw_mode(0o600))?;
    bind(&socket, &SocketAddrUnix::new(&short)?)?;
    if group.is_some() {
        chown(&short, None, group)?;
        std::fs::set_permissions(&short, Permissions::from_mode(0o660))?;
    }
    start(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// The supplementary groups that the process at the other end had when it connected (`SO_PEERGROUPS`). Unlike what
/// `/proc` says of its process id, this cannot be of another process.
///
/// # Errors
/// What `getsockopt(2)` gives.
pub fn peer_groups(socket: impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; USUAL_GROUPS];
    loop {
        let room = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to the vector, which has that many and outlives the call.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let error = (result < 0).then(io::Error::last_os_error);
        let count = length as usize / size_of::<libc::gid_t>();
        match error {
            None => {
                groups.truncate(count);
                return Ok(groups);
            }
            // There are more, and now it is known how many.
            Some(error) if error.raw_os_error() == Some(libc::ERANGE) && count > groups.len() => {
                groups.resize(count, 0);
            }
            Some(error) => return Err(error),
        }
    }
}

/// Connects to `path`.
///
/// # Errors
/// What opening the directory or connecting give.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_directory, short) = shorten(path)?;
    UnixStream::connect(short)
}

/// The directory, to be held while the short path is used, and the short path.
fn shorten(path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(name);
    Ok((directory, short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_longer_than_an_address_work() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("executor.sock");
        let listener = listen(&path).unwrap();
        let _client = connect(&path).unwrap();
        assert!(listener.accept().is_ok());
        assert!(connect(&deep.join("missing.sock")).is_err());
    }

    #[test]
    fn a_socket_for_nobody_else_is_private_and_stays_so_below_any_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        let listener = listen_for_group(&path, None).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut own: Vec<u32> = rustix::process::getgroups()
            .unwrap()
            .into_iter()
            .map(rustix::fs::Gid::as_raw)
            .collect();
        let mut seen = peer_groups(&server).unwrap();
        own.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, own);
        drop(client);
    }
}
