//! Where the API listens: a Unix socket, and TCP, with TLS where it is configured.
//!
//! Each kind of caller has its own number of connections, so that nobody on TCP keeps root from the Unix socket.

mod connection;
mod places;
mod stream;
mod tls;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use self::{
    places::{Kind, Places},
    tls::Certificate,
};
use crate::{
    config::{AccessConfig, CONFIG_DIR, ListenAddresses},
    http::{
        access::{Caller, Peer},
        entrance::Entrance,
    },
    repeats::Repeats,
};

/// How long nothing is accepted after the kernel could not give a descriptor: until then some may be free again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// All listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    unix: UnixListener,
    group: Option<u32>,
    tcp: Vec<TcpListener>,
    certificate: Option<Arc<Certificate>>,
}

impl Listeners {
    /// Takes the socket over from a daemon before, whose lock is known to be free, reads the certificate and binds
    /// TCP.
    pub(crate) async fn bind(
        socket: &Path,
        group: Option<u32>,
        listen: &ListenAddresses,
        access: &AccessConfig,
    ) -> anyhow::Result<Self> {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", socket.display()));
            }
            _ => {}
        }
        let unix = runtime::sys::socket::listen_for_group(socket, group)
            .and_then(UnixListener::from_std)
            .with_context(|| format!("listen on the Unix socket {}", socket.display()))?;
        let certificate = match (&access.tls_certificate, &access.tls_key) {
            (Some(certificate), Some(key)) => {
                warn_of_readable(key);
                Some(Arc::new(Certificate::read(certificate, key)?))
            }
            _ => None,
        };
        let mut tcp = Vec::new();
        for address in listen.iter() {
            tcp.push(bind_tcp(*address).await?);
        }
        Ok(Self {
            unix,
            group,
            tcp,
            certificate,
        })
    }

    /// The addresses that TCP got.
    pub(crate) fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let addresses = self.tcp.iter().map(TcpListener::local_addr);
        let addresses: io::Result<_> = addresses.collect();
        addresses.context("read a listener's address")
    }

    /// How a URL of this API begins.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.certificate.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Serves all until `finish`, then lets open requests end.
    pub(crate) async fn serve(
        self,
        entrance: Entrance,
        finish: CancellationToken,
    ) -> anyhow::Result<()> {
        let hangups = signal(SignalKind::hangup()).context("wait for SIGHUP")?;
        let desk = Desk {
            entrance,
            finish: finish.clone(),
            places: Arc::default(),
            open: TaskTracker::new(),
            failures: Arc::default(),
        };
        let reloading = tokio::spawn(reload(hangups, self.certificate.clone()));
        let accepting = TaskTracker::new();
        accepting.spawn(accept_unix(self.unix, self.group, desk.clone()));
        for listener in self.tcp {
            accepting.spawn(accept_tcp(listener, self.certificate.clone(), desk.clone()));
        }
        accepting.close();
        accepting.wait().await;
        desk.open.close();
        desk.open.wait().await;
        reloading.abort();
        Ok(())
    }
}

/// Containers without an image see the host's files as root does, but not what belongs to monopod.
fn warn_of_readable(key: &Path) {
    if !key.starts_with(CONFIG_DIR) {
        warn!(path = %key.display(), "containers without an image can read the key: keep it below {CONFIG_DIR}");
    }
}

async fn bind_tcp(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "listen on {address}; choose another address with --listen, port 0 takes a free one"
        )
    })
}

/// Reads the certificate again whenever somebody asks by SIGHUP, which would otherwise end the daemon.
async fn reload(mut hangups: tokio::signal::unix::Signal, certificate: Option<Arc<Certificate>>) {
    while hangups.recv().await.is_some() {
        match &certificate {
            Some(certificate) => certificate.reload(),
            None => info!("SIGHUP: there is no certificate to read again"),
        }
    }
}

/// What every connection is served with.
#[derive(Clone, Debug)]
struct Desk {
    entrance: Entrance,
    finish: CancellationToken,
    places: Arc<Places>,
    open: TaskTracker,
    failures: Arc<Mutex<Repeats>>,
}

impl Desk {
    /// What `accepting` gives; `None` once the daemon stops.
    async fn next<S>(&self, accepting: impl Future<Output = io::Result<S>>) -> Option<S> {
        tokio::select! {
            accepted = accepting => match accepted {
                Ok(stream) => Some(stream),
                Err(error) => {
                    self.tell(&error);
                    // Who waits in the queue would make this fail again at once.
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    None
                }
            },
            () = self.finish.cancelled() => None,
        }
    }

    /// It fails again and again as long as descriptors are lacking.
    fn tell(&self, error: &io::Error) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = failures.note(Instant::now()) {
            warn!(count, %error, "failed to accept a connection");
        }
    }

    fn serve_unix(&self, stream: UnixStream, group: Option<u32>) {
        let caller = Caller::of_unix(&stream);
        let kind = match &caller {
            Caller::Unix(Some(peer)) => kind_of(peer, group),
            Caller::Unix(None) | Caller::Tcp { .. } => Kind::Stranger,
        };
        let Some(place) = self.places.take(&[kind]) else {
            self.open.spawn(connection::turn_away(stream));
            return;
        };
        let (entrance, finish) = (self.entrance.clone(), self.finish.clone());
        self.open.spawn(async move {
            connection::serve(stream, caller, entrance, finish).await;
            drop(place);
        });
    }

    fn serve_tcp(&self, stream: TcpStream, certificate: Option<Arc<Certificate>>) {
        let Some(caller) = Caller::of_tcp(&stream) else {
            return;
        };
        let kinds = places::kinds_of_tcp(&caller);
        let Some(place) = self.places.take(&kinds) else {
            // In plain text also where TLS is expected: a handshake would cost what is lacking.
            self.open.spawn(connection::turn_away(stream));
            return;
        };
        // Small answers should leave at once; where that cannot be had, they leave later.
        let _ = stream.set_nodelay(true);
        let (entrance, finish) = (self.entrance.clone(), self.finish.clone());
        self.open.spawn(async move {
            match certificate {
                None => connection::serve(stream, caller, entrance, finish).await,
                Some(certificate) => match certificate.accept(stream).await {
                    Ok(stream) => connection::serve(stream, caller, entrance, finish).await,
                    Err(error) => debug!(?caller, %error, "a TLS handshake failed"),
                },
            }
            drop(place);
        });
    }
}

fn kind_of(peer: &Peer, group: Option<u32>) -> Kind {
    if peer.is_root() {
        Kind::Root
    } else if group.is_some_and(|group| peer.is_in(group)) {
        Kind::Group
    } else {
        Kind::Stranger
    }
}

async fn accept_unix(listener: UnixListener, group: Option<u32>, desk: Desk) {
    while !desk.finish.is_cancelled() {
        if let Some((stream, _)) = desk.next(listener.accept()).await {
            desk.serve_unix(stream, group);
        }
    }
}

async fn accept_tcp(listener: TcpListener, certificate: Option<Arc<Certificate>>, desk: Desk) {
    while !desk.finish.is_cancelled() {
        if let Some((stream, _)) = desk.next(listener.accept()).await {
            desk.serve_tcp(stream, certificate.clone());
        }
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
