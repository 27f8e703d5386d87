//! `…::versions`: what a pod was defined as.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use model::{id::PodId, time::Timestamp};

use crate::http::{Api, error::ApiError};

/// `GET /v2/pods/{id}::versions`: the versions' timestamps, of a pod that is defined now.
pub(super) async fn list(api: &Api, pod: &PodId) -> Result<Response, ApiError> {
    let defined = api
        .handle
        .snapshot()
        .pods
        .get(pod)
        .is_some_and(|view| !view.record.removing);
    if !defined {
        return Err(ApiError::PodUnknown { pod: pod.clone() });
    }
    let versions = api
        .store
        .versions(pod)
        .await
        .map_err(|error| ApiError::internal("read a pod's versions", error))?;
    Ok(Json(versions).into_response())
}

/// `GET /v2/pods/{id}::versions/{version}`: the definition then, also of a pod that was removed.
pub(super) async fn get(api: &Api, pod: &PodId, version: Timestamp) -> Result<Response, ApiError> {
    let found = api
        .store
        .pod_version(pod, version)
        .await
        .map_err(|error| ApiError::internal("read a pod's version", error))?;
    match found {
        Some(record) => Ok(Json(record.definition.as_ref()).into_response()),
        None if !api.handle.snapshot().pods.contains_key(pod) => {
            Err(ApiError::PodUnknown { pod: pod.clone() })
        }
        None => Err(ApiError::VersionUnknown {
            pod: pod.clone(),
            version: version.to_string(),
        }),
    }
}
