//! `/v2/deployments` (marathon: `api/v2/DeploymentsResource.scala`), and waiting for one.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use model::{id::DeploymentId, record::DeploymentRecord, status::Deployment};
use scheduler::{Request, status};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Shared,
    body::{DeploymentResult, Force},
    error::ApiError,
    openapi::{
        answers::{Conflict, Invalid, NotFound},
        parameters::DeploymentParameter,
    },
    path::Name,
    query::Query,
};

/// The longest that one request waits, in seconds; whoever wants more asks again.
const LONGEST_WAIT_SECONDS: u64 = 300;

/// `?wait=`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wait {
    /// Seconds to wait for a change, at most 300.
    #[serde(default)]
    wait: u64,
}

/// The deployments that are being carried out.
#[utoipa::path(
    get,
    path = "/v2/deployments",
    tag = "deployments",
    operation_id = "listDeployments",
    responses((status = 200, description = "The oldest first.", body = Vec<Deployment>)),
)]
pub(super) async fn list(State(api): Shared) -> Response {
    let snapshot = api.handle.snapshot();
    Json(
        snapshot
            .deployments
            .iter()
            .map(status::deployment_document)
            .collect::<Vec<_>>(),
    )
    .into_response()
}

/// A deployment, once its step changed or the time is over.
///
/// Ours, not Marathon's.
#[utoipa::path(
    get,
    path = "/v2/deployments/{id}",
    tag = "deployments",
    operation_id = "getDeployment",
    params(DeploymentParameter, Wait),
    responses(
        (status = 200, description = "How far it is.", body = Deployment),
        (status = 404, description = "It is over, or never was.", body = super::error::ErrorBody),
    ),
)]
pub(super) async fn wait(
    State(api): Shared,
    Name(id): Name,
    Query(Wait { wait }): Query<Wait>,
) -> Result<Response, ApiError> {
    let deployment = deployment_id(&id)?;
    let unknown = || ApiError::DeploymentUnknown {
        deployment: id.clone(),
    };
    let step = |record: &DeploymentRecord| record.current_step;
    let first = api
        .handle
        .snapshot()
        .deployment(deployment)
        .map(step)
        .ok_or_else(unknown)?;
    let changed = api
        .handle
        .wait_until(|snapshot| snapshot.deployment(deployment).map(step) != Some(first));
    let limit = Duration::from_secs(wait.min(LONGEST_WAIT_SECONDS));
    // Elapsed or changed, the answer is what is true now.
    let _ = tokio::time::timeout(limit, changed).await;
    let snapshot = api.handle.snapshot();
    let record = snapshot.deployment(deployment).ok_or_else(unknown)?;
    Ok(Json(status::deployment_document(record)).into_response())
}

/// Rolls a deployment back; with `force` only stops it.
#[utoipa::path(
    delete,
    path = "/v2/deployments/{id}",
    tag = "deployments",
    operation_id = "endDeployment",
    params(DeploymentParameter, Force),
    responses(
        (
            status = 200, description = "The deployment that undoes it.", body = DeploymentResult,
            headers(("Marathon-Deployment-Id" = String, description = "The new deployment.")),
        ),
        (status = 202, description = "It was stopped; what it did stays."),
        NotFound, Conflict, Invalid,
    ),
)]
pub(super) async fn end(
    State(api): Shared,
    Name(id): Name,
    Query(flags): Query<Force>,
) -> Result<Response, ApiError> {
    let deployment = deployment_id(&id)?;
    if flags.force {
        api.handle
            .request(Request::CancelDeployment { deployment })
            .await?;
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    let accepted = api
        .handle
        .request(Request::RollbackDeployment { deployment })
        .await?;
    Ok(DeploymentResult::from(&accepted).answer())
}

fn deployment_id(text: &str) -> Result<DeploymentId, ApiError> {
    match text.parse() {
        Ok(uuid) => Ok(DeploymentId(uuid)),
        Err(_) => Err(ApiError::DeploymentUnknown {
            deployment: text.to_owned(),
        }),
    }
}
