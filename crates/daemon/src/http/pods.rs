//! `/v2/pods` and everything below it (marathon: `api/v2/PodsResource.scala`).

pub(super) mod instances;
pub(super) mod plan;
pub(super) mod versions;

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use model::status::PodStatus;
use model::{id::PodId, pod::PodDefinition};
use scheduler::{Accepted, Request, status};

use super::{
    Api, Shared,
    access::Caller,
    body::{self, Force},
    error::ApiError,
    logs,
    openapi::{
        answers::{Conflict, Invalid, MediaType, NotFound, OtherPath},
        parameters::PodParameter,
    },
    path::PodPath,
    query::Query,
};
use crate::events::{EventDocument, PodRequest};

/// The header in which clients find the deployment.
const DEPLOYMENT_ID: HeaderName = HeaderName::from_static("marathon-deployment-id");

/// Members of a definition that were ignored, named so that nothing is dropped silently.
const WARNING: HeaderName = HeaderName::from_static("x-monopod-warning");

/// So long the names in it may be together: clients fail on large heads.
const WARNING_BYTES: usize = 2048;

/// Pods' paths have slashes and suffixes inside, so they are taken apart here and not by the router.
pub(super) async fn dispatch(
    State(api): Shared,
    Extension(caller): Extension<Caller>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let path = PodPath::parse(uri.path())?;
    let change = change(&method, &path);
    let answer = answer(&api, method, path, &uri, &headers, &body).await?;
    if let Some((event, pod_id)) = change {
        let request = PodRequest {
            client_ip: caller.host(),
            uri: uri.path().to_owned(),
            pod_id,
        };
        api.events.tell(event(request), crate::clock::now());
    }
    Ok(answer)
}

type Change = (fn(PodRequest) -> EventDocument, Option<PodId>);

/// The event that a request makes once it is accepted, and the pod where the path names it.
fn change(method: &Method, path: &PodPath) -> Option<Change> {
    match (method, path) {
        (&Method::POST, PodPath::All) => Some((EventDocument::PodCreatedEvent, None)),
        (&Method::PUT, PodPath::Pod(pod)) | (&Method::POST, PodPath::Restart(pod)) => {
            Some((EventDocument::PodUpdatedEvent, Some(pod.clone())))
        }
        (&Method::DELETE, PodPath::Pod(pod)) => {
            Some((EventDocument::PodDeletedEvent, Some(pod.clone())))
        }
        _ => None,
    }
}

async fn answer(
    api: &Api,
    method: Method,
    path: PodPath,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    // The body of an answer to HEAD is left out when it is sent.
    let looks = method == Method::GET || method == Method::HEAD;
    let allowed = Some(path.methods());
    match (&method, path) {
        (&Method::HEAD, PodPath::All) => Ok(head_all()),
        (&Method::POST, PodPath::All) => add(api, uri, headers, body).await,
        (&Method::PUT, PodPath::Pod(pod)) => put(api, &pod, uri, headers, body).await,
        (&Method::DELETE, PodPath::Pod(pod)) => remove(api, pod, uri).await,
        (&Method::DELETE, PodPath::Instances(pod)) => {
            instances::kill_some(api, pod, uri, headers, body).await
        }
        (&Method::DELETE, PodPath::Instance(pod, instance)) => {
            instances::kill_one(api, pod, &instance, uri).await
        }
        (&Method::POST, PodPath::Restart(pod)) => restart(api, pod, uri).await,
        (&Method::POST, PodPath::Plan) => plan::make(api, headers, body).await,
        (_, PodPath::All) if looks => Ok(list(api)),
        (_, PodPath::Pod(pod)) if looks => get(api, &pod),
        (_, PodPath::AllStatus) if looks => Ok(all_status(api)),
        (_, PodPath::Status(pod)) if looks => pod_status(api, &pod),
        (_, PodPath::Versions(pod)) if looks => versions::list(api, &pod).await,
        (_, PodPath::Version(pod, version)) if looks => versions::get(api, &pod, version).await,
        (_, PodPath::Logs(pod)) if looks => logs::read(api, &pod, uri).await,
        _ => Err(ApiError::MethodNotAllowed {
            method: method.to_string(),
            allowed,
        }),
    }
}

