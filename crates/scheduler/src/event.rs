//! What goes into the scheduler and what comes out of it.

use std::{sync::Arc, time::Duration};

use model::{
    id::{DeploymentId, InstanceId, PodId, RunId},
    offer::{AgentInfo, Placement},
    pod::PodDefinition,
    pools::Pools,
    record::Record,
    state::Reason,
    task_group::TaskGroup,
    time::Timestamp,
    update::{RunOver, TaskUpdate},
};
use uuid::Uuid;

use crate::{announcement::Announcement, view::InstanceView};

/// What one turn of the loop brings along: the scheduler has neither clock nor randomness of its own.
pub struct Turn<'a> {
    /// The time of the turn. A clock that steps back is taken to stand still.
    pub now: Timestamp,
    /// Makes ids of instances and deployments.
    pub new_uuid: &'a mut dyn FnMut() -> Uuid,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// What is fixed for the scheduler's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This host.
    pub agent: AgentInfo,
    /// All that the agent has, by the role that it is reserved for; an instance that needs more can never fit.
    pub total: Pools,
    /// How many deployments may run at the same time (marathon: `--max_running_deployments`).
    pub max_running_deployments: usize,
    /// How long after its launch a run must have been heard of (marathon: `--task_launch_confirm_timeout`).
    pub launch_confirm_timeout: Duration,
    /// How long until a kill that showed no effect is sent again (marathon: `--kill_retry_timeout`).
    pub kill_retry: Duration,
    /// How many versions of a pod are kept (marathon: `--zk_max_versions`).
    pub max_versions: usize,
    /// Of how many removed pods versions are kept, those removed last.
    pub max_removed_pods: usize,
    /// How many instances one pod may want.
    pub max_instances: u32,
    /// How many runs that ended are remembered for each pod.
    pub max_terminations: usize,
    /// Put before the names of endpoint variables (marathon: `--env_vars_prefix`).
    pub env_vars_prefix: String,
    /// Name under which bridge networks are shown (marathon: `--mesos_bridge_name`).
    pub bridge_name: String,
}

impl Config {
    /// Marathon's defaults for this host.
    pub fn new(agent: AgentInfo, total: impl Into<Pools>) -> Self {
        Self {
            agent,
            total: total.into(),
            max_running_deployments: 100,
            launch_confirm_timeout: Duration::from_secs(300),
            kill_retry: Duration::from_secs(30),
            max_versions: 50,
            max_removed_pods: 200,
            max_instances: 10_000,
            max_terminations: 10,
            env_vars_prefix: String::new(),
            bridge_name: "mesos-bridge".to_owned(),
        }
    }
}

