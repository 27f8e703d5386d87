//! The life of the daemon: start, recovery, work, graceful stop.

mod reception;

use std::{path::Path, sync::Arc, time::Duration};

use agent::{
    allocator::Agent,
    attributes, change,
    detection::{self, Readings},
    stated::Stated,
};
use anyhow::Context as _;
use model::{
    offer::{AgentInfo, Claim},
    pod::{Feature, Settings},
    pools::Pools,
    record::Saved,
};
use runtime::{
    containerizer::{self, Containerizer},
    launch::LogLimits,
    layout::Layout,
};
use rustix::process::{Resource, Rlimit};
use scheduler::Scheduler;
use sd_notify::NotifyState;
use store::{Setting, Store};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use self::reception::Reception;
use crate::{
    clock,
    conditions::Conditions,
    config::{CONFIG_DIR, Config},
    event_loop::{EventLoop, Ids, Restore, chain},
    events::EventBus,
    executors::linux::LinuxExecutors,
    handle::Handle,
    http::{self, Api},
    metrics::{Metrics, Recorder},
    recovery,
    snapshot::{Publisher, Snapshot},
    start::Start,
    systemd,
    tokens::Tokens,
};

/// An offer that the scheduler has not answered after this time is taken back. Answers come within a turn of
/// the loop, so this ends nothing but a defect.
const OFFER_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the size of the database's log is looked at.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// How long the start waits for the ends of runs that are over, so that nobody is told that they run.
const CONCLUSION_PATIENCE: Duration = Duration::from_secs(2);

/// How long open requests may take to end once the daemon was asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Runs the service until SIGTERM or SIGINT. Pods go on running.
///
/// # Errors
/// Whatever keeps the daemon from starting, with what the user can do.
pub async fn run(mut config: Config) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    config.check()?;
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "the daemon makes namespaces, mounts and cgroups: start it as root"
    );
    raise_descriptor_limit();
    systemd::check_unit()?;
    config.cgroup_parent = Some(systemd::cgroup_parent(&config)?);
    let layout = Layout {
        state_dir: config.state_dir.clone(),
        run_dir: config.run_dir.clone(),
    };
    let containerizer = Arc::new(open_containerizer(&config, &layout).await?);
    let layout = containerizer.layout().clone();
    let database = config.state_dir.join("monopod.db");
    let store = Store::open(&database)
        .await
        .context("open the database; pods go on running")?;
    let store = Arc::new(store);
    let tokens = Tokens::open(&config.state_dir)?;
    let agent_info = agent_info(&config, &store).await?;
    let (conditions, metrics) = (Conditions::default(), Arc::new(Metrics::default()));
    clock::tell(&conditions);

    // Callers are heard from here on, and told to wait until recovery is over.
    let reception = Reception::open(&config, &agent_info, tokens, Arc::clone(&metrics)).await?;

    let boots = recovery::Boots::read(&store).await?;
    let total = known_total(&config, &store).await?;
    let restore = restore(&config, &agent_info, total);
    let saved = store.load().await.context(
        "read the stored state; pods go on running. Restore the database from a backup, or move it away to begin with nothing",
    )?;
    let (mut scheduler, agent) = restore(saved)?;
    info!(total = %agent.total().resources, "this host's resources");
    let accounting = agent.accounting();
    if accounting.over_committed != Claim::default() {
        warn!(
            over_committed = %accounting.over_committed.resources,
            ports = %accounting.over_committed.ports,
            "pods hold more than this host has now; they go on, and nothing of it is offered until enough of them ended"
        );
    }

    recovery::settle(&scheduler, &containerizer, &store).await?;
    systemd::tell(&[NotifyState::Status("Looking for running pods")]);
    let (handle, messages, publisher) = Handle::new(Snapshot::of(&mut scheduler, &agent));
    let (watched, awaited) = (handle.clone(), handle.clone());
    let executors = LinuxExecutors::new(
        Arc::clone(&containerizer),
        handle.clone(),
        Arc::clone(&metrics),
        config.collection.policy(),
        conditions.clone(),
    );
    let open = scheduler.open_runs().len();
    let recovery = recovery::Recovery {
        scheduler: &scheduler,
        containerizer: &containerizer,
        executors: &executors,
        rebooted: boots.differ(),
    };
    let first = recovery.recover()?;
    recovery::sweep(&scheduler, &containerizer, &executors).await?;

    let events = EventBus::new(agent_info.clone(), reception.finish.clone());
    let api = Arc::new(Api {
        handle,
        store: Arc::clone(&store),
        cgroup_mode: containerizer.cgroup_mode().as_str().to_owned(),
        containerizer,
        layout,
        settings: settings(&config),
        agent: agent_info,
        conditions: conditions.clone(),
        leader: reception.leader,
        url: reception.url.clone(),
        listen: reception.listen.clone(),
        metrics: Arc::clone(&metrics),
        events: events.clone(),
        start: Start {
            ready_at: clock::now(),
            duration: started.elapsed(),
            rebooted: boots.differ(),
            alive: executors.adopted(),
            over: open.saturating_sub(executors.adopted()),
        },
        config,
    });
    let router = http::router(api, reception.access);

    let mut event_loop = EventLoop {
        scheduler,
        agent,
        store: Arc::clone(&store),
        executors: Arc::new(executors.clone()),
        clock: Box::new(clock::now),
        ids: ids(),
        restore,
        messages,
        publisher: Publisher(publisher),
        retry: first,
        recorder: Recorder::new(metrics),
        trouble: None,
        conditions,
        events,
    };
    event_loop.turn(Vec::new()).await;
    if event_loop.retry.is_empty() {
        boots.remember(&store).await?;
    }
    let watchdog = tokio::spawn(systemd::feed_watchdog(watched));
    let checkpoints = tokio::spawn(checkpoint(Arc::clone(&store)));
    let stop_loop = CancellationToken::new();
    let looping = tokio::spawn(event_loop.run(stop_loop.clone()));
    let concluded = tokio::time::timeout(CONCLUSION_PATIENCE, executors.concluded());
    if concluded.await.is_ok() {
        awaited.turned().await;
    }
    reception.entrance.open(router);
    let (url, listen, socket) = (reception.url, reception.listen, reception.socket.display());
    let duration_ms = started.elapsed().as_millis();
    info!(url, listen, %socket, duration_ms, "ready");
    let status = format!("Ready; listens on {socket} and {listen}");
    systemd::tell(&[NotifyState::Ready, NotifyState::Status(&status)]);

    let result = until_stopped(reception.serving, reception.finish).await;
    stop_loop.cancel();
    looping.await.context("wait for the loop to end")?;
    checkpoints.abort();
    watchdog.abort();
    store.close().await.context("close the database")?;
    info!("stopped; pods go on running");
    result
}

