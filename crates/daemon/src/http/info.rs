//! What the service says of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use agent::accounting::Accounting;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use model::{
    offer::{AgentInfo, Claim},
    state::InstanceStatus,
};
use runtime::prepare::HostRootfs;
use scheduler::status;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Shared, query::Query};
use crate::{clock, conditions::Degraded, snapshot::Snapshot, start::StartDocument};

/// Whether somebody is there.
///
/// For anybody. While the daemon recovers it is there already.
#[utoipa::path(
    get,
    path = "/ping",
    tag = "service",
    operation_id = "ping",
    security(()),
    responses((
        status = 200, description = "`pong`.",
        content((String = "text/plain"), (String = "application/json")),
    )),
)]
pub(super) async fn ping(headers: HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    if accept.contains("application/json") {
        return Json("pong").into_response();
    }
    "pong".into_response()
}

/// Who leads.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Leader {
    /// `host:port`.
    leader: String,
}

/// Who leads: this daemon, always.
#[utoipa::path(
    get,
    path = "/v2/leader",
    tag = "marathon",
    operation_id = "leader",
    responses((status = 200, description = "This daemon.", body = Leader)),
)]
pub(super) async fn leader(State(api): Shared) -> Response {
    let leader = api.leader.clone();
    Json(Leader { leader }).into_response()
}

/// `?monopod=`.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Ours {
    /// Whether what is our own is wanted, too.
    #[param(required = false, default = false)]
    monopod: bool,
}

/// What the service says of itself.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    /// `marathon`.
    name: &'static str,
    /// The version of Marathon whose API this is.
    version: &'static str,
    /// Which monopod it is.
    buildref: &'static str,
    elected: bool,
    /// `host:port`.
    leader: String,
    framework_id: &'static str,
    #[serde(rename = "marathon_config")]
    marathon_config: MarathonConfig,
    #[serde(rename = "zookeeper_config")]
    zookeeper_config: ZookeeperConfig,
    #[serde(rename = "http_config")]
    http_config: HttpConfig,
    /// What is our own, where it is asked for: clients fail on members that Marathon does not have (marathon-python).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    monopod: Option<Box<Monopod>>,
}

/// Settings in Marathon's words; times in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MarathonConfig {
    default_network_name: Option<String>,
    mesos_bridge_name: String,
    features: BTreeSet<String>,
    env_vars_prefix: Option<String>,
    mesos_role: String,
    task_launch_confirm_timeout: u64,
    task_launch_timeout: u64,
    decline_offer_duration: u64,
    hostname: String,
    framework_name: &'static str,
    new_group_enforce_role: &'static str,
}

/// Empty: there is no ZooKeeper.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ZookeeperConfig {}

/// Where the API is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HttpConfig {
    /// The port, as a text.
    http_port: Option<String>,
}

/// What is our own.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Monopod {
    version: &'static str,
    /// The revision of the source, where the builder named it.
    revision: Option<&'static str>,
    pid: u32,
    /// The version of what daemon and executors speak.
    protocol: u32,
    url: String,
    /// All addresses that TCP listens on.
    listen: String,
    #[schema(value_type = String)]
    state_dir: PathBuf,
    #[schema(value_type = String)]
    run_dir: PathBuf,
    cgroup_parent: String,
    /// How cgroups are mounted.
    cgroup_mode: String,
    /// The controllers in use, with spaces between.
    cgroup_controllers: String,
    kernel: String,
    boot_id: Option<String>,
    start: StartDocument,
    uptime_seconds: u64,
    pods: usize,
    /// How many instances are in each status.
    instances: BTreeMap<&'static str, usize>,
    database_bytes: Option<u64>,
    #[schema(value_type = String)]
    host_rootfs: HostRootfs,
    agent: AgentInfo,
    /// What this host has.
    total: Amounts,
    /// What is neither held nor offered.
    free: Amounts,
    /// What is reserved, by role.
    reserved: BTreeMap<String, Amounts>,
    /// What is held beyond what there is.
    over_committed: Amounts,
    /// What is wrong right now.
    conditions: Vec<Degraded>,
    commits: Commits,
}

/// Amounts, for people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Amounts {
    resources: String,
    ports: String,
}

