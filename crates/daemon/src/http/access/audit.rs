//! One line for each change that was asked for: who, what, what came of it. Never bodies, tokens or queries.

use std::{fmt, net::SocketAddr};

use axum::{http::Method, response::Response};

use super::{Caller, Peer};
use crate::tokens::Permission;

/// A path is told up to here, in bytes.
const PATH_BYTES: usize = 256;

/// Who asked.
#[derive(Debug)]
pub(super) enum Identity {
    /// A process on the Unix socket.
    Peer(Peer),
    /// Whoever knows a token.
    Token(Permission, SocketAddr),
    /// Somebody on TCP without a token that counts.
    Nobody(SocketAddr),
    /// Somebody of whom the kernel tells nothing.
    Unknown,
}

impl Identity {
    /// Whoever was refused, as far as is known.
    pub(super) fn refused(caller: &Caller) -> Self {
        match caller {
            Caller::Unix(Some(peer)) => Self::Peer(peer.clone()),
            Caller::Unix(None) => Self::Unknown,
            Caller::Tcp { remote, .. } => Self::Nobody(*remote),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(peer) => {
                write!(f, "uid {}", peer.uid())?;
                peer.pid().map_or(Ok(()), |pid| write!(f, " pid {pid}"))
            }
            Self::Token(Permission::Full, remote) => write!(f, "token from {remote}"),
            Self::Token(Permission::ReadOnly { name }, remote) => {
                write!(f, "read-only token {name} from {remote}")
            }
            Self::Nobody(remote) => write!(f, "nobody known from {remote}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Writes the line.
pub(super) fn tell(who: &Identity, method: &Method, path: &str, response: &Response) {
    let status = response.status().as_u16();
    let deployment = response
        .headers()
        .get("marathon-deployment-id")
        .and_then(|id| id.to_str().ok());
    // A path is ASCII: hyper lets nothing else through.
    let path = path.get(..PATH_BYTES).unwrap_or(path);
    tracing::info!(
        target: "audit",
        %who,
        %method,
        path,
        status,
        deployment.id = deployment,
        "change asked for"
    );
}
