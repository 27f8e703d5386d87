//! What this API is, for programs: an OpenAPI document made of the handlers and of the types that they read and write,
//! and the schema of pod definitions.

pub(super) mod answers;
pub(super) mod parameters;

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    OpenApi as _,
    openapi::{
        OpenApi, PathItem, Server,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{error::ErrorBody, pods, queue};
use crate::events::Frame;

/// What Marathon's clients send below, too.
const MARATHON: &str = "/service/marathon";

/// What the router cannot tell: paths with ids inside, which may have slashes and so are taken apart by the handlers.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "monopod",
        description = "Marathon's API for pods, for one host. Over TCP every request but `/ping` needs a token; on the \
                       Unix socket the kernel tells who calls."
    ),
    tags(
        (name = "pods", description = "Pods, their status, versions, instances and logs."),
        (name = "deployments", description = "Changes that are being carried out, and what waits."),
        (name = "service", description = "The daemon itself."),
        (name = "images", description = "What can be run without a registry."),
        (name = "marathon", description = "What else Marathon's clients ask for; there are no apps."),
        (name = "cluster", description = "What DC/OS clients ask of Mesos and of the cluster."),
    ),
    paths(
        pods::head_all,
        pods::list,
        pods::add,
        pods::head_one,
        pods::get,
        pods::put,
        pods::remove,
        pods::restart,
        pods::plan::make,
        pods::all_status,
        pods::pod_status,
        pods::versions::list,
        pods::versions::get,
        pods::instances::kill_some,
        pods::instances::kill_one,
        super::logs::read,
        super::groups::group,
        super::groups::remove_group,
        super::groups::change_group,
        super::neighbours::app,
        queue::reset_delay,
    ),
    components(schemas(ErrorBody, Frame)),
    security(("bearer" = []), ("token" = [])),
)]
struct WithIds;

/// The document: every path, what it takes, and all that it may answer.
pub fn document() -> OpenApi {
    let mut document = WithIds::openapi();
    document.merge(super::paths().into_openapi());
    let mut cluster = super::cluster().into_openapi();
    for item in cluster.paths.paths.values_mut() {
        item.servers = Some(vec![Server::new("/")]);
    }
    document.merge(cluster);
    document.servers = Some(vec![Server::new("/"), Server::new(MARATHON)]);
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    for item in document.paths.paths.values_mut() {
        operations(item).for_each(|(_, operation)| answers::complete(operation));
        tell_apart(item);
    }
    if let Some(components) = &mut document.components {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let token =
            ApiKeyValue::with_description("Authorization", "`token=TOKEN`, as DC/OS has it.");
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(token)));
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let operations = [
        ("Get", &mut item.get),
        ("Head", &mut item.head),
        ("Post", &mut item.post),
        ("Put", &mut item.put),
        ("Patch", &mut item.patch),
        ("Delete", &mut item.delete),
    ];
    operations
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Names the method in the ids of operations that one handler serves by several.
fn tell_apart(item: &mut PathItem) {
    let mut seen = BTreeSet::new();
    let ids = operations(item).filter_map(|(_, operation)| operation.operation_id.clone());
    let shared: BTreeSet<_> = ids.filter(|id| !seen.insert(id.clone())).collect();
    for (method, operation) in operations(item) {
        if let Some(id) = &mut operation.operation_id
            && shared.contains(id)
        {
            id.push_str("By");
            id.push_str(method);
        }
    }
}

/// The OpenAPI document.
#[utoipa::path(
    get,
    path = "/v2/openapi.json",
    tag = "service",
    operation_id = "openApi",
    responses((status = 200, description = "This document.", body = Object)),
)]
pub(super) async fn openapi() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| serde_json::json!(document()).to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}

/// The OpenAPI document, where many look for it.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "service",
    operation_id = "openApiAtRoot",
    responses((status = 200, description = "This document.", body = Object)),
)]
pub(super) async fn openapi_at_root() -> Response {
    openapi().await
}

/// The JSON Schema of a pod definition, for editors.
#[utoipa::path(
    get,
    path = "/v2/schemas/pod.json",
    tag = "service",
    operation_id = "podSchema",
    responses((
        status = 200, description = "The schema, draft 2020-12.", body = Object, content_type = "application/schema+json",
    )),
)]
pub(super) async fn pod_schema() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| model::pod::definition_schema().to_string());
    (
        [(header::CONTENT_TYPE, "application/schema+json")],
        TEXT.as_str(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::path::PodPath;

    fn paths() -> serde_json::Map<String, Value> {
        json!(document())["paths"].as_object().unwrap().clone()
    }

    /// The methods of a path, as `Allow` names them.
    fn methods(item: &Value) -> String {
        let names = item.as_object().unwrap().keys();
        let mut names: Vec<_> = names
            .filter(|name| *name != "servers")
            .map(|name| name.to_uppercase())
            .collect();
        names.sort();
        names.join(", ")
    }

    #[test]
    fn what_takes_its_path_apart_is_described_and_nothing_else_of_it() {
        let paths = paths();
        let mut described: BTreeSet<_> = crate::http::with_ids()
            .into_iter()
            .map(|(_, _, template)| template)
            .collect();
        for template in &described {
            assert!(paths.contains_key(*template), "{template}");
        }
        // Every form that a pod's path has, and what may be done with it.
        let forms = [
            "/v2/pods",
            "/v2/pods/::status",
            "/v2/pods/a",
            "/v2/pods/a::status",
            "/v2/pods/a::versions",
            "/v2/pods/a::versions/2024-05-01T10:00:00.123Z",
            "/v2/pods/a::instances",
            "/v2/pods/a::instances/i",
            "/v2/pods/a::logs",
            "/v2/pods/a::restart",
            "/v2/pods/::plan",
        ];
        for form in forms {
            let path = PodPath::parse(form).unwrap();
            let item = &paths[path.template()];
            let mut allowed = path.methods().to_owned();
            // That whatever can be read can be looked at without its body goes without saying.
            if item.get("head").is_none() {
                allowed = allowed.replace(", HEAD", "");
            }
            assert_eq!(methods(item), allowed, "{form}");
            described.insert(path.template());
        }
        let of_router: Vec<_> = [super::super::paths(), super::super::cluster()]
            .into_iter()
            .flat_map(|router| router.into_openapi().paths.paths.into_keys())
            .collect();
        for path in paths.keys() {
            assert!(
                described.contains(path.as_str()) || of_router.contains(path),
                "{path} is described and not there"
            );
        }
    }

    #[test]
    fn operations_are_told_apart_and_references_lead_somewhere() {
        let document = json!(document());
        let mut ids = BTreeSet::new();
        for (path, item) in paths() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(id) = operation.get("operationId") else {
                    assert_eq!(method, "servers", "{path}");
                    continue;
                };
                assert!(ids.insert(id.to_string()), "{id} of {method} {path}");
            }
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"").skip(1) {
            let reference = reference.split('"').next().unwrap();
            let target = document.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn only_ping_needs_no_credentials() {
        for (path, item) in paths() {
            for (method, operation) in item.as_object().unwrap() {
                let open = operation.get("security") == Some(&json!([{}]));
                assert_eq!(open, path == "/ping", "{method} {path}");
            }
        }
    }
}
