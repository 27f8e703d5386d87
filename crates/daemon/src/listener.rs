//! Where the API listens: a Unix socket, and loopback TCP.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Context as _;
use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::http::access::Caller;

/// The two listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    unix: UnixListener,
    tcp: TcpListener,
}

impl Listeners {
    /// Takes the socket over from a daemon before, whose lock is known to be free, and binds TCP.
    pub(crate) async fn bind(
        socket: &Path,
        group: Option<u32>,
        listen: std::net::SocketAddr,
    ) -> anyhow::Result<Self> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", socket.display()));
            }
            _ => {}
        }
        let unix = UnixListener::bind(socket)
            .with_context(|| format!("listen on the Unix socket {}", socket.display()))?;
        let mode = if group.is_some() { 0o660 } else { 0o600 };
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))
            .and_then(|()| std::os::unix::fs::chown(socket, None, group))
            .with_context(|| format!("set the owner and mode of {}", socket.display()))?;
        let tcp = TcpListener::bind(listen).await.with_context(|| {
            format!(
                "listen on {listen}; choose another address with --listen, port 0 takes a free one"
            )
        })?;
        Ok(Self { unix, tcp })
    }

    /// The address that TCP got.
    pub(crate) fn address(&self) -> anyhow::Result<std::net::SocketAddr> {
        self.tcp.local_addr().context("read the listener's address")
    }

    /// Serves both until `finish`, then lets open requests end.
    pub(crate) async fn serve(
        self,
        router: Router,
        finish: CancellationToken,
    ) -> anyhow::Result<()> {
        let service = router.into_make_service_with_connect_info::<Caller>();
        let unix = axum::serve(self.unix, service.clone())
            .with_graceful_shutdown(finish.clone().cancelled_owned());
        let tcp = axum::serve(self.tcp, service).with_graceful_shutdown(finish.cancelled_owned());
        tokio::try_join!(async { unix.await }, async { tcp.await }).context("serve the API")?;
        Ok(())
    }
}

/// The id of the group whose members may use the socket, if this host has it.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}
