//! Bodies and queries that are read the same way by several paths.

use axum::http::{HeaderMap, header};
use model::pod::{self, PodDefinition, ReadError, Settings, Violations};
use serde::Deserialize;

use super::error::ApiError;

/// `?force=` and `?wipe=`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Flags {
    pub(super) force: bool,
    pub(super) wipe: bool,
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
