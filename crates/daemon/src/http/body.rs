//! Bodies and queries that are read the same way by several paths.

use axum::{
    Json,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use model::{
    id::DeploymentId,
    pod::{self, PodDefinition, ReadError, Settings, Violations},
    time::Timestamp,
};
use scheduler::Accepted;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;

/// `?force=`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Force {
    /// Whether deployments in the way are cancelled.
    #[param(required = false, default = false)]
    pub(super) force: bool,
}

/// Refuses bodies that do not say that they are JSON.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        let media_type = kind.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json")
    });
    if is_json {
        Ok(())
    } else {
        Err(ApiError::MediaType)
    }
}

/// A definition, read, normalised, validated; and the members that mean nothing here.
pub(super) fn definition(
    headers: &HeaderMap,
    body: &[u8],
    settings: &Settings,
) -> Result<(PodDefinition, Vec<String>), ApiError> {
    require_json(headers)?;
    let reading = pod::admit(body, settings).map_err(ApiError::Definition)?;
    let mut violations = Violations::default();
    for violation in pod::unsupported(&reading.definition) {
        for error in violation.errors {
            violations.add(&violation.path, error);
        }
    }
    if violations.is_empty() {
        Ok((reading.definition, reading.ignored))
    } else {
        Err(ApiError::Definition(ReadError::Rules { violations }))
    }
}

/// A body that is some JSON of a fixed form.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, ApiError> {
    require_json(headers)?;
    serde_json::from_slice(body).map_err(|error| ApiError::Body {
        problem: error.to_string(),
    })
}

/// What a deployment is known by that a request began.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentResult {
    /// When it was accepted.
    version: Option<Timestamp>,
    /// Its id; empty where there was nothing to do.
    pub(super) deployment_id: String,
}

impl From<&Accepted> for DeploymentResult {
    fn from(accepted: &Accepted) -> Self {
        let id = accepted.deployment.map(|DeploymentId(id)| id.to_string());
        Self {
            version: accepted.version,
            deployment_id: id.unwrap_or_default(),
        }
    }
}

impl DeploymentResult {
    /// The answer, which names the deployment in its head, too.
    pub(super) fn answer(self) -> Response {
        let id = self.deployment_id.clone();
        ([("marathon-deployment-id", id)], Json(self)).into_response()
    }
}
