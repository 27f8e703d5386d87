//! Who may come in. The API can start processes as root, so whoever may change something here is root.
//!
//! Callers on the Unix socket are known by what the kernel says of them, callers on TCP by a token. Each request is
//! looked at anew, so that a token that was replaced ends at once. What changes something leaves an audit line.

mod audit;
mod caller;
mod origin;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

pub use self::caller::{Caller, Peer};
use self::{audit::Identity, origin::Names};
use super::error::ApiError;
use crate::{
    config::AccessConfig,
    tokens::{Permission, Tokens},
};

/// What decides.
#[derive(Debug)]
pub struct Access {
    /// What TCP callers must show.
    tokens: Tokens,
    /// The group whose members may use the Unix socket, if this host has it.
    group: Option<u32>,
    /// Names under which this host may be called.
    names: Names,
}

impl Access {
    /// Takes what was configured.
    pub fn new(tokens: Tokens, group: Option<u32>, config: &AccessConfig) -> Self {
        Self {
            tokens,
            group,
            names: Names::new(&config.allowed_hosts),
        }
    }

    /// Whether the kernel's word about the peer is enough.
    pub(crate) fn admits(&self, peer: &Peer) -> bool {
        peer.is_root() || self.group.is_some_and(|group| peer.is_in(group))
    }

    /// Who sends the request, if that one may come in at all.
    fn identify(&self, caller: &Caller, request: &Request) -> Result<Identity, ApiError> {
        let public = is_public(request.uri().path());
        match caller {
            Caller::Unix(Some(peer)) if public || self.admits(peer) => {
                Ok(Identity::Peer(peer.clone()))
            }
            Caller::Unix(_) => Err(ApiError::PeerRefused),
            Caller::Tcp { remote, local } => {
                self.names.check(request, local.ip())?;
                match self.tokens.permission(request.headers()) {
                    Ok(Some(permission)) => Ok(Identity::Token(permission, *remote)),
                    Ok(None) | Err(_) if public => Ok(Identity::Nobody(*remote)),
                    Ok(None) => Err(ApiError::TokenRefused),
                    Err(error) => Err(ApiError::internal("check a token", error)),
                }
            }
        }
    }
}

/// Paths that need no credentials.
fn is_public(path: &str) -> bool {
    path == "/ping" || path == "/service/marathon/ping"
}

/// Whether a request can only look. Anything else counts as a change, also what this daemon does not know.
fn only_looks(request: &Request) -> bool {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    is_read && !request.headers().contains_key(header::UPGRADE)
}

/// Whether the one who came in may send this request.
fn check_permission(identity: &Identity, request: &Request) -> Result<(), ApiError> {
    match identity {
        Identity::Token(Permission::ReadOnly { name }, _) if !only_looks(request) => {
            Err(ApiError::ReadOnly { name: name.clone() })
        }
        Identity::Peer(_) | Identity::Token(..) | Identity::Nobody(_) | Identity::Unknown => Ok(()),
    }
}

/// Lets a request pass or answers 401 or 403; tells of each change that was asked for.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let changes = !only_looks(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (identity, response) = match access.identify(&caller, &request) {
        Ok(identity) => match check_permission(&identity, &request) {
            Ok(()) => (identity, next.run(request).await),
            Err(error) => (identity, error.into_response()),
        },
        Err(error) => (Identity::refused(&caller), error.into_response()),
    };
    if changes {
        audit::tell(&identity, &method, &path, &response);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use model::time::Timestamp;

    use super::*;
    use crate::tokens;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn each_kind_of_caller_may_what_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let full = format!("token={}", tokens::read_full(dir.path()).unwrap().unwrap());
        let looking = tokens::create_read_only(dir.path(), "eye", Timestamp::from_millis(0));
        let looking = format!("Bearer {}", looking.unwrap());
        let access = Access::new(tokens, Some(50), &AccessConfig::default());
        let peer = |uid, gid, groups: &[u32]| Caller::Unix(Some(Peer::new(uid, gid, groups)));
        let tcp = Caller::Tcp {
            remote: "127.0.0.1:5".parse().unwrap(),
            local: "127.0.0.1:8080".parse().unwrap(),
        };
        let cases = [
            (peer(0, 0, &[]), "DELETE", "", 0),
            (peer(7, 50, &[]), "DELETE", "", 0),
            (peer(7, 7, &[1, 50]), "DELETE", "", 0),
            (peer(7, 7, &[1]), "GET", "", 403),
            (Caller::Unix(None), "GET", "", 403),
            (tcp.clone(), "GET", "", 401),
            (tcp.clone(), "GET", "token=wrong", 401),
            (tcp.clone(), "DELETE", full.as_str(), 0),
            (tcp.clone(), "GET", looking.as_str(), 0),
            (tcp.clone(), "HEAD", looking.as_str(), 0),
            (tcp.clone(), "DELETE", looking.as_str(), 403),
            (tcp, "BREW", looking.as_str(), 403),
        ];
        for (caller, method, token, expected) in cases {
            let headers = [("host", "localhost"), ("authorization", token)];
            let request = request(method, "/v2/pods", &headers);
            let answer = access.identify(&caller, &request);
            let answer = answer.and_then(|identity| check_permission(&identity, &request));
            let status = answer.map_or_else(|error| error.into_response().status().as_u16(), |_| 0);
            assert_eq!(status, expected, "{caller:?} {method} {token}");
        }
    }

    #[test]
    fn only_two_paths_are_for_anybody() {
        let cases = [
            ("/ping", true),
            ("/service/marathon/ping", true),
            ("/ping/", false),
            ("//ping", false),
            ("/ping/../v2/pods", false),
            ("/v2/pods/ping", false),
            ("/%70ing", false),
        ];
        for (path, expected) in cases {
            assert_eq!(is_public(path), expected, "{path}");
        }
    }

    #[test]
    fn an_upgrade_is_no_mere_look() {
        let headers = [("upgrade", "websocket")];
        assert!(!only_looks(&request("GET", "/v2/pods", &headers)));
        assert!(only_looks(&request("GET", "/v2/pods", &[])));
    }
}
