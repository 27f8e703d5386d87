//! `…::instances`: ends instances; what is wanted of the pod stays, so they are launched again.

use axum::{
    Json,
    http::{HeaderMap, Uri},
    response::{IntoResponse, Response},
};
use model::{
    id::{InstanceId, PodId},
    status::Instance,
};
use scheduler::{Denied, Request, status};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    handle::Refusal,
    http::{
        Api, body,
        error::ApiError,
        openapi::{
            answers::{Invalid, MediaType, NotFound, OtherPath},
            parameters::PodParameter,
        },
        query::Query,
    },
};

/// `?wipe=`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Wipe {
    /// Whether the instances are forgotten, too, instead of being launched again.
    #[param(required = false, default = false)]
    wipe: bool,
}

/// Ends instances of a pod.
///
/// Ids that are not known are left out of the answer.
#[utoipa::path(
    delete,
    path = "/v2/pods/{id}::instances",
    tag = "pods",
    operation_id = "killInstances",
    params(PodParameter, Wipe),
    request_body(content = Vec<String>, description = "Ids of instances."),
    responses(
        (status = 200, description = "The instances as they were.", body = Vec<Instance>),
        NotFound, OtherPath, MediaType, Invalid,
    ),
)]
pub(in crate::http) async fn kill_some(
    api: &Api,
    pod: PodId,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let Query(flags) = Query::of(uri)?;
    let texts: Vec<String> = body::json(headers, body)?;
    let wanted = texts
        .iter()
        .map(|text| instance_id(text))
        .collect::<Result<Vec<_>, _>>()?;
    let snapshot = api.handle.snapshot();
    let view = snapshot
        .pods
        .get(&pod)
        .ok_or_else(|| ApiError::PathUnknown { pod: pod.clone() })?;
    let known = |id: &InstanceId| {
        view.instances
            .iter()
            .any(|instance| instance.record.id == *id)
    };
    let instances: Vec<_> = wanted.into_iter().filter(known).collect();
    let killed = kill(api, pod, instances, flags).await?;
    Ok(Json(killed).into_response())
}

/// Ends an instance of a pod.
#[utoipa::path(
    delete,
    path = "/v2/pods/{id}::instances/{instance}",
    tag = "pods",
    operation_id = "killInstance",
    params(
        PodParameter, Wipe,
        ("instance" = String, Path, description = "The instance's id, as the pod's status has it."),
    ),
    responses(
        (status = 200, description = "The instance as it was.", body = Instance),
        NotFound, OtherPath, Invalid,
    ),
)]
pub(in crate::http) async fn kill_one(
    api: &Api,
    pod: PodId,
    text: &str,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let Query(flags) = Query::of(uri)?;
    let instance = instance_id(text)?;
    let mut killed = kill(api, pod, vec![instance], flags).await?;
    match killed.pop() {
        Some(document) => Ok(Json(document).into_response()),
        None => Err(ApiError::InstanceUnknown {
            instance: text.to_owned(),
        }),
    }
}

fn instance_id(text: &str) -> Result<InstanceId, ApiError> {
    text.parse().map_err(|_| ApiError::InstanceId {
        text: text.to_owned(),
    })
}

async fn kill(
    api: &Api,
    pod: PodId,
    instances: Vec<InstanceId>,
    flags: Wipe,
) -> Result<Vec<Instance>, ApiError> {
    let request = Request::KillInstances {
        pod,
        instances,
        wipe: flags.wipe,
    };
    match api.handle.request(request).await {
        Ok(accepted) => Ok(accepted
            .instances
            .iter()
            .map(status::instance_document)
            .collect()),
        Err(Refusal::Denied(Denied::PodUnknown { pod })) => Err(ApiError::PathUnknown { pod }),
        Err(refusal) => Err(refusal.into()),
    }
}
