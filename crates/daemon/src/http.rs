//! The HTTP interface: Marathon's paths, and the few of our own.
//!
//! Handlers convert and delegate: a change goes through the [`Handle`] to the loop, a read comes from the last
//! snapshot. The router is built by [`router`], which tests call in process.

pub mod access;
mod body;
mod deployments;
pub(crate) mod entrance;
mod error;
mod events;
mod groups;
mod images;
mod info;
mod limits;
mod logs;
mod mesos;
mod metrics;
mod neighbours;
pub mod openapi;
mod path;
mod pods;
mod query;
mod queue;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, delete, get},
};
use model::{offer::AgentInfo, pod::Settings};
use runtime::{containerizer::Containerizer, layout::Layout};
use store::Store;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{access::Access, error::ApiError};
use crate::{
    conditions::Conditions, config::Config, events::EventBus, handle::Handle, metrics::Metrics,
    start::Start,
};

/// What handlers work with.
#[derive(Debug)]
pub struct Api {
    /// The way to the loop.
    pub handle: Handle,
    /// History.
    pub store: Arc<Store>,
    /// Has the images.
    pub containerizer: Arc<Containerizer>,
    /// Directories, for logs.
    pub layout: Layout,
    /// The configuration in force.
    pub config: Config,
    /// What definitions are completed and validated with.
    pub settings: Settings,
    /// This host.
    pub agent: AgentInfo,
    /// How cgroups are mounted on this host, for people.
    pub cgroup_mode: String,
    /// `host:port` under which TCP can be called.
    pub leader: String,
    /// What is wrong right now.
    pub conditions: Conditions,
    /// The same as a URL.
    pub url: String,
    /// All addresses that TCP listens on, for people.
    pub listen: String,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The event stream.
    pub(crate) events: EventBus,
    /// How this life of the daemon began.
    pub start: Start,
}

/// What axum hands to handlers.
pub(crate) type Shared = axum::extract::State<Arc<Api>>;

/// Every path, for both listeners, under `/` and under `/service/marathon/`.
pub fn router(api: Arc<Api>, access: Arc<Access>) -> Router {
    let (url, counted) = (api.url.clone(), Arc::clone(&api.metrics));
    let paths = Router::from(paths())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(&api));
    let cluster = Router::from(cluster())
        .method_not_allowed_fallback(wrong_method)
        .with_state(api);
    guard(below_both(paths).merge(cluster), &url, counted, access)
}

/// Marathon's paths and our own. What is documented where the handler is gets its path and methods from there; what
/// takes its path apart by itself is documented in [`openapi`].
fn paths() -> OpenApiRouter<Arc<Api>> {
    // These wait for something, or take as long as an image is large; they end by themselves.
    let patient = OpenApiRouter::new()
        .routes(routes!(deployments::wait, deployments::end))
        .routes(routes!(images::list, images::import))
        .routes(routes!(events::stream));
    with_ids()
        .into_iter()
        .fold(OpenApiRouter::new(), |router, (path, handlers, _)| {
            router.route(path, handlers)
        })
        .routes(routes!(deployments::list))
        .routes(routes!(
            groups::root,
            groups::remove_root,
            groups::change_root
        ))
        .routes(routes!(queue::list))
        .routes(routes!(neighbours::apps, neighbours::no_apps))
        .routes(routes!(neighbours::tasks))
        .routes(routes!(neighbours::delete_tasks))
        .routes(routes!(neighbours::plugins))
        .routes(routes!(info::info))
        .routes(routes!(info::leader, neighbours::abdicate))
        .routes(routes!(openapi::openapi))
        .routes(routes!(openapi::openapi_at_root))
        .routes(routes!(openapi::pod_schema))
        .routes(routes!(metrics::metrics))
        .routes(routes!(info::ping))
        .route_layer(middleware::from_fn_with_state(
            limits::ANSWER_WITHIN,
            limits::duration,
        ))
        .merge(patient)
}