impl From<&Claim> for Amounts {
    fn from(claim: &Claim) -> Self {
        Self {
            resources: claim.resources.to_string(),
            ports: claim.ports.to_string(),
        }
    }
}

/// How often was stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Commits {
    /// Lasting even if the power fails.
    durable: u64,
    /// Lasting even if the daemon dies.
    normal: u64,
}

/// What the service says of itself (marathon: `api/v2/InfoResource.scala`).
#[utoipa::path(
    get,
    path = "/v2/info",
    tag = "service",
    operation_id = "info",
    params(Ours),
    responses((status = 200, description = "In Marathon's words.", body = Info)),
)]
pub(super) async fn info(State(api): Shared, Query(ours): Query<Ours>) -> Response {
    let monopod = match ours.monopod {
        true => Some(Box::new(own(&api).await)),
        false => None,
    };
    Json(Info {
        name: "marathon",
        version: "1.11.0",
        buildref: concat!("monopod-", env!("CARGO_PKG_VERSION")),
        elected: true,
        leader: api.leader.clone(),
        framework_id: "monopod",
        marathon_config: marathon_config(&api),
        zookeeper_config: ZookeeperConfig {},
        http_config: HttpConfig {
            http_port: api.leader.rsplit(':').next().map(str::to_owned),
        },
        monopod,
    })
    .into_response()
}

fn marathon_config(api: &Api) -> MarathonConfig {
    let marathon = &api.config.marathon;
    let confirm_timeout_ms = u64::from(marathon.task_launch_confirm_timeout_seconds) * 1000;
    MarathonConfig {
        default_network_name: marathon.default_network_name.clone(),
        mesos_bridge_name: marathon.mesos_bridge_name.clone(),
        features: marathon.enable_features.clone(),
        env_vars_prefix: marathon.env_vars_prefix.clone(),
        mesos_role: marathon.mesos_role.clone(),
        task_launch_confirm_timeout: confirm_timeout_ms,
        task_launch_timeout: confirm_timeout_ms,
        decline_offer_duration: 120_000,
        hostname: api.agent.hostname.clone(),
        framework_name: "marathon",
        new_group_enforce_role: "off",
    }
}

async fn own(api: &Api) -> Monopod {
    let snapshot = api.handle.snapshot();
    let accounting = &snapshot.accounting;
    let commits = api.store.counters().await;
    Monopod {
        version: env!("CARGO_PKG_VERSION"),
        revision: crate::REVISION,
        pid: std::process::id(),
        protocol: runtime::launch::PROTOCOL_VERSION,
        url: api.url.clone(),
        listen: api.listen.clone(),
        state_dir: api.config.state_dir.clone(),
        run_dir: api.config.run_dir.clone(),
        cgroup_parent: api.containerizer.cgroup_parent().to_owned(),
        cgroup_mode: api.cgroup_mode.clone(),
        cgroup_controllers: api.containerizer.cgroup_controllers().join(" "),
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        boot_id: boot_id(),
        start: api.start.document(),
        uptime_seconds: clock::now().since(api.start.ready_at).as_secs(),
        pods: snapshot.pods.len(),
        instances: instances(&snapshot),
        database_bytes: api.store.size_bytes().ok(),
        host_rootfs: api.config.runtime.host_rootfs,
        agent: api.agent.clone(),
        total: Amounts::from(&accounting.total),
        free: Amounts::from(&accounting.free),
        reserved: reserved(accounting),
        over_committed: Amounts::from(&accounting.over_committed),
        conditions: api.conditions.list(clock::now()),
        commits: Commits {
            durable: commits.full_commits,
            normal: commits.normal_commits,
        },
    }
}

/// How many instances are in each status.
fn instances(snapshot: &Snapshot) -> BTreeMap<&'static str, usize> {
    let mut counts: BTreeMap<_, _> = InstanceStatus::ALL
        .iter()
        .map(|status| (status.as_str(), 0))
        .collect();
    for instance in snapshot.pods.values().flat_map(|pod| &pod.instances) {
        let status = status::instance_kind(instance).as_str();
        *counts.entry(status).or_default() += 1;
    }
    counts
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn reserved(accounting: &Accounting) -> BTreeMap<String, Amounts> {
    let reserved = accounting.reserved.iter();
    reserved
        .map(|(role, claim)| (role.clone(), Amounts::from(claim)))
        .collect()
}
