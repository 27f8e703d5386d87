//! Starting a created container, and keeping libcontainer's record of it true.

use std::{io, io::Write as _, path::Path};

use libcontainer::{container::Container, container::ContainerStatus, error::LibcontainerError};

use crate::sys::socket;

/// The socket's name in a container's state directory (libcontainer: `notify_socket.rs`).
const NOTIFY_SOCKET: &str = "notify.sock";

/// Lets a created container go on to its command. Nothing else is needed of libcontainer for that, and its own
/// `start` would change the executor's directory and read its state file three times.
///
/// # Errors
/// If the container's first process no longer listens.
pub(crate) fn start(state: &Path) -> io::Result<()> {
    let mut socket = socket::connect(&state.join(NOTIFY_SOCKET))?;
    socket.write_all(b"start container")
}

/// Records that the container runs, which libcontainer wants to see before it executes more in it.
///
/// # Errors
/// If the record cannot be read or written.
pub(crate) fn record_running(state: &Path) -> Result<(), LibcontainerError> {
    let mut container = Container::load(state.to_owned())?;
    container.set_status(ContainerStatus::Running).save()
}
