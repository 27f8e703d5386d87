//! `/v2/queue`: what waits to be launched, and why (marathon: `api/v2/QueueResource.scala`).

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use model::{id::PodId, status::Queue};
use percent_encoding::percent_decode_str;
use scheduler::{Request, status};
use utoipa::IntoParams;

use super::{
    Shared,
    error::ApiError,
    openapi::{
        answers::{Invalid, NotFound},
        parameters::PodParameter,
    },
    query,
};
use crate::clock;

/// `?embed=`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "one name may stand several times")]
pub(super) struct EmbedOffers {
    /// `lastUnusedOffers` for these, too.
    embed: Option<Vec<String>>,
}

/// What waits to be launched, and why.
#[utoipa::path(
    get,
    path = "/v2/queue",
    tag = "deployments",
    operation_id = "listQueue",
    params(EmbedOffers),
    responses((status = 200, description = "The pods with waiting instances.", body = Queue)),
)]
pub(super) async fn list(State(api): Shared, uri: Uri) -> Response {
    let now = clock::now();
    let snapshot = api.handle.snapshot();
    let with_offers = query::values(&uri, "embed")
        .iter()
        .any(|wanted| wanted == "lastUnusedOffers");
    let queue = snapshot
        .pods
        .values()
        .filter_map(|view| {
            let mut item = status::queue_item(view, now)?;
            if with_offers {
                item.last_unused_offers =
                    Some(status::unused_offers(view, &snapshot.accounting.free, now));
            }
            Some(item)
        })
        .collect();
    Json(Queue { queue }).into_response()
}

/// Lets a pod's next launch wait for no back-off.
#[utoipa::path(
    delete,
    path = "/v2/queue/{id}/delay",
    tag = "deployments",
    operation_id = "resetDelay",
    params(PodParameter),
    responses((status = 204, description = "It no longer waits."), NotFound, Invalid),
)]
pub(super) async fn reset_delay(State(api): Shared, uri: Uri) -> Result<Response, ApiError> {
    let path = percent_decode_str(uri.path()).decode_utf8_lossy();
    let unknown = || ApiError::RouteUnknown {
        path: path.to_string(),
    };
    let (_, rest) = path.split_once("/v2/queue/").ok_or_else(unknown)?;
    let id = rest
        .trim_end_matches('/')
        .strip_suffix("/delay")
        .ok_or_else(unknown)?;
    let pod = PodId::parse_lenient(id.trim_matches('/'))
        .map_err(|error| ApiError::violation("/", error.to_string()))?;
    let snapshot = api.handle.snapshot();
    let waits = snapshot
        .pods
        .get(&pod)
        .is_some_and(|view| status::queue_item(view, clock::now()).is_some());
    if !waits {
        return Err(ApiError::NotQueued { pod });
    }
    api.handle.request(Request::ResetDelay { pod }).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
