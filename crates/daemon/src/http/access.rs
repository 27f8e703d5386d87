//! Who may come in. The API can start processes as root, so whoever reaches it is root.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
    serve::IncomingStream,
};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, UnixListener, unix::UCred};

use super::error::ApiError;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Somebody on the Unix socket, as the kernel tells.
    Unix(Option<UCred>),
    /// Somebody on TCP, unknown until a token is shown.
    Tcp,
}

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self::Unix(stream.io().peer_cred().ok())
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Caller {
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Self::Tcp
    }
}

/// What decides.
#[derive(Debug)]
pub struct Access {
    /// The token that TCP callers must show.
    pub token: String,
    /// The group whose members may use the Unix socket, if this host has it.
    pub group: Option<u32>,
}

/// Why the token cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} the token file {path}", path = path.display())]
pub struct TokenError {
    attempt: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// Reads the token; at the first start makes it, readable by its owner only.
///
/// # Errors
/// When the file can be neither read nor written.
pub fn token(state_dir: &Path) -> Result<String, TokenError> {
    let path = state_dir.join("token");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(TokenError {
                attempt: "read",
                path,
                source,
            });
        }
    }
    let token = format!(
        "{}{}",
        uuid::Uuid::new_v4().simple(),
        uuid::Uuid::new_v4().simple()
    );
    let fresh = state_dir.join("token.new");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(token.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)
    };
    write().map_err(|source| TokenError {
        attempt: "write",
        path: path.clone(),
        source,
    })?;
    Ok(token)
}

/// Lets a request pass or answers 401 or 403.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.uri().path();
    let public = path == "/ping" || path == "/service/marathon/ping";
    match caller {
        Caller::Unix(peer) => {
            if !public && !peer.is_some_and(|peer| access.admits(&peer)) {
                return Err(ApiError::PeerRefused);
            }
        }
        Caller::Tcp => {
            check_origin(request.headers())?;
            if !public && !access.knows_token(request.headers()) {
                return Err(ApiError::TokenRefused);
            }
        }
    }
    Ok(next.run(request).await)
}

impl Access {
    /// Whether the kernel's word about the peer is enough: root, whoever runs the daemon, or the group.
    fn admits(&self, peer: &UCred) -> bool {
        let uid = peer.uid();
        if uid == 0 || uid == rustix::process::geteuid().as_raw() {
            return true;
        }
        let Some(group) = self.group else {
            return false;
        };
        peer.gid() == group
            || peer
                .pid()
                .is_some_and(|pid| supplementary_groups(pid).contains(&group))
    }

    /// Whether the request shows the token, in the form of DC/OS or as a bearer token.
    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
        else {
            return false;
        };
        let shown = value
            .strip_prefix("token=")
            .or_else(|| value.strip_prefix("Bearer "));
        shown.is_some_and(|shown| shown.trim().as_bytes().ct_eq(self.token.as_bytes()).into())
    }
}

/// The supplementary groups of a process. The socket's mode has already kept out who is in none of its groups.
fn supplementary_groups(pid: i32) -> Vec<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let groups = status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))
        .unwrap_or_default();
    groups
        .split_whitespace()
        .filter_map(|group| group.parse().ok())
        .collect()
}

/// Refuses names that a browser was tricked into (DNS rebinding), and pages of other sites.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &header::HeaderValue| value.to_str().ok())
    };
    if !text(header::HOST).is_some_and(is_loopback_authority) {
        return Err(ApiError::HostRefused);
    }
    if let Some(origin) = text(header::ORIGIN) {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if !authority.is_some_and(is_loopback_authority) {
            return Err(ApiError::HostRefused);
        }
    }
    Ok(())
}

fn is_loopback_authority(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_only() {
        let cases = [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("[::1]:80", true),
            ("LocalHost", true),
            ("evil.example", false),
            ("localhost.evil.example:8080", false),
            ("10.0.0.1", false),
            ("", false),
        ];
        for (authority, expected) in cases {
            assert_eq!(is_loopback_authority(authority), expected, "{authority}");
        }
    }

    #[test]
    fn tokens_in_both_forms_and_nothing_else() {
        let access = Access {
            token: "secret".to_owned(),
            group: None,
        };
        let cases = [
            ("token=secret", true),
            ("Bearer secret", true),
            ("token=secre", false),
            ("secret", false),
            ("Bearer ", false),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            assert_eq!(access.knows_token(&headers), expected, "{value}");
        }
        assert!(!access.knows_token(&HeaderMap::new()));
    }

    #[test]
    fn the_token_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = token(dir.path()).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(token(dir.path()).unwrap(), first);
        let mode = std::fs::metadata(dir.path().join("token"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
