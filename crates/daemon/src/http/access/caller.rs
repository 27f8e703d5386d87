//! Who is at the other end of a connection.

use std::net::SocketAddr;

use tokio::net::{TcpStream, UnixStream};

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Somebody on the Unix socket, as the kernel tells; `None` if it does not tell.
    Unix(Option<Peer>),
    /// Somebody on TCP, unknown until a token is shown.
    Tcp {
        /// Where the connection comes from.
        remote: SocketAddr,
        /// The address that was called.
        local: SocketAddr,
    },
}

/// A process at the other end of a Unix socket, as it was when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// For people; the process may have ended since.
    pid: Option<i32>,
}

impl Peer {
    /// A peer with these ids.
    pub fn new(uid: u32, gid: u32, groups: &[u32]) -> Self {
        Self {
            uid,
            gid,
            groups: groups.to_vec(),
            pid: None,
        }
    }

    /// Whether it is root.
    pub const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the group is among its groups.
    pub fn is_in(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }

    /// Its user.
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// Its process id when it connected.
    pub const fn pid(&self) -> Option<i32> {
        self.pid
    }
}

impl Caller {
    /// Where it calls from, for people: an address, or `unix`.
    pub(crate) fn host(&self) -> String {
        match self {
            Self::Unix(_) => "unix".to_owned(),
            Self::Tcp { remote, .. } => remote.ip().to_string(),
        }
    }

    /// The process at the other end of the Unix socket (`SO_PEERCRED`, `SO_PEERGROUPS`).
    pub(crate) fn of_unix(stream: &UnixStream) -> Self {
        let Ok(credentials) = stream.peer_cred() else {
            return Self::Unix(None);
        };
        // Without them the peer has fewer groups, which admits nobody more.
        let groups = runtime::sys::socket::peer_groups(stream).unwrap_or_default();
        Self::Unix(Some(Peer {
            uid: credentials.uid(),
            gid: credentials.gid(),
            groups,
            pid: credentials.pid(),
        }))
    }

    /// Both ends of the TCP connection; `None` if it is over already.
    pub(crate) fn of_tcp(stream: &TcpStream) -> Option<Self> {
        Some(Self::Tcp {
            remote: canonical(stream.peer_addr().ok()?),
            local: canonical(stream.local_addr().ok()?),
        })
    }
}

/// Tells an IPv4 address as one also where it came through an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
