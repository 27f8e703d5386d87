//! `…::instances`: ends instances; what is wanted of the pod stays, so they are launched again.

use axum::{
    Json,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use model::{
    id::{InstanceId, PodId},
    status::Instance,
};
use scheduler::{Denied, Request, status};

use crate::{
    handle::Refusal,
    http::{
        Api,
        body::{self, Flags},
        error::ApiError,
    },
};

/// `DELETE /v2/pods/{id}::instances` with an array of ids; ids that are not known are left out of the answer.
pub(super) async fn kill_some(
    api: &Api,
    pod: PodId,
    flags: Flags,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
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

/// `DELETE /v2/pods/{id}::instances/{instance}`.
pub(super) async fn kill_one(
    api: &Api,
    pod: PodId,
    text: &str,
    flags: Flags,
) -> Result<Response, ApiError> {
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
    flags: Flags,
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