/// Serves until a signal; a second signal ends it at once.
async fn until_stopped(
    mut serving: tokio::task::JoinHandle<anyhow::Result<()>>,
    finish: CancellationToken,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut serving => return ended.context("serve the API")?,
    }
    info!("asked to stop");
    systemd::tell(&[NotifyState::Stopping]);
    finish.cancel();
    tokio::select! {
        ended = &mut serving => ended.context("serve the API")?,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        () = tokio::time::sleep(STOP_WITHIN) => {
            warn!("some requests did not end in time");
            Ok(())
        }
    }
}

async fn open_containerizer(config: &Config, layout: &Layout) -> anyhow::Result<Containerizer> {
    let settings = containerizer_config(config, layout);
    tokio::task::spawn_blocking(move || Containerizer::open(settings))
        .await?
        .context("prepare this host for containers")
}

fn containerizer_config(config: &Config, layout: &Layout) -> containerizer::Config {
    let runtime = &config.runtime;
    let parent = config.cgroup_parent.clone().unwrap_or_default();
    containerizer::Config {
        host_rootfs: runtime.host_rootfs,
        covered: vec![CONFIG_DIR.into()],
        logs: LogLimits {
            file_bytes: u64::from(runtime.log_file_mib) << 20,
            rotated_files: runtime.log_rotated_files,
        },
        cpu_quota: runtime.cpu_quota,
        pids_limit: runtime.pids_limit,
        create_timeout: Duration::from_secs(runtime.create_timeout_seconds.into()),
        ..containerizer::Config::new(layout.clone(), parent)
    }
}

/// What definitions are completed and validated with.
fn settings(config: &Config) -> Settings {
    let marathon = &config.marathon;
    let known = [("secrets", Feature::Secrets)];
    let enabled = known
        .into_iter()
        .filter(|(name, _)| marathon.enable_features.contains(*name));
    Settings {
        default_network_name: marathon.default_network_name.clone(),
        default_role: marathon.mesos_role.clone(),
        features: enabled.map(|(_, feature)| feature).collect(),
        bridge_name: marathon.mesos_bridge_name.clone(),
    }
}

