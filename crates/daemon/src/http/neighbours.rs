//! Marathon's paths for apps and tasks, which there are none of, and what else its clients ask in passing.

use axum::{
    Json,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::error::ApiError;

/// `GET /v2/apps`.
pub(super) async fn apps() -> Response {
    Json(json!({ "apps": [] })).into_response()
}

/// `POST /v2/apps` and `PUT`: there are pods only.
pub(super) async fn no_apps() -> ApiError {
    let text = "monopod runs pods, not apps: send a pod definition to /v2/pods".to_owned();
    ApiError::violation("/", text)
}

/// Any app by its id.
pub(super) async fn app(Path(id): Path<String>) -> ApiError {
    ApiError::AppUnknown {
        app: format!("/{}", id.trim_matches('/')),
    }
}

/// `GET /v2/tasks`: the tasks of apps; those of pods are in their status.
pub(super) async fn tasks() -> Response {
    Json(json!({ "tasks": [] })).into_response()
}

/// `POST /v2/tasks/delete`: tasks of pods are ended with their instance, by `/v2/pods/{id}::instances`.
pub(super) async fn delete_tasks() -> Response {
    Json(json!({ "tasks": [] })).into_response()
}

/// `GET /v2/plugins`.
pub(super) async fn plugins() -> Response {
    Json(json!({ "plugins": [] })).into_response()
}

/// `DELETE /v2/leader`: the answer is Marathon's, but there is nobody else to lead.
pub(super) async fn abdicate() -> Response {
    (
        StatusCode::OK,
        Json(json!({ "message": "Leadership abdicated" })),
    )
        .into_response()
}
