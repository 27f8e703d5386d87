//! `/v2/pods/::plan`: what a definition would do, without doing it.

use axum::{
    Json,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use scheduler::status;

use crate::http::{Api, body, error::ApiError};

/// `POST /v2/pods/::plan`: answers with the definition as it would be stored, the one it would take the place of, and
/// the moves that would follow.
pub(super) async fn make(
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
