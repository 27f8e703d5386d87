//! `/v2/queue`: what waits to be launched, and why (marathon: `api/v2/QueueResource.scala`).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use scheduler::status;
use serde_json::json;

use super::Shared;

/// `GET /v2/queue`.
pub(super) async fn list(State(api): Shared) -> Response {
    let now = crate::clock::now();
    let snapshot = api.handle.snapshot();
    let items: Vec<_> = snapshot
        .pods
        .values()
        .filter_map(|view| status::queue_item(view, now))
        .collect();
    Json(json!({ "queue": items })).into_response()
}