/// Whether there is an API for pods.
///
/// Marathon's clients ask it before anything else.
#[utoipa::path(
    head,
    path = "/v2/pods",
    tag = "pods",
    operation_id = "hasPods",
    responses((status = 200, description = "There is.")),
)]
pub(super) fn head_all() -> Response {
    StatusCode::OK.into_response()
}

/// All pods.
#[utoipa::path(
    get,
    path = "/v2/pods",
    tag = "pods",
    operation_id = "listPods",
    responses((status = 200, description = "Their definitions.", body = Vec<PodDefinition>)),
)]
pub(super) fn list(api: &Api) -> Response {
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

/// Whether there is a pod.
#[utoipa::path(
    head,
    path = "/v2/pods/{id}",
    tag = "pods",
    operation_id = "hasPod",
    params(PodParameter),
    responses(
        (status = 200, description = "There is."),
        (status = 404, description = "There is none."),
        (status = 422, description = "The id is none."),
    ),
)]
#[expect(dead_code, reason = "as `get`, without its body")]
pub(super) fn head_one() {}

/// One pod.
#[utoipa::path(
    get,
    path = "/v2/pods/{id}",
    tag = "pods",
    operation_id = "getPod",
    params(PodParameter),
    responses((status = 200, description = "Its definition.", body = PodDefinition), NotFound, OtherPath, Invalid),
)]
pub(super) fn get(api: &Api, pod: &PodId) -> Result<Response, ApiError> {
    match api.handle.snapshot().pods.get(pod) {
        Some(view) if !view.record.removing => Ok(Json(view.definition.as_ref()).into_response()),
        _ => Err(ApiError::PodUnknown { pod: pod.clone() }),
    }
}

/// How all pods do.
#[utoipa::path(
    get,
    path = "/v2/pods/::status",
    tag = "pods",
    operation_id = "listPodStatus",
    responses((status = 200, description = "Their status.", body = Vec<PodStatus>)),
)]
pub(super) fn all_status(api: &Api) -> Response {
    let now = crate::clock::now();
    let snapshot = api.handle.snapshot();
    let all: Vec<_> = snapshot
        .pods
        .values()
        .map(|view| status::pod_status(view, now))
        .collect();
    Json(all).into_response()
}

/// How a pod does.
#[utoipa::path(
    get,
    path = "/v2/pods/{id}::status",
    tag = "pods",
    operation_id = "getPodStatus",
    params(PodParameter),
    responses((status = 200, description = "Its status.", body = PodStatus), NotFound, OtherPath, Invalid),
)]
pub(super) fn pod_status(api: &Api, pod: &PodId) -> Result<Response, ApiError> {
    match api.handle.snapshot().pods.get(pod) {
        Some(view) => Ok(Json(status::pod_status(view, crate::clock::now())).into_response()),
        None => Err(ApiError::PodUnknown { pod: pod.clone() }),
    }
}

/// A definition, for the description.
fn example() -> serde_json::Value {
    serde_json::json!({
        "id": "/shop/web",
        "containers": [{
            "name": "web",
            "exec": { "command": { "shell": "exec sleep 1000" } },
            "resources": { "cpus": 0.1, "mem": 32 },
        }],
    })
}

/// Adds a pod.
#[utoipa::path(
    post,
    path = "/v2/pods",
    tag = "pods",
    operation_id = "addPod",
    params(Force),
    request_body(content = PodDefinition, example = json!(example())),
    responses(
        (
            status = 201, description = "Its definition, completed; a deployment launches it.", body = PodDefinition,
            headers(
                ("Location" = String, description = "The pod's path."),
                ("Marathon-Deployment-Id" = String, description = "The deployment."),
                ("X-Monopod-Warning" = String, description = "Members that mean nothing and were ignored."),
            ),
        ),
        Conflict, MediaType, Invalid,
    ),
)]
pub(super) async fn add(
    api: &Api,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let Query(Force { force }) = Query::of(uri)?;
    let (definition, ignored) = body::definition(headers, body, &api.settings)?;
    let location = format!("/v2/pods{}", definition.id);
    let request = Request::AddPod { definition, force };
    let accepted = api.handle.request(request).await?;
    Ok(changed(
        StatusCode::CREATED,
        &accepted,
        Some(&location),
        &ignored,
    ))
}

