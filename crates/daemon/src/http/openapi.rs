//! What this API is, for programs: an OpenAPI document made of the handlers and of the types that they read and write,
//! and the schema of pod definitions.

pub(super) mod answers;
pub(super) mod parameters;

use std::sync::LazyLock;

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
        operations(item).for_each(answers::complete);
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

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let operations = [
        &mut item.get,
        &mut item.head,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ];
    operations.into_iter().flatten()
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