/// Paths with ids inside, whose slashes need not be encoded; other ways to write a path; and as what each is documented.
fn with_ids() -> Vec<(&'static str, MethodRouter<Arc<Api>>, &'static str)> {
    let group = || {
        get(groups::group)
            .delete(groups::remove_group)
            .post(groups::change_group)
            .put(groups::change_group)
    };
    let app = get(neighbours::app)
        .post(neighbours::app)
        .put(neighbours::app)
        .patch(neighbours::app)
        .delete(neighbours::app);
    vec![
        ("/v2/pods", any(pods::dispatch), "/v2/pods"),
        ("/v2/pods/", any(pods::dispatch), "/v2/pods"),
        ("/v2/pods::status", any(pods::dispatch), "/v2/pods/::status"),
        ("/v2/pods/{*rest}", any(pods::dispatch), "/v2/pods/{id}"),
        ("/v2/groups/", group(), "/v2/groups"),
        ("/v2/groups/{*id}", group(), "/v2/groups/{id}"),
        (
            "/v2/queue/{*rest}",
            delete(queue::reset_delay),
            "/v2/queue/{id}/delay",
        ),
        ("/v2/apps/", get(neighbours::apps), "/v2/apps"),
        ("/v2/apps/{*id}", app, "/v2/apps/{id}"),
    ]
}

/// The paths under `/` and under `/service/marathon/`.
fn below_both(paths: Router) -> Router {
    Router::new()
        .nest("/service/marathon", paths.clone())
        .merge(paths)
}

/// Puts before the paths what each request passes: who may come in, how large it may be, what every answer carries.
fn guard(paths: Router, url: &str, counted: Arc<Metrics>, access: Arc<Access>) -> Router {
    let leader = HeaderValue::from_str(url).unwrap_or(HeaderValue::from_static("http://localhost"));
    paths
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(limits::body))
        .layer(middleware::from_fn_with_state(access, access::check))
        .layer(middleware::from_fn(move |request, next| {
            answer(leader.clone(), Arc::clone(&counted), request, next)
        }))
}

/// The paths that DC/OS has beside Marathon's.
fn cluster() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(mesos::state))
        .routes(routes!(mesos::state_json))
        .routes(routes!(mesos::state_at_root))
        .routes(routes!(mesos::summary))
        .routes(routes!(mesos::summary_at_root))
        .routes(routes!(mesos::agents_at_root))
        .routes(routes!(mesos::agents))
        .routes(routes!(mesos::hosts))
        .routes(routes!(mesos::dcos_version))
        .routes(routes!(mesos::bootstrap_config))
        .routes(routes!(mesos::health))
        .routes(routes!(mesos::metadata))
        .route_layer(middleware::from_fn_with_state(
            limits::ANSWER_WITHIN,
            limits::duration,
        ))
}

async fn unknown(request: Request) -> ApiError {
    ApiError::RouteUnknown {
        path: request.uri().path().to_owned(),
    }
}

async fn wrong_method(request: Request) -> ApiError {
    ApiError::MethodNotAllowed {
        method: request.method().to_string(),
        allowed: None,
    }
}

/// Adds what every answer carries, and notes each request for whoever debugs; changes have their audit lines.
async fn answer(
    leader: HeaderValue,
    counted: Arc<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let started = std::time::Instant::now();
    let (route, verb) = (
        metrics::route(request.uri().path()),
        metrics::method(request.method()),
    );
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await.into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
        (header::PRAGMA, "no-cache"),
        (header::EXPIRES, "0"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_XSS_PROTECTION, "1; mode=block"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-marathon-leader", leader);
    counted.answered(route, verb, response.status().as_u16(), started.elapsed());
    let (status, duration_ms) = (response.status().as_u16(), started.elapsed().as_millis());
    tracing::debug!(%method, path, status, duration_ms, "answered");
    response
}
