//! `/v2/images`: what can be run without a registry. Ours, not Marathon's.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{Shared, body, error::ApiError};
use crate::event_loop::chain;

/// What is imported.
#[derive(Debug, Deserialize)]
struct Import {
    /// An archive or an OCI layout directory of this host.
    path: PathBuf,
    /// Instead of the names that the source gives.
    #[serde(default)]
    name: Option<String>,
}

/// `GET /v2/images`.
pub(super) async fn list(State(api): Shared) -> Result<Response, ApiError> {
    let containerizer = Arc::clone(&api.containerizer);
    let listed = tokio::task::spawn_blocking(move || containerizer.images().list())
        .await
        .map_err(|error| ApiError::internal("list images", error))?
        .map_err(|error| ApiError::internal("list images", error))?;
    let listed: Vec<_> = listed
        .iter()
        .map(|image| {
            json!({
                "name": image.name,
                "id": image.id.to_string(),
                "layers": image.layers,
                "sizeBytes": image.bytes,
            })
        })
        .collect();
    Ok(Json(json!({ "images": listed })).into_response())
}

/// `POST /v2/images`: unpacks an image of this host's file system into the store.
pub(super) async fn import(
    State(api): Shared,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let Import { path, name } = body::json(&headers, &body)?;
    if !path.is_absolute() {
        let problem = format!("import {}: the path must be absolute", path.display());
        return Err(ApiError::Image { problem });
    }
    let containerizer = Arc::clone(&api.containerizer);
    let import = move || {
        containerizer
            .images()
            .import(&path, name.as_deref(), &mut |step| {
                tracing::debug!(?step, "imports an image")
            })
    };
    let imported = tokio::task::spawn_blocking(import)
        .await
        .map_err(|error| ApiError::internal("import an image", error))?
        .map_err(|error| ApiError::Image {
            problem: chain(&error),
        })?;
    let imported: Vec<_> = imported
        .iter()
        .map(|image| {
            json!({
                "name": image.name,
                "id": image.id.to_string(),
                "layers": image.layers,
                "newLayers": image.new_layers,
                "leftOut": image.left_out,
            })
        })
        .collect();
    Ok((StatusCode::CREATED, Json(json!({ "images": imported }))).into_response())
}