/// A change that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Adds a pod. Denied if the id is in use.
    AddPod {
        /// Normalised and valid; its version is ignored.
        definition: PodDefinition,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Adds or updates a pod. An identical definition changes nothing and makes an empty deployment.
    PutPod {
        /// Normalised and valid; its version is ignored.
        definition: PodDefinition,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Replaces all instances of a pod by new ones of the same definition, as an update does.
    RestartPod {
        /// The pod.
        pod: PodId,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Ends all instances of a pod, then forgets it.
    RemovePod {
        /// The pod.
        pod: PodId,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Removes every pod of a group and of the groups in it; all of them or none.
    RemoveGroup {
        /// The group; none for the root.
        group: Option<PodId>,
        /// Whether deployments in the way are cancelled.
        force: bool,
    },
    /// Forgets the back-offs of a pod, so that what waits is launched at once.
    ResetDelay {
        /// The pod.
        pod: PodId,
    },
    /// Ends the runs of instances, which are launched again at once. Names of unknown instances are ignored
    /// as long as one is known.
    KillInstances {
        /// The pod.
        pod: PodId,
        /// Its instances.
        instances: Vec<InstanceId>,
        /// Whether other instances take the place of these, which are forgotten.
        wipe: bool,
    },
    /// Ends a deployment and leaves everything as it is.
    CancelDeployment {
        /// The deployment.
        deployment: DeploymentId,
    },
    /// Ends a deployment and starts another one that takes back what it changed.
    RollbackDeployment {
        /// The deployment.
        deployment: DeploymentId,
    },
}

/// The answer to a request that was accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accepted {
    /// The deployment that carries it out; an empty one has an id, too.
    pub deployment: Option<DeploymentId>,
    /// The pod as it is defined now.
    pub definition: Option<Arc<PodDefinition>>,
    /// The version: of the pod, or of the deployment where there is no pod any more.
    pub version: Option<Timestamp>,
    /// The instances that [`Request::KillInstances`] found, as they were when it came.
    pub instances: Vec<InstanceView>,
}

/// Why a request was denied. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The id is in use.
    #[error("A pod with id [{pod}] already exists.")]
    PodExists {
        /// The pod.
        pod: PodId,
    },
    /// There is no such pod, or it is being removed.
    #[error("Pod '{pod}' does not exist")]
    PodUnknown {
        /// The pod.
        pod: PodId,
    },
    /// The id would be a group's and a pod's at once.
    #[error("Groups and Pods may not have the same identifier.")]
    GroupExists,
    /// No pod is in the group.
    #[error("Group '{group}' does not exist")]
    GroupUnknown {
        /// The group.
        group: PodId,
    },
    /// None of the named instances is one of the pod's; this is the first.
    #[error("Task '{instance}' does not exist")]
    InstanceUnknown {
        /// The instance.
        instance: InstanceId,
    },
    /// Running deployments lock the pod.
    #[error(
        "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'."
    )]
    Locked {
        /// The deployments.
        deployments: Vec<DeploymentId>,
    },
    /// So many deployments run already.
    #[error(
        "Max number ({max}) of running deployments is achieved. Wait for one to end, or cancel one."
    )]
    TooManyDeployments {
        /// The limit.
        max: usize,
    },
    /// More instances are asked for than one pod may have.
    #[error("got {wanted}, expected {max} or less")]
    TooManyInstances {
        /// What was asked for.
        wanted: u32,
        /// The limit.
        max: u32,
    },
    /// There is no such deployment, or it has ended.
    #[error("DeploymentPlan {deployment} does not exist")]
    DeploymentUnknown {
        /// The deployment.
        deployment: DeploymentId,
    },
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// From an executor's journal. Applied at most once for each run and sequence.
    Update(TaskUpdate),
    /// No process of the run is left and its cgroup is gone. All its updates came before.
    RunOver(RunOver),
    /// Time has passed; also to be sent once after [`crate::Scheduler::restore`].
    Tick,
}

/// What the daemon has to do. Records come first and are committed before anything else is carried out.
///
/// A crash between commit and effect may repeat or lose an effect: launches are repeated by
/// [`crate::Scheduler::task_group`], kills by the first tick, acknowledgements by the executor.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Changes the stored state.
    Record(Record),
    /// The turn's records must survive a power cut before anything else is carried out: a run that must not be
    /// repeated is launched, or the end of one is seen. Any turn that carries a request is stored like that.
    Harden,
    /// Launches a run.
    Launch(Arc<TaskGroup>),
    /// Ends a run. Idempotent.
    Kill {
        /// The run.
        run: RunId,
        /// Why.
        reason: Reason,
        /// Between SIGTERM and SIGKILL; each container's own where none is given.
        grace: Option<Duration>,
    },
    /// The agent takes back what the run held, before offers are exchanged again.
    Release(RunId),
    /// The run's updates up to `sequence` need not be sent again.
    Acknowledge {
        /// The run.
        run: RunId,
        /// The sequence number.
        sequence: u64,
    },
    /// For the log and the event stream.
    Announce(Announcement),
}

/// What the scheduler makes of an offer.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct OfferAnswer {
    /// What to accept the offer with; empty means that it is declined.
    pub launches: Vec<Placement>,
    /// What else to do.
    pub effects: Vec<Effect>,
}
