//! Pods' paths: an id with slashes in it, perhaps followed by `::status`, `::versions` and
//! others.

use axum::{extract::FromRequestParts, http::request::Parts};
use model::{id::PodId, time::Timestamp};
use percent_encoding::percent_decode_str;

use super::error::ApiError;

/// The one name in a path that the router took apart; one that is no text names nothing.
#[derive(Clone, Debug)]
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let found = axum::extract::Path::from_request_parts(parts, state).await;
        found
            .map(|axum::extract::Path(name)| Self(name))
            .map_err(|_| ApiError::RouteUnknown {
                path: parts.uri.path().to_owned(),
            })
    }
}

/// What a path below `/v2/pods` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PodPath {
    /// All pods.
    All,
    /// The status of all pods.
    AllStatus,
    /// A pod.
    Pod(PodId),
    /// A pod's status.
    Status(PodId),
    /// A pod's versions.
    Versions(PodId),
    /// One version of a pod.
    Version(PodId, Timestamp),
    /// A pod's instances.
    Instances(PodId),
    /// One instance of a pod, not yet looked at.
    Instance(PodId, String),
    /// What a pod's containers wrote.
    Logs(PodId),
    /// All instances of a pod, made anew.
    Restart(PodId),
    /// What a definition would do.
    Plan,
}

impl PodPath {
    /// The path without what it names, for counting.
    pub(crate) const fn template(&self) -> &'static str {
        match self {
            Self::All => "/v2/pods",
            Self::AllStatus => "/v2/pods/::status",
            Self::Pod(_) => "/v2/pods/{id}",
            Self::Status(_) => "/v2/pods/{id}::status",
            Self::Versions(_) => "/v2/pods/{id}::versions",
            Self::Version(..) => "/v2/pods/{id}::versions/{version}",
            Self::Instances(_) => "/v2/pods/{id}::instances",
            Self::Instance(..) => "/v2/pods/{id}::instances/{instance}",
            Self::Logs(_) => "/v2/pods/{id}::logs",
            Self::Restart(_) => "/v2/pods/{id}::restart",
            Self::Plan => "/v2/pods/::plan",
        }
    }

    /// The methods that the path has, as `Allow` names them.
    pub(crate) const fn methods(&self) -> &'static str {
        match self {
            Self::All => "GET, HEAD, POST",
            Self::Pod(_) => "DELETE, GET, HEAD, PUT",
            Self::Instances(_) | Self::Instance(..) => "DELETE",
            Self::Restart(_) | Self::Plan => "POST",
            Self::AllStatus
            | Self::Status(_)
            | Self::Versions(_)
            | Self::Version(..)
            | Self::Logs(_) => "GET, HEAD",
        }
    }

    /// Reads a request's path. Slashes may be doubled, and a trailing one is dropped.
    pub(crate) fn parse(path: &str) -> Result<Self, ApiError> {
        let unknown = || ApiError::RouteUnknown {
            path: path.to_owned(),
        };
        let decoded = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| unknown())?;
        let (_, rest) = decoded.split_once("/v2/pods").ok_or_else(unknown)?;
        let (id, suffix) = match rest.split_once("::") {
            Some((id, suffix)) => (id, Some(suffix)),
            None => (rest, None),
        };
        let id = id.trim_matches('/');
        let Some(suffix) = suffix else {
            return if id.is_empty() {
                Ok(Self::All)
            } else {
                pod_id(id).map(Self::Pod)
            };
        };
        let (verb, argument) = suffix.split_once('/').unwrap_or((suffix, ""));
        let argument = argument.trim_end_matches('/');
        match (verb, argument) {
            ("status", "") if id.is_empty() => Ok(Self::AllStatus),
            ("status", "") => pod_id(id).map(Self::Status),
            ("versions", "") => pod_id(id).map(Self::Versions),
            ("versions", version) => {
                let pod = pod_id(id)?;
                version
                    .parse()
                    .map(|version| Self::Version(pod, version))
                    .map_err(ApiError::Timestamp)
            }
            ("instances", "") => pod_id(id).map(Self::Instances),
            ("instances", instance) => {
                pod_id(id).map(|pod| Self::Instance(pod, instance.to_owned()))
            }
            ("logs", "") => pod_id(id).map(Self::Logs),
            ("restart", "") => pod_id(id).map(Self::Restart),
            ("plan", "") if id.is_empty() => Ok(Self::Plan),
            _ => Err(unknown()),
        }
    }
}

fn pod_id(text: &str) -> Result<PodId, ApiError> {
    PodId::parse_lenient(text).map_err(|error| ApiError::violation("/", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_clients_send() {
        let x = || PodId::parse("/x").unwrap();
        let time: Timestamp = "2024-05-01T10:00:00.123Z".parse().unwrap();
        let cases = [
            ("/v2/pods", PodPath::All),
            ("/v2/pods/", PodPath::All),
            ("/v2/pods/::status", PodPath::AllStatus),
            ("/v2/pods::status", PodPath::AllStatus),
            ("/v2/pods/x", PodPath::Pod(x())),
            ("/v2/pods//x/", PodPath::Pod(x())),
            ("/v2/pods/a/b", PodPath::Pod(PodId::parse("/a/b").unwrap())),
            ("/v2/pods/x::status", PodPath::Status(x())),
            ("/v2/pods//x/::status", PodPath::Status(x())),
            ("/service/marathon/v2/pods/x::status", PodPath::Status(x())),
            ("/v2/pods//x::versions/", PodPath::Versions(x())),
            (
                "/v2/pods/x::versions/2024-05-01T10:00:00.123Z",
                PodPath::Version(x(), time),
            ),
            (
                "/v2/pods/x%3A%3Aversions/2024-05-01T10%3A00%3A00.123Z",
                PodPath::Version(x(), time),
            ),
            ("/v2/pods/x::instances", PodPath::Instances(x())),
            (
                "/v2/pods/x::instances/x.instance-1",
                PodPath::Instance(x(), "x.instance-1".into()),
            ),
            ("/v2/pods/x::logs", PodPath::Logs(x())),
        ];
        for (text, expected) in cases {
            assert_eq!(PodPath::parse(text).unwrap(), expected, "{text}");
        }
        for text in [
            "/v2/pods/UP",
            "/v2/pods/x::nothing",
            "/v2/pods/x::versions/soon",
        ] {
            assert!(PodPath::parse(text).is_err(), "{text}");
        }
    }
}
