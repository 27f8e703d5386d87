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
    routing::{any, delete, get, post},
};
use model::{offer::AgentInfo, pod::Settings};
use runtime::{containerizer::Containerizer, layout::Layout};
use store::Store;

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
    // These wait for something, or take as long as an image is large; they end by themselves.
    let patient = Router::new()
        .route(
            "/v2/deployments/{id}",
            get(deployments::wait).delete(deployments::end),
        )
        .route("/v2/images", get(images::list).post(images::import))
        .route("/v2/events", get(events::stream));
    let (url, counted) = (api.url.clone(), Arc::clone(&api.metrics));
    let paths = Router::new()
        .route("/v2/pods", any(pods::dispatch))
        .route("/v2/pods/", any(pods::dispatch))
        .route("/v2/pods::status", any(pods::dispatch))
        .route("/v2/pods/{*rest}", any(pods::dispatch))
        .route("/v2/deployments", get(deployments::list))
        .route("/v2/groups", any(groups::dispatch))
        .route("/v2/groups/", any(groups::dispatch))
        .route("/v2/groups/{*id}", any(groups::dispatch))
        .route("/v2/queue", get(queue::list))
        .route("/v2/queue/{*rest}", delete(queue::reset_delay))
        .route(
            "/v2/apps",
            get(neighbours::apps)
                .post(neighbours::no_apps)
                .put(neighbours::no_apps),
        )
        .route("/v2/apps/", get(neighbours::apps))
        .route("/v2/apps/{*id}", any(neighbours::app))
        .route("/v2/tasks", get(neighbours::tasks))
        .route("/v2/tasks/delete", post(neighbours::delete_tasks))
        .route("/v2/plugins", get(neighbours::plugins))
        .route("/v2/info", get(info::info))
        .route("/v2/leader", get(info::leader).delete(neighbours::abdicate))
        .route("/metrics", get(metrics::metrics))
        .route("/ping", get(info::ping))
        .route_layer(middleware::from_fn_with_state(
            limits::ANSWER_WITHIN,
            limits::duration,
        ))
        .merge(patient)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Arc::clone(&api));
    let paths = below_both(paths).merge(cluster().with_state(api));
    guard(paths, &url, counted, access)
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
fn cluster() -> Router<Arc<Api>> {
    Router::new()
        .route("/mesos/master/state", get(mesos::state))
        .route("/mesos/master/state.json", get(mesos::state))
        .route("/mesos/state", get(mesos::state))
        .route("/mesos/master/state-summary", get(mesos::summary))
        .route("/mesos/state-summary", get(mesos::summary))
        .route("/mesos/slaves", get(mesos::agents))
        .route("/mesos/master/slaves", get(mesos::agents))
        .route("/mesos_dns/v1/hosts/{name}", get(mesos::hosts))
        .route("/dcos-metadata/dcos-version.json", get(mesos::dcos_version))
        .route(
            "/dcos-metadata/bootstrap-config.json",
            get(mesos::bootstrap_config),
        )
        .route("/system/health/v1", get(mesos::health))
        .route("/metadata", get(mesos::metadata))
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
