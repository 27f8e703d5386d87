//! `/v2/pods` and everything below it (marathon: `api/v2/PodsResource.scala`).

mod instances;
mod plan;
mod versions;

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use model::{id::PodId, pod::PodDefinition};
use scheduler::{Accepted, Request, status};
use serde_json::json;

use super::{
    Api, Shared,
    access::Caller,
    body::{self, Flags},
    error::ApiError,
    logs,
    path::PodPath,
};

/// The header in which clients find the deployment.
const DEPLOYMENT_ID: HeaderName = HeaderName::from_static("marathon-deployment-id");

/// Members of a definition that were ignored, named so that nothing is dropped silently.
const WARNING: HeaderName = HeaderName::from_static("x-monopod-warning");

/// Pods' paths have slashes and suffixes inside, so they are taken apart here and not by the router.
pub(super) async fn dispatch(
    State(api): Shared,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    Query(flags): Query<Flags>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let path = PodPath::parse(uri.path())?;
    let change = change(&method, &path);
    let answer = answer(&api, method, path, &uri, flags, &headers, &body).await?;
    if let Some((kind, pod)) = change {
        let members = json!({ "clientIp": caller.host(), "uri": uri.path(), "podId": pod });
        api.events.tell(kind, crate::clock::now(), members);
    }
    Ok(answer)
}

/// The event that a request makes once it is accepted, and the pod where the path names it.
fn change(method: &Method, path: &PodPath) -> Option<(&'static str, Option<PodId>)> {
    match (method, path) {
        (&Method::POST, PodPath::All) => Some(("pod_created_event", None)),
        (&Method::PUT, PodPath::Pod(pod)) | (&Method::POST, PodPath::Restart(pod)) => {
            Some(("pod_updated_event", Some(pod.clone())))
        }
        (&Method::DELETE, PodPath::Pod(pod)) => Some(("pod_deleted_event", Some(pod.clone()))),
        _ => None,
    }
}

async fn answer(
    api: &Api,
    method: Method,
    path: PodPath,
    uri: &Uri,
    flags: Flags,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    match (&method, path) {
        (&Method::HEAD, PodPath::All) => Ok(StatusCode::OK.into_response()),
        (&Method::GET, PodPath::All) => Ok(list(api)),
        (&Method::POST, PodPath::All) => add(api, flags, headers, body).await,
        (&Method::GET | &Method::HEAD, PodPath::Pod(pod)) => get(api, &pod),
        (&Method::PUT, PodPath::Pod(pod)) => put(api, &pod, flags, headers, body).await,
        (&Method::DELETE, PodPath::Pod(pod)) => remove(api, pod, flags).await,
        (&Method::GET, PodPath::AllStatus) => Ok(all_status(api)),
        (&Method::GET, PodPath::Status(pod)) => pod_status(api, &pod),
        (&Method::GET, PodPath::Versions(pod)) => versions::list(api, &pod).await,
        (&Method::GET, PodPath::Version(pod, version)) => versions::get(api, &pod, version).await,
        (&Method::DELETE, PodPath::Instances(pod)) => {
            instances::kill_some(api, pod, flags, headers, body).await
        }
        (&Method::DELETE, PodPath::Instance(pod, instance)) => {
            instances::kill_one(api, pod, &instance, flags).await
        }
        (&Method::GET, PodPath::Logs(pod)) => logs::read(api, &pod, uri).await,
        (&Method::POST, PodPath::Restart(pod)) => restart(api, pod, flags).await,
        (&Method::POST, PodPath::Plan) => plan::make(api, headers, body).await,
        _ => Err(ApiError::MethodNotAllowed {
            method: method.to_string(),
        }),
    }
}

fn list(api: &Api) -> Response {
    let snapshot = api.handle.snapshot();
    let definitions: Vec<_> = snapshot
        .pods
        .values()
        .filter(|view| !view.record.removing)
        .map(|view| Arc::clone(&view.definition))
        .collect();
    Json(
        definitions
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<&PodDefinition>>(),
    )
    .into_response()
}

