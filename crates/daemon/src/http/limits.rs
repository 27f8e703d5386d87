//! How large and how slow a request may be, once its head was read.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::ApiError;

/// The largest request body, in bytes: far above any real pod definition.
const BODY_BYTES: usize = 2 * 1024 * 1024;

/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(20);

/// What is read of a body that is too large, in bytes: who is still writing would not read the refusal.
const DISCARDED_BYTES: usize = 16 * BODY_BYTES;

/// How long an answer may take that waits for nothing.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Reads the body, so that no handler waits for a slow one.
pub(super) async fn body(request: Request, next: Next) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = if body.is_end_stream() {
        Bytes::new()
    } else {
        read(body).await?
    };
    Ok(next
        .run(Request::from_parts(parts, Body::from(bytes)))
        .await)
}

async fn read(mut body: Body) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::BodyTooLarge { limit: BODY_BYTES };
    if body.size_hint().lower() > DISCARDED_BYTES as u64 {
        return Err(too_large());
    }
    let deadline = Instant::now() + BODY_WITHIN;
    let (mut bytes, mut received) = (Vec::new(), 0_usize);
    while let Some(frame) = timeout_at(deadline, body.frame())
        .await
        .map_err(|_| too_slow())?
    {
        let frame = frame.map_err(|_| ApiError::BodyBroken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received = received.saturating_add(data.len());
        if received > DISCARDED_BYTES {
            return Err(too_large());
        }
        if received <= BODY_BYTES {
            bytes.extend_from_slice(&data);
        }
    }
    if received > BODY_BYTES {
        return Err(too_large());
    }
    Ok(bytes.into())
}

const fn too_slow() -> ApiError {
    ApiError::BodyTooSlow {
        seconds: BODY_WITHIN.as_secs(),
    }
}

/// Ends requests that should be answered at once and are not. An answer that has begun may take as long as it likes.
pub(super) async fn duration(
    State(within): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    timeout(within, next.run(request))
        .await
        .map_err(|_| ApiError::TooSlow {
            seconds: within.as_secs(),
        })
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        let within = Duration::from_secs(1);
        let slow_body = || async {
            // The head is there at once, the rest never comes.
            Body::new(http_body_util::Empty::<Bytes>::new().with_trailers(std::future::pending()))
        };
        let router = Router::new()
            .route("/never", get(std::future::pending::<()>))
            .route("/at-once", get(|| async { "here" }))
            .route("/begun", get(slow_body))
            .route_layer(middleware::from_fn_with_state(within, duration))
            .route(
                "/patient",
                get(|| tokio::time::sleep(Duration::from_millis(1500))),
            );
        for (path, expected) in [
            ("/never", 503),
            ("/at-once", 200),
            ("/begun", 200),
            ("/patient", 200),
        ] {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = timeout(10 * within, router.clone().oneshot(request)).await;
            let answer = answer.expect("an answer in time").unwrap();
            assert_eq!(answer.status().as_u16(), expected, "{path}");
            if expected == 503 {
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                let text = String::from_utf8_lossy(&body);
                assert!(text.contains("no answer within 1 seconds"), "{text}");
            }
        }
    }
}