/// The host's total, remembered so that the next start can tell what changed.
async fn known_total(config: &Config, store: &Store) -> anyhow::Result<Pools> {
    let (detected, stated) = total(config)?;
    let before = store.setting(Setting::DetectedTotal).await?;
    // One that cannot be read is as good as none: it only serves to tell what changed.
    let before: Option<Claim> = before.and_then(|text| serde_json::from_str(&text).ok());
    let total = change::settle(detected, before.as_ref(), &stated);
    for change in before
        .iter()
        .flat_map(|before| change::differences(before, &total))
    {
        info!(change, "this host's resources changed since the last start");
    }
    if before.as_ref() != Some(&total) {
        let text = serde_json::to_string(&total).context("write down this host's resources")?;
        store.put_setting(Setting::DetectedTotal, &text).await?;
    }
    let reserved = stated.reserved();
    for (role, claim) in &reserved {
        info!(role, resources = %claim.resources, ports = %claim.ports, "reserved for a role");
    }
    Ok(Pools::new(total, reserved))
}

/// What the agent has: as configured, and detected where nothing is configured.
fn total(config: &Config) -> anyhow::Result<(Claim, Stated)> {
    let text = config.agent.resources.as_deref().unwrap_or_default();
    let mut stated: Stated = text.parse().context("understand agent.resources")?;
    if let Some(range) = &config.agent.port_range {
        let ports: Stated = format!("ports:[{range}]")
            .parse()
            .context("understand agent.port_range")?;
        stated.unreserved.ports = ports.unreserved.ports;
    }
    let memory = rustix::system::sysinfo();
    let readings = Readings {
        online_cpus: std::thread::available_parallelism()
            .ok()
            .and_then(|count| u32::try_from(count.get()).ok()),
        mem_total_bytes: memory.totalram.checked_mul(memory.mem_unit.into()),
        disk_total_bytes: disk_total(&config.state_dir),
    };
    Ok((detection::detect(&readings, &stated), stated))
}

async fn agent_info(config: &Config, store: &Store) -> anyhow::Result<AgentInfo> {
    let hostname = match &config.agent.hostname {
        Some(hostname) => hostname.clone(),
        None => rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    };
    let proposed = format!("{}-S0", Uuid::new_v4());
    let id = store
        .agent_id(&proposed)
        .await
        .context("read the agent's id")?;
    let attributes = match &config.agent.attributes {
        Some(text) => attributes::parse(text).context("understand agent.attributes")?,
        None => Default::default(),
    };
    Ok(AgentInfo {
        id,
        hostname,
        attributes,
    })
}

fn restore(config: &Config, agent: &AgentInfo, total: Pools) -> Restore {
    let marathon = &config.marathon;
    let scheduler_config = scheduler::Config {
        max_running_deployments: marathon.max_running_deployments as usize,
        launch_confirm_timeout: Duration::from_secs(
            marathon.task_launch_confirm_timeout_seconds.into(),
        ),
        max_versions: marathon.max_versions as usize,
        env_vars_prefix: marathon.env_vars_prefix.clone().unwrap_or_default(),
        bridge_name: marathon.mesos_bridge_name.clone(),
        ..scheduler::Config::new(agent.clone(), total.clone())
    };
    Box::new(move |saved: Saved| {
        let scheduler = Scheduler::restore(scheduler_config.clone(), saved)
            .context("understand the stored state")?;
        let mut agent = Agent::new(total.clone(), OFFER_TIMEOUT);
        agent.recover(&scheduler.open_runs());
        Ok((scheduler, agent))
    })
}

/// Ids of instances and deployments: time-based, as Marathon's, with a node of this daemon's own.
fn ids() -> Ids {
    let node = Uuid::new_v4().into_bytes();
    let node: [u8; 6] = [node[0] | 1, node[1], node[2], node[3], node[4], node[5]];
    Box::new(move || Uuid::now_v1(&node))
}

/// Every executor takes a pidfd and a connection: as many descriptors as the hard limit allows. Executors set a limit
/// of their own.
fn raise_descriptor_limit() {
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: hard,
        maximum: hard,
    };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, limit) {
        warn!(%error, "failed to raise the limit of open files");
    }
}

fn disk_total(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    stat.f_blocks.checked_mul(stat.f_frsize)
}

/// Moves the write-ahead log into the database when it has grown, off the path of commits.
async fn checkpoint(store: Arc<Store>) {
    let mut due = tokio::time::interval(CHECKPOINT_INTERVAL);
    loop {
        due.tick().await;
        match store.wal_size_bytes() {
            Ok(bytes) if bytes > store::WAL_LIMIT_BYTES => {
                if let Err(error) = store.checkpoint().await {
                    warn!(
                        error = chain(&error),
                        "failed to move the log into the database"
                    );
                }
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "failed to look at the database's log"),
        }
    }
}