fn get(api: &Api, pod: &PodId) -> Result<Response, ApiError> {
    match api.handle.snapshot().pods.get(pod) {
        Some(view) if !view.record.removing => Ok(Json(view.definition.as_ref()).into_response()),
        _ => Err(ApiError::PodUnknown { pod: pod.clone() }),
    }
}

fn all_status(api: &Api) -> Response {
    let now = crate::clock::now();
    let snapshot = api.handle.snapshot();
    let all: Vec<_> = snapshot
        .pods
        .values()
        .map(|view| status::pod_status(view, now))
        .collect();
    Json(all).into_response()
}

fn pod_status(api: &Api, pod: &PodId) -> Result<Response, ApiError> {
    match api.handle.snapshot().pods.get(pod) {
        Some(view) => Ok(Json(status::pod_status(view, crate::clock::now())).into_response()),
        None => Err(ApiError::PodUnknown { pod: pod.clone() }),
    }
}

async fn add(
    api: &Api,
    flags: Flags,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let (definition, ignored) = body::definition(headers, body, &api.settings)?;
    let location = format!("/v2/pods{}", definition.id);
    let request = Request::AddPod {
        definition,
        force: flags.force,
    };
    let accepted = api.handle.request(request).await?;
    Ok(changed(
        StatusCode::CREATED,
        &accepted,
        Some(&location),
        &ignored,
    ))
}

async fn put(
    api: &Api,
    pod: &PodId,
    flags: Flags,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let (definition, ignored) = body::definition(headers, body, &api.settings)?;
    if definition.id != *pod {
        return Err(ApiError::IdMismatch {
            path: pod.clone(),
            body: definition.id,
        });
    }
    let accepted = api
        .handle
        .request(Request::PutPod {
            definition,
            force: flags.force,
        })
        .await?;
    Ok(changed(StatusCode::OK, &accepted, None, &ignored))
}

/// Which Marathon has for apps alone; the answer is that of an update.
async fn restart(api: &Api, pod: PodId, flags: Flags) -> Result<Response, ApiError> {
    let accepted = api
        .handle
        .request(Request::RestartPod {
            pod,
            force: flags.force,
        })
        .await?;
    Ok(changed(StatusCode::OK, &accepted, None, &[]))
}

/// The answer's body is empty: clients fail on any other (gambol99/go-marathon).
async fn remove(api: &Api, pod: PodId, flags: Flags) -> Result<Response, ApiError> {
    let accepted = api
        .handle
        .request(Request::RemovePod {
            pod,
            force: flags.force,
        })
        .await?;
    let location = accepted
        .deployment
        .map(|id| format!("/v2/deployments/{id}"));
    let mut response = StatusCode::ACCEPTED.into_response();
    name_deployment(&mut response, &accepted, location.as_deref());
    Ok(response)
}

fn changed(
    status: StatusCode,
    accepted: &Accepted,
    location: Option<&str>,
    ignored: &[String],
) -> Response {
    let definition = accepted.definition.as_deref();
    let mut response = (status, Json(definition)).into_response();
    name_deployment(&mut response, accepted, location);
    name_ignored(&mut response, ignored);
    response
}

fn name_ignored(response: &mut Response, ignored: &[String]) {
    if !ignored.is_empty()
        && let Ok(value) =
            HeaderValue::from_str(&format!("ignored members: {}", ignored.join(", ")))
    {
        response.headers_mut().insert(WARNING, value);
    }
}

fn name_deployment(response: &mut Response, accepted: &Accepted, location: Option<&str>) {
    let values = [
        (DEPLOYMENT_ID, accepted.deployment.map(|id| id.to_string())),
        (header::LOCATION, location.map(str::to_owned)),
    ];
    for (name, value) in values {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
}
