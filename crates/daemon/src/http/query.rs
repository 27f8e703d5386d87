//! Queries: read into a type, or name by name where one may stand several times.

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// A query of this form; any other is a 400 in the words of this API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> Query<T> {
    /// Reads the query of a URI.
    ///
    /// # Errors
    /// [`ApiError::Query`].
    pub(super) fn of(uri: &Uri) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| ApiError::Query {
                problem: error.body_text(),
            })
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.uri)
    }
}

/// All values of `name`, in their order.
pub(super) fn values(uri: &Uri, name: &str) -> Vec<String> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    uri.query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_stand_several_times() {
        let uri: Uri = "/v2/events?event_type=a&x=1&event%5Ftype=b%20c+d&event_type"
            .parse()
            .unwrap();
        assert_eq!(values(&uri, "event_type"), ["a", "b c d", ""]);
        assert_eq!(values(&uri, "y"), Vec::<String>::new());
        assert_eq!(
            values(&"/".parse().unwrap(), "event_type"),
            Vec::<String>::new()
        );
    }
}
