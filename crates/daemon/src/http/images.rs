//! `/v2/images`: what can be run without a registry. Ours, not Marathon's.

use std::{path::PathBuf, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Shared, body,
    error::ApiError,
    openapi::answers::{Invalid, MediaType},
};
use crate::event_loop::chain;

/// What is imported.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Import {
    /// An archive or an OCI layout directory of this host, by its absolute path.
    #[schema(value_type = String)]
    path: PathBuf,
    /// Instead of the names that the source gives.
    #[serde(default)]
    name: Option<String>,
}

/// The images of this host.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Images {
    images: Vec<Image>,
}

/// An image of this host.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StoredImage)]
#[serde(rename_all = "camelCase")]
pub(super) struct Image {
    /// Complete name.
    name: String,
    /// Digest of its configuration.
    id: String,
    /// How many layers it has.
    layers: usize,
    /// Bytes in its files; layers shared with other images count for each.
    size_bytes: u64,
}

/// What was imported.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Imported {
    images: Vec<ImportedImage>,
}

/// An image that was imported.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportedImage {
    /// Complete name.
    name: String,
    /// Digest of its configuration.
    id: String,
    /// How many layers it has.
    layers: usize,
    /// How many of them were not here before.
    new_layers: usize,
    left_out: LeftOut,
}

/// What new layers had that was not taken over.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LeftOut {
    /// Device nodes.
    devices: u64,
    /// Extended attributes.
    attributes: u64,
}

/// The images of this host.
#[utoipa::path(
    get,
    path = "/v2/images",
    tag = "images",
    operation_id = "listImages",
    responses((status = 200, description = "By name.", body = Images)),
)]
pub(super) async fn list(State(api): Shared) -> Result<Response, ApiError> {
    let containerizer = Arc::clone(&api.containerizer);
    let listed = tokio::task::spawn_blocking(move || containerizer.images().list())
        .await
        .map_err(|error| ApiError::internal("list images", error))?
        .map_err(|error| ApiError::internal("list images", error))?;
    let images = listed.into_iter().map(|image| Image {
        name: image.name,
        id: image.id.to_string(),
        layers: image.layers,
        size_bytes: image.bytes,
    });
    let images = images.collect();
    Ok(Json(Images { images }).into_response())
}

/// Unpacks an image of this host's file system into the store.
#[utoipa::path(
    post,
    path = "/v2/images",
    tag = "images",
    operation_id = "importImages",
    request_body = Import,
    responses((status = 201, description = "They can be run now.", body = Imported), MediaType, Invalid),
)]
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
    let images = imported.into_iter().map(|image| ImportedImage {
        name: image.name,
        id: image.id.to_string(),
        layers: image.layers,
        new_layers: image.new_layers,
        left_out: LeftOut {
            devices: image.left_out.devices,
            attributes: image.left_out.attributes,
        },
    });
    let images = images.collect();
    Ok((StatusCode::CREATED, Json(Imported { images })).into_response())
}
