//! `/v2/deployments` (marathon: `api/v2/DeploymentsResource.scala`), and waiting for one.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use model::{id::DeploymentId, record::DeploymentRecord};
use scheduler::{Request, status};
use serde::Deserialize;
use serde_json::json;

use super::{Shared, body::Flags, error::ApiError};

/// The longest that one request waits, in seconds; whoever wants more asks again.
const LONGEST_WAIT_SECONDS: u64 = 300;

/// `?wait=`.
#[derive(Debug, Deserialize)]
pub(super) struct Wait {
    #[serde(default)]
    wait: u64,
}

/// `GET /v2/deployments`.
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

/// `GET /v2/deployments/{id}?wait=SECONDS`: the deployment, once its step changed or the time is over; 404 once
/// it no longer runs. Ours, not Marathon's.
pub(super) async fn wait(
    State(api): Shared,
    Path(id): Path<String>,
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

/// `DELETE /v2/deployments/{id}`: rolls back; with `?force=true` only stops.
pub(super) async fn end(
    State(api): Shared,
    Path(id): Path<String>,
    Query(flags): Query<Flags>,
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
    let id = accepted
        .deployment
        .map(|id| id.to_string())
        .unwrap_or_default();
    let version = accepted.version;
    let body = json!({ "version": version, "deploymentId": id });
    Ok(([("marathon-deployment-id", id)], Json(body)).into_response())
}

fn deployment_id(text: &str) -> Result<DeploymentId, ApiError> {
    match text.parse() {
        Ok(uuid) => Ok(DeploymentId(uuid)),
        Err(_) => Err(ApiError::DeploymentUnknown {
            deployment: text.to_owned(),
        }),
    }
}
