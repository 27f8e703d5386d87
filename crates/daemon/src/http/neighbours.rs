//! Marathon's paths for apps and tasks, which there are none of, and what else its clients ask in passing.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    error::ApiError,
    openapi::answers::{Invalid, NotFound, Nothing},
    path::Name,
};

/// Apps.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Apps {
    apps: Nothing,
}

/// Tasks of apps.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Tasks {
    tasks: Nothing,
}

/// Plugins.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Plugins {
    plugins: Nothing,
}

/// A sentence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Message {
    message: &'static str,
}

/// Apps, which there are none of.
#[utoipa::path(
    get,
    path = "/v2/apps",
    tag = "marathon",
    operation_id = "listApps",
    responses((status = 200, description = "None.", body = Apps)),
)]
pub(super) async fn apps() -> Response {
    Json(Apps::default()).into_response()
}

/// Refused: there are pods only.
#[utoipa::path(
    method(post, put),
    path = "/v2/apps",
    tag = "marathon",
    operation_id = "addApps",
    responses(Invalid)
)]
pub(super) async fn no_apps() -> ApiError {
    let text = "monopod runs pods, not apps: send a pod definition to /v2/pods".to_owned();
    ApiError::violation("/", text)
}

/// An app, which there is none of.
#[utoipa::path(
    method(get, post, put, patch, delete),
    path = "/v2/apps/{id}",
    tag = "marathon",
    operation_id = "app",
    params(("id" = String, Path, description = "The app's id, and what may follow.")),
    responses(NotFound),
)]
pub(super) async fn app(Name(id): Name) -> ApiError {
    ApiError::AppUnknown {
        app: format!("/{}", id.trim_matches('/')),
    }
}

/// The tasks of apps; those of pods are in their status.
#[utoipa::path(
    get,
    path = "/v2/tasks",
    tag = "marathon",
    operation_id = "listTasks",
    responses((status = 200, description = "None.", body = Tasks)),
)]
pub(super) async fn tasks() -> Response {
    Json(Tasks::default()).into_response()
}

/// Does nothing: tasks of pods are ended with their instance, by `/v2/pods/{id}::instances`.
#[utoipa::path(
    post,
    path = "/v2/tasks/delete",
    tag = "marathon",
    operation_id = "deleteTasks",
    responses((status = 200, description = "None.", body = Tasks)),
)]
pub(super) async fn delete_tasks() -> Response {
    Json(Tasks::default()).into_response()
}

/// Plugins, which there are none of.
#[utoipa::path(
    get,
    path = "/v2/plugins",
    tag = "marathon",
    operation_id = "listPlugins",
    responses((status = 200, description = "None.", body = Plugins)),
)]
pub(super) async fn plugins() -> Response {
    Json(Plugins::default()).into_response()
}

/// Changes nothing: the answer is Marathon's, but there is nobody else to lead.
#[utoipa::path(
    delete,
    path = "/v2/leader",
    tag = "marathon",
    operation_id = "abdicate",
    responses((status = 200, description = "As Marathon says it.", body = Message)),
)]
pub(super) async fn abdicate() -> Response {
    let message = "Leadership abdicated";
    Json(Message { message }).into_response()
}
