//! `/v2/pods/::plan`: what a definition would do, without doing it.

use axum::{
    Json,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use model::{pod::PodDefinition, status::PodPlan};
use scheduler::status;

use crate::http::{
    Api, body,
    error::ApiError,
    openapi::answers::{Conflict, Invalid, MediaType},
};

/// What a definition would do, without doing it.
///
/// Answers with the definition as it would be stored, the one it would take the place of, and the moves that would
/// follow.
#[utoipa::path(
    post,
    path = "/v2/pods/::plan",
    tag = "pods",
    operation_id = "planPod",
    request_body(content = PodDefinition, example = json!(super::example())),
    responses(
        (
            status = 200, description = "What would happen.", body = PodPlan,
            headers(("X-Monopod-Warning" = String, description = "Members that mean nothing and were ignored.")),
        ),
        Conflict, MediaType, Invalid,
    ),
)]
pub(in crate::http) async fn make(
    api: &Api,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let (definition, ignored) = body::definition(headers, body, &api.settings)?;
    let plan = api.handle.plan(definition.clone()).await?;
    let mut response = Json(status::plan_document(definition, &plan)).into_response();
    super::name_ignored(&mut response, &ignored);
    Ok(response)
}
