//! `…::versions`: what a pod was defined as.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use model::{id::PodId, pod::PodDefinition, time::Timestamp};

use crate::http::{
    Api,
    error::ApiError,
    openapi::{
        answers::{Invalid, NotFound, OtherPath},
        parameters::PodParameter,
    },
};

/// The versions of a pod that is defined now.
#[utoipa::path(
    get,
    path = "/v2/pods/{id}::versions",
    tag = "pods",
    operation_id = "listPodVersions",
    params(PodParameter),
    responses(
        (status = 200, description = "When each was accepted.", body = Vec<Timestamp>),
        NotFound, OtherPath, Invalid,
    ),
)]
pub(in crate::http) async fn list(api: &Api, pod: &PodId) -> Result<Response, ApiError> {
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

/// One version of a pod, also of one that was removed.
#[utoipa::path(
    get,
    path = "/v2/pods/{id}::versions/{version}",
    tag = "pods",
    operation_id = "getPodVersion",
    params(PodParameter, ("version" = Timestamp, Path, description = "The version.")),
    responses(
        (status = 200, description = "The definition then.", body = PodDefinition),
        NotFound, OtherPath, Invalid,
    ),
)]
pub(in crate::http) async fn get(
    api: &Api,
    pod: &PodId,
    version: Timestamp,
) -> Result<Response, ApiError> {
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
