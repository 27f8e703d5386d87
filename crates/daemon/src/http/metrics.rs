//! `/metrics`, and how requests are named in it.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, Method, header},
    response::IntoResponse,
};

use super::{Shared, error::ApiError, path::PodPath};
use crate::{
    clock,
    metrics::{Format, Scrape},
};

/// What is counted and measured.
///
/// In Prometheus's text format, or in OpenMetrics for those who ask for it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "service",
    operation_id = "metrics",
    responses((
        status = 200, description = "The metrics.",
        content((String = "text/plain"), (String = "application/openmetrics-text")),
    )),
)]
pub(super) async fn metrics(
    State(api): Shared,
    headers: HeaderMap,
) -> Result<impl IntoResponse + use<>, ApiError> {
    let accept = headers.get(header::ACCEPT);
    let format = Format::accepted(accept.and_then(|value| value.to_str().ok()));
    let containerizer = api.containerizer.clone();
    let scrape = Scrape {
        snapshot: api.handle.snapshot(),
        conditions: api.conditions.list(clock::now()),
        database_bytes: api.store.size_bytes().ok(),
        start: api.start,
        usage: Box::new(move |run, container| containerizer.usage(run, container)),
    };
    let text = tokio::task::spawn_blocking(move || api.metrics.expose(&scrape, format))
        .await
        .map_err(|error| ApiError::internal("read the metrics", error))?
        .map_err(|error| ApiError::internal("write the metrics", error))?;
    let content: (HeaderName, &str) = (header::CONTENT_TYPE, format.content_type());
    Ok(([content], text))
}

/// Paths that have a name of their own in the metrics, but for those of pods. A trailing slash stands for what may
/// follow.
const ROUTES: [(&str, &str); 16] = [
    ("/v2/deployments", "/v2/deployments"),
    ("/v2/deployments/", "/v2/deployments/{id}"),
    ("/v2/queue", "/v2/queue"),
    ("/v2/queue/", "/v2/queue/{id}/delay"),
    ("/v2/events", "/v2/events"),
    ("/v2/groups", "/v2/groups"),
    ("/v2/groups/", "/v2/groups/{id}"),
    ("/mesos/", "/mesos/"),
    ("/v2/info", "/v2/info"),
    ("/v2/leader", "/v2/leader"),
    ("/v2/images", "/v2/images"),
    ("/v2/openapi.json", "/v2/openapi.json"),
    ("/openapi.json", "/openapi.json"),
    ("/v2/schemas/pod.json", "/v2/schemas/pod.json"),
    ("/metrics", "/metrics"),
    ("/ping", "/ping"),
];

/// The template of a request's path: one of few, whatever was asked for.
pub(super) fn route(path: &str) -> &'static str {
    let path = path.strip_prefix("/service/marathon").unwrap_or(path);
    if path.starts_with("/v2/pods") {
        return PodPath::parse(path).map_or("other", |path| path.template());
    }
    let found = ROUTES
        .iter()
        .find(|(route, _)| *route == path || (route.ends_with('/') && path.starts_with(route)));
    found.map_or("other", |(_, template)| template)
}

/// The method, if it is one that any route has.
pub(super) fn method(method: &Method) -> &'static str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
    ];
    let names = ["GET", "HEAD", "POST", "PUT", "DELETE"];
    let found = known.iter().position(|known| known == method);
    found.map_or("other", |index| names[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_there_are_few_routes_and_methods() {
        let cases = [
            ("/v2/pods", "/v2/pods"),
            (
                "/service/marathon/v2/pods//a/b::status",
                "/v2/pods/{id}::status",
            ),
            ("/v2/pods/a%2Fb", "/v2/pods/{id}"),
            ("/v2/pods/NO", "other"),
            ("/v2/deployments/17", "/v2/deployments/{id}"),
            ("/service/marathon/metrics", "/metrics"),
            ("/metrics/x", "other"),
            ("/service/marathon/v2/openapi.json", "/v2/openapi.json"),
            ("/v2/schemas/pod.json", "/v2/schemas/pod.json"),
            ("/", "other"),
        ];
        for (path, expected) in cases {
            assert_eq!(route(path), expected, "{path}");
        }
        assert_eq!(method(&Method::PUT), "PUT");
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