/// Changes a pod, or adds it.
#[utoipa::path(
    put,
    path = "/v2/pods/{id}",
    tag = "pods",
    operation_id = "putPod",
    params(PodParameter, Force),
    request_body(content = PodDefinition, example = json!(example())),
    responses(
        (
            status = 200, description = "Its definition, completed; a deployment brings it about.", body = PodDefinition,
            headers(
                ("Marathon-Deployment-Id" = String, description = "The deployment."),
                ("X-Monopod-Warning" = String, description = "Members that mean nothing and were ignored."),
            ),
        ),
        NotFound, OtherPath, Conflict, MediaType, Invalid,
    ),
)]
pub(super) async fn put(
    api: &Api,
    pod: &PodId,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    let Query(Force { force }) = Query::of(uri)?;
    let (definition, ignored) = body::definition(headers, body, &api.settings)?;
    if definition.id != *pod {
        return Err(ApiError::IdMismatch {
            path: pod.clone(),
            body: definition.id,
        });
    }
    let accepted = api
        .handle
        .request(Request::PutPod { definition, force })
        .await?;
    Ok(changed(StatusCode::OK, &accepted, None, &ignored))
}

/// Makes all instances of a pod anew.
///
/// Which Marathon has for apps alone; the answer is that of an update.
#[utoipa::path(
    post,
    path = "/v2/pods/{id}::restart",
    tag = "pods",
    operation_id = "restartPod",
    params(PodParameter, Force),
    responses(
        (
            status = 200, description = "Its definition; a deployment replaces its instances.", body = PodDefinition,
            headers(("Marathon-Deployment-Id" = String, description = "The deployment.")),
        ),
        NotFound, OtherPath, Conflict, Invalid,
    ),
)]
pub(super) async fn restart(api: &Api, pod: PodId, uri: &Uri) -> Result<Response, ApiError> {
    let Query(Force { force }) = Query::of(uri)?;
    let accepted = api
        .handle
        .request(Request::RestartPod { pod, force })
        .await?;
    Ok(changed(StatusCode::OK, &accepted, None, &[]))
}

/// Removes a pod.
///
/// The answer's body is empty: clients fail on any other (gambol99/go-marathon).
#[utoipa::path(
    delete,
    path = "/v2/pods/{id}",
    tag = "pods",
    operation_id = "removePod",
    params(PodParameter, Force),
    responses(
        (
            status = 202, description = "A deployment ends its instances and then forgets it.",
            headers(
                ("Location" = String, description = "The deployment's path."),
                ("Marathon-Deployment-Id" = String, description = "The deployment."),
            ),
        ),
        NotFound, OtherPath, Conflict, Invalid,
    ),
)]
pub(super) async fn remove(api: &Api, pod: PodId, uri: &Uri) -> Result<Response, ApiError> {
    let Query(Force { force }) = Query::of(uri)?;
    let accepted = api
        .handle
        .request(Request::RemovePod { pod, force })
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
    if let Some(value) = warning(ignored) {
        response.headers_mut().insert(WARNING, value);
    }
}

/// Names ignored members in what a header can hold: characters beyond ASCII are escaped, and of very many only some are
/// named.
fn warning(ignored: &[String]) -> Option<HeaderValue> {
    let mut text = String::new();
    for (index, path) in ignored.iter().enumerate() {
        let path = path.escape_default().to_string();
        if text.len() + path.len() > WARNING_BYTES {
            let rest = ignored.len() - index;
            text.push_str(&format!(
                "{}{rest} more",
                if index == 0 { "" } else { " and " }
            ));
            break;
        }
        text.push_str(if index == 0 { "" } else { ", " });
        text.push_str(&path);
    }
    let value = HeaderValue::try_from(format!("ignored members: {text}"));
    value.ok().filter(|_| !ignored.is_empty())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_members_are_named_whatever_they_are_called_and_however_many() {
        let text = |ignored: &[&str]| {
            let ignored: Vec<_> = ignored.iter().map(|&name| name.to_owned()).collect();
            warning(&ignored).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(text(&[]), None);
        let two = text(&["/type", "/ü\n"]).unwrap();
        assert_eq!(two, "ignored members: /type, /\\u{fc}\\n");
        let many = text(&["/0123456789"; 1000]).unwrap();
        assert!(many.len() < 2 * WARNING_BYTES, "{}", many.len());
        assert!(many.ends_with(" more"), "{many}");
        let long = text(&[&"x".repeat(5000)]).unwrap();
        assert_eq!(long, "ignored members: 1 more");
    }
}
