//! What callers meet while the daemon recovers, and the API once it is ready.

use std::sync::{Arc, OnceLock};

use axum::{Router, routing::get};

use super::{access::Access, below_both, error::ApiError, guard, info};
use crate::metrics::Metrics;

/// Listeners ask it anew with every request, so that connections made early live on.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// `/ping`, and a 503 for all else. Whoever may not come in is told so first.
    recovering: Router,
    ready: Arc<OnceLock<Router>>,
}

impl Entrance {
    /// An entrance that says that the daemon recovers.
    pub(crate) fn recovering(url: &str, metrics: Arc<Metrics>, access: Arc<Access>) -> Self {
        let recovering = || async { ApiError::Recovering };
        let paths = Router::new()
            .route("/ping", get(info::ping))
            .fallback(recovering)
            .method_not_allowed_fallback(recovering);
        Self {
            recovering: guard(below_both(paths), url, metrics, access),
            ready: Arc::default(),
        }
    }

    /// Lets callers through to the API from now on.
    pub(crate) fn open(&self, router: Router) {
        // A second router would mean a second start of the same daemon; the first holds.
        let _ = self.ready.set(router);
    }

    /// What answers the next request.
    pub(crate) fn router(&self) -> Router {
        self.ready.get().unwrap_or(&self.recovering).clone()
    }
}

impl From<Router> for Entrance {
    /// An entrance that is open from the start.
    fn from(router: Router) -> Self {
        Self {
            recovering: Router::new(),
            ready: Arc::new(router.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        extract::Request,
        http::StatusCode,
        response::{IntoResponse as _, Response},
    };
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{config::AccessConfig, http::access::Caller, tokens, tokens::Tokens};

    fn request(method: &str, path: &str, token: &str) -> Request {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", token)
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Caller::Tcp {
            remote: "127.0.0.1:5".parse().unwrap(),
            local: "127.0.0.1:8080".parse().unwrap(),
        });
        request
    }

    async fn ask(entrance: &Entrance, request: Request) -> Response {
        entrance.router().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn until_it_is_ready_it_says_so_to_whoever_may_come_in() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let token = format!("token={}", tokens::read_full(dir.path()).unwrap().unwrap());
        let access = Arc::new(Access::new(tokens, None, &AccessConfig::default()));
        let entrance = Entrance::recovering("http://localhost:1", Arc::default(), access);
        for (method, path) in [
            ("GET", "/v2/info"),
            ("POST", "/service/marathon/v2/pods"),
            ("POST", "/ping"),
            ("GET", "/nonesuch"),
            ("GET", "/metrics"),
        ] {
            let answer = ask(&entrance, request(method, path, &token)).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.headers()["retry-after"], "1", "{path}");
            assert_eq!(answer.headers()["x-marathon-leader"], "http://localhost:1");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["reason"], "recovering", "{path}");
            assert!(body["message"].as_str().unwrap().contains("recovering"));
            let stranger = ask(&entrance, request(method, path, "token=wrong")).await;
            let expected = if path == "/ping" { 503 } else { 401 };
            assert_eq!(stranger.status().as_u16(), expected, "{method} {path}");
        }
        for path in ["/ping", "/service/marathon/ping"] {
            let answer = ask(&entrance, request("GET", path, "")).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
        }

        let before = entrance.clone();
        entrance.open(Router::new().fallback(|| async { "ready".into_response() }));
        let answer = ask(&before, request("GET", "/v2/info", "")).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
