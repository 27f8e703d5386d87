//! Every answer that is not a success, in Marathon's words where Marathon has them.
//!
//! Clients and tests match on these texts (marathon: `api/MarathonExceptionMapper.scala`, `api/RestResource.scala`).

use axum::{
    Json,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{
    id::{DeploymentId, PodId},
    pod::{ReadError, Violation, Violations},
    time::TimestampError,
};
use scheduler::Denied;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{event_loop::chain, handle::Refusal};

/// Why a request was not answered as asked.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// The body is not JSON, or not a pod definition.
    Definition(ReadError),
    /// The body is not what this path takes.
    Body { problem: String },
    /// Path and definition name different pods.
    IdMismatch { path: PodId, body: PodId },
    /// A version that is no point in time.
    Timestamp(TimestampError),
    /// An instance id that is none.
    InstanceId { text: String },
    /// The pod is not known.
    PodUnknown { pod: PodId },
    /// The pod is not known, in the words of the instances' path.
    PathUnknown { pod: PodId },
    /// The pod has no such version.
    VersionUnknown { pod: PodId, version: String },
    /// The instance is not known.
    InstanceUnknown { instance: String },
    /// No pod is in the group.
    GroupUnknown { group: PodId },
    /// There are no apps.
    AppUnknown { app: String },
    /// No instance of the pod waits.
    NotQueued { pod: PodId },
    /// The deployment is not running.
    DeploymentUnknown { deployment: String },
    /// There is nothing to read.
    LogUnknown { problem: String },
    /// The image cannot be imported.
    Image { problem: String },
    /// The loop refused.
    Refused(Refusal),
    /// No such path.
    RouteUnknown { path: String },
    /// Not with this method; the router names the others if nobody does.
    MethodNotAllowed {
        method: String,
        allowed: Option<&'static str>,
    },
    /// The query is not what this path takes.
    Query { problem: String },
    /// Not JSON by its header.
    MediaType,
    /// No or a wrong token.
    TokenRefused,
    /// Not root and not in the group.
    PeerRefused,
    /// A token that may only look was shown for a change.
    ReadOnly { name: String },
    /// A host that is not this machine.
    HostRefused { host: String },
    /// A page of another site.
    OriginRefused,
    /// The body is larger than any that means something here.
    BodyTooLarge { limit: usize },
    /// The body did not come in time.
    BodyTooSlow { seconds: u64 },
    /// The body ended before its end.
    BodyBroken,
    /// The daemon is not ready yet.
    Recovering,
    /// No answer was found in time.
    TooSlow { seconds: u64 },
    /// Our own fault.
    Internal {
        attempt: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ApiError {
    /// One broken rule.
    pub(crate) fn violation(path: &str, message: String) -> Self {
        let mut violations = Violations::default();
        violations.add(path, message);
        Self::Definition(ReadError::Rules { violations })
    }

    /// A failure of ours, to be logged and told little about.
    pub(crate) fn internal(
        attempt: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal {
            attempt,
            source: source.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody {
    /// Why, for a person, in Marathon's words where it has them.
    message: String,
    /// What is wrong with which member, or what a parser says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    details: Option<ErrorDetails>,
    /// The deployments in whose way this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    deployments: Option<Vec<DeploymentReference>>,
    /// `recovering` while the daemon is: it passes by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'static str>,
}

/// What else there is to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ErrorDetails {
    /// What a parser says.
    Text(String),
    /// What is wrong with which member.
    Violations(Vec<Violation>),
}

/// A deployment that is in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeploymentReference {
    /// Its id.
    id: DeploymentId,
}

fn message(text: impl Into<String>) -> ErrorBody {
    ErrorBody {
        message: text.into(),
        ..ErrorBody::default()
    }
}

fn detailed(text: impl Into<String>, details: ErrorDetails) -> ErrorBody {
    ErrorBody {
        details: Some(details),
        ..message(text)
    }
}

fn not_read(error: &ReadError) -> ErrorBody {
    let details = match error {
        ReadError::Empty { details } | ReadError::Syntax { details } => {
            ErrorDetails::Text(details.clone())
        }
        ReadError::Schema { violations } | ReadError::Rules { violations } => {
            ErrorDetails::Violations(violations.clone().into_vec())
        }
    };
    detailed(error.message(), details)
}

fn pod_unknown(pod: &PodId) -> (StatusCode, ErrorBody) {
    let text = format!("Pod '{pod}' does not exist");
    let body = detailed(text, ErrorDetails::Violations(Vec::new()));
    (StatusCode::NOT_FOUND, body)
}

fn group_unknown(group: &PodId) -> (StatusCode, ErrorBody) {
    let text = format!("Group '{group}' does not exist");
    (StatusCode::NOT_FOUND, message(text))
}

fn broken_rule(path: &str, denied: &Denied) -> (StatusCode, ErrorBody) {
    let mut violations = Violations::default();
    violations.add(path, denied.to_string());
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        not_read(&ReadError::Rules { violations }),
    )
}

fn deployment_unknown(deployment: &str) -> (StatusCode, ErrorBody) {
    (
        StatusCode::NOT_FOUND,
        message(format!("DeploymentPlan {deployment} does not exist")),
    )
}

fn locked(deployments: &[DeploymentId]) -> (StatusCode, ErrorBody) {
    let text = "App is locked by one or more deployments. Override with the option '?force=true'. \
                View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
    let ids = deployments.iter().map(|id| DeploymentReference { id: *id });
    let body = ErrorBody {
        deployments: Some(ids.collect()),
        ..message(text)
    };
    (StatusCode::CONFLICT, body)
}

fn denied(denied: &Denied) -> (StatusCode, ErrorBody) {
    match denied {
        Denied::PodExists { pod } => (
            StatusCode::CONFLICT,
            message(format!("A pod with id [{pod}] already exists.")),
        ),
        Denied::PodUnknown { pod } => pod_unknown(pod),
        Denied::InstanceUnknown { instance } => (
            StatusCode::NOT_FOUND,
            message(format!("Task '{instance}' does not exist")),
        ),
        Denied::Locked { deployments, .. } => locked(deployments),
        Denied::TooManyDeployments { max } => {
            let text = format!(
                "Max number ({max}) of running deployments is achieved. Wait for one to end, or use \
                 '?force=true' to cancel one that works on the same pod."
            );
            (StatusCode::FORBIDDEN, message(text))
        }
        Denied::TooManyInstances { .. } => broken_rule("/scaling/instances", denied),
        Denied::GroupExists => broken_rule("/id", denied),
        Denied::GroupUnknown { group } => group_unknown(group),
        Denied::DeploymentUnknown { deployment } => deployment_unknown(&deployment.to_string()),
    }
}

fn refused(refusal: &Refusal) -> (StatusCode, ErrorBody) {
    match refusal {
        Refusal::Denied(reason) => denied(reason),
        Refusal::NotStored { message: reason } => {
            let text = format!(
                "The request could not be stored ({reason}); nothing was changed, running pods go on. Try again \
                 once the cause is removed; `monopod info` tells whether it lasts."
            );
            (StatusCode::SERVICE_UNAVAILABLE, message(text))
        }
        Refusal::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            message("Too many requests wait already; nothing was changed, try again later."),
        ),
        Refusal::Stopping => (
            StatusCode::SERVICE_UNAVAILABLE,
            message("The daemon is stopping."),
        ),
    }
}

impl ApiError {
    /// What tells a client how to go on.
    fn header(&self) -> Option<(HeaderName, &'static str)> {
        if matches!(self, Self::TokenRefused) {
            return Some((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Self::MethodNotAllowed { allowed, .. } = self {
            return allowed.map(|allowed| (header::ALLOW, allowed));
        }
        let passes = matches!(self, Self::Recovering | Self::Refused(Refusal::Busy));
        passes.then_some((header::RETRY_AFTER, "1"))
    }

    fn answer(&self) -> (StatusCode, ErrorBody) {
        match self {
            Self::Definition(error) => {
                let status = StatusCode::from_u16(error.status());
                (
                    status.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
                    not_read(error),
                )
            }
            Self::Body { problem } => (
                StatusCode::BAD_REQUEST,
                detailed("Invalid JSON", ErrorDetails::Text(problem.clone())),
            ),
            Self::Query { problem } => (
                StatusCode::BAD_REQUEST,
                detailed("Invalid query", ErrorDetails::Text(problem.clone())),
            ),
            Self::IdMismatch { path, body } => (
                StatusCode::BAD_REQUEST,
                message(format!(
                    "'{path}' does not match definition's id ('{body}')"
                )),
            ),
            Self::Timestamp(error) => {
                (StatusCode::UNPROCESSABLE_ENTITY, message(error.to_string()))
            }
            Self::InstanceId { text } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                message(format!(
                    "'{text}' is not a pod instance id, expected POD.instance-UUID"
                )),
            ),
            Self::PodUnknown { pod } => pod_unknown(pod),
            Self::PathUnknown { pod } => (
                StatusCode::NOT_FOUND,
                message(format!("Path '{pod}' does not exist")),
            ),
            Self::VersionUnknown { pod, version } => {
                let text = format!("Pod '{pod}' has no version '{version}'");
                (StatusCode::NOT_FOUND, message(text))
            }
            Self::InstanceUnknown { instance } => (
                StatusCode::NOT_FOUND,
                message(format!("Task '{instance}' does not exist")),
            ),
            Self::GroupUnknown { group } => group_unknown(group),
            Self::AppUnknown { app } => (
                StatusCode::NOT_FOUND,
                message(format!("App '{app}' does not exist")),
            ),
            Self::NotQueued { pod } => (
                StatusCode::NOT_FOUND,
                message(format!("Application {pod} not found in tasks queue.")),
            ),
            Self::DeploymentUnknown { deployment } => deployment_unknown(deployment),
            Self::LogUnknown { problem } => (StatusCode::NOT_FOUND, message(problem.clone())),
            Self::Image { problem } => (StatusCode::UNPROCESSABLE_ENTITY, message(problem.clone())),
            Self::Refused(refusal) => refused(refusal),
            Self::RouteUnknown { path } => (
                StatusCode::NOT_FOUND,
                message(format!("There is nothing at '{path}'")),
            ),
            Self::MethodNotAllowed { method, .. } => {
                let text = format!("Method Not Allowed: {method}");
                (StatusCode::METHOD_NOT_ALLOWED, message(text))
            }
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                message("Unsupported Media Type"),
            ),
            Self::TokenRefused => {
                let text = "A token is needed: send 'Authorization: token=TOKEN' with what \
                            'monopod token show' prints.";
                (StatusCode::UNAUTHORIZED, message(text))
            }
            Self::PeerRefused => {
                let text = "Only root and members of the group that socket_group names may use this \
                            socket.";
                (StatusCode::FORBIDDEN, message(text))
            }
            Self::ReadOnly { name } => {
                let text = format!("The token '{name}' is read-only: it may GET and HEAD.");
                (StatusCode::FORBIDDEN, message(text))
            }
            Self::HostRefused { host } => {
                let text = format!(
                    "'{host}' is no name of this host: call it by localhost or an address it listens on, \
                     or add the name to allowed_hosts in its configuration."
                );
                (StatusCode::FORBIDDEN, message(text))
            }
            Self::OriginRefused => {
                let text = "Pages of other sites may not use this API.";
                (StatusCode::FORBIDDEN, message(text))
            }
            Self::BodyTooLarge { limit } => {
                let text = format!("The body is larger than {limit} bytes.");
                (StatusCode::PAYLOAD_TOO_LARGE, message(text))
            }
            Self::BodyTooSlow { seconds } => {
                let text = format!("The body was not complete within {seconds} seconds.");
                (StatusCode::REQUEST_TIMEOUT, message(text))
            }
            Self::BodyBroken => {
                let text = "The body ended before its end.";
                (StatusCode::BAD_REQUEST, message(text))
            }
            Self::Recovering => {
                let text = "The daemon is recovering: it looks for the pods that run. Nothing was changed; try \
                            again in a moment.";
                // Clients tell it by the reason from other 503s.
                let body = ErrorBody {
                    reason: Some("recovering"),
                    ..message(text)
                };
                (StatusCode::SERVICE_UNAVAILABLE, body)
            }
            Self::TooSlow { seconds } => {
                let text = format!(
                    "There was no answer within {seconds} seconds. What was asked for may still happen: \
                     look before trying again."
                );
                (StatusCode::SERVICE_UNAVAILABLE, message(text))
            }
            Self::Internal { .. } => {
                let text = "Internal error; the daemon's log says more.";
                (StatusCode::INTERNAL_SERVER_ERROR, message(text))
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Internal { attempt, source } = &self {
            tracing::error!(error = chain(source.as_ref()), "failed to {attempt}");
        }
        let (status, body) = self.answer();
        match self.header() {
            Some(header) => (status, [header], Json(body)).into_response(),
            None => (status, Json(body)).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_by_itself_says_when_to_try_again() {
        let not_stored = || Refusal::NotStored {
            message: "disk full".to_owned(),
        };
        let cases = [
            (ApiError::Recovering, 503, Some("1")),
            (ApiError::Refused(Refusal::Busy), 503, Some("1")),
            (ApiError::Refused(not_stored()), 503, None),
            (ApiError::TooSlow { seconds: 60 }, 503, None),
            (ApiError::PeerRefused, 403, None),
        ];
        for (error, status, retry_after) in cases {
            let name = format!("{error:?}");
            let answer = error.into_response();
            assert_eq!(answer.status().as_u16(), status, "{name}");
            let header = answer.headers().get(header::RETRY_AFTER);
            let header = header.and_then(|value| value.to_str().ok());
            assert_eq!(header, retry_after, "{name}");
        }
    }
}
