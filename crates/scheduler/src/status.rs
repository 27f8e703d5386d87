//! Documents for readers, made from views alone (marathon: `src/main/scala/mesosphere/marathon/raml/PodStatusConversion.scala`).

mod queue;
mod work;

use std::collections::BTreeMap;

use model::{
    id::task_id,
    pod::{Container, Endpoint, NetworkMode, PodDefinition, Probe},
    record::{TaskRecord, TerminatedContainer, TerminationRecord},
    resources::Resources,
    state::{Condition, Goal, InstanceStatus, PodStatusKind, Reason, TaskState},
    status::{
        ContainerStatus, ContainerTermination, ContainerTerminationHistory, EndpointStatus,
        NetworkStatus, PodInstanceStatus, PodStatus, StatusCondition, TerminationHistory,
    },
    time::Timestamp,
    update::ExitStatus,
};

pub use self::{
    queue::{queue_item, unused_offers},
    work::{deployment_document, instance_document, plan_document},
};
use crate::{InstanceView, PodView, WaitReason};

/// The pod's status document as asked at `now`. Instances that were never launched are told about in its
/// message only.
pub fn pod_status(view: &PodView, now: Timestamp) -> PodStatus {
    let instances: Vec<_> = view
        .instances
        .iter()
        .filter(|instance| instance.record.incarnation > 0)
        .map(|instance| instance_status(view, instance))
        .collect();
    let since = instances
        .iter()
        .map(|instance| instance.status_since)
        .max()
        .unwrap_or(now);
    PodStatus {
        id: view.record.id.clone(),
        spec: view.definition.clone(),
        status: status_kind(view),
        status_since: since,
        message: waiting_message(view),
        instances,
        termination_history: view.terminations.iter().rev().map(termination).collect(),
        last_updated: now,
        last_changed: since,
    }
}

/// The pod's status: terminal while it is being removed and once none of its instances is ever launched again; stable
/// while enough instances are, or have finished.
pub fn status_kind(view: &PodView) -> PodStatusKind {
    if view.record.removing {
        return PodStatusKind::Terminal;
    }
    let wanted = usize::try_from(view.definition.scaling.instances()).unwrap_or(usize::MAX);
    let over = view.instances.iter().filter(|one| one.is_over()).count();
    if wanted > 0 && over >= wanted && over == view.instances.len() {
        return PodStatusKind::Terminal;
    }
    let is_well = |instance: &&InstanceView| {
        instance_status_kind(instance).0 == InstanceStatus::Stable
            || (instance.is_over() && instance.record.condition == Condition::Finished)
    };
    if view.instances.iter().filter(is_well).count() >= wanted {
        PodStatusKind::Stable
    } else {
        PodStatusKind::Degraded
    }
}

/// Why instances wait and how their last runs ended, each once with the number of instances; none if none waits
/// for long.
pub fn waiting_message(view: &PodView) -> Option<String> {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for instance in &view.instances {
        if !matches!(instance.waiting, None | Some(WaitReason::NextOffer))
            && let Some(message) = pending_message(instance)
        {
            *reasons.entry(message).or_default() += 1;
        }
    }
    let wanted = view.definition.scaling.instances();
    let told: Vec<_> = reasons
        .into_iter()
        .map(|(reason, count)| match wanted {
            1 => reason,
            wanted => format!("{count} of {wanted} instances: {reason}"),
        })
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn instance_status(view: &PodView, instance: &InstanceView) -> PodInstanceStatus {
    let record = &instance.record;
    let (status, message) = instance_status_kind(instance);
    let containers: Vec<_> = instance
        .definition
        .containers
        .iter()
        .filter_map(|container| {
            let task = instance
                .tasks
                .iter()
                .find(|task| task.container == container.name)?;
            Some(container_status(instance, container, task))
        })
        .collect();
    PodInstanceStatus {
        id: record.id.to_string(),
        status,
        status_since: record.since,
        message,
        conditions: Vec::new(),
        agent_hostname: Some(view.agent.hostname.clone()),
        agent_id: Some(view.agent.id.clone()),
        role: role(&instance.definition),
        resources: active_resources(instance).into(),
        networks: networks(view, &instance.definition),
        containers,
        spec_reference: format!("/v2/pods{}::versions/{}", record.pod, record.version),
        local_volumes: Vec::new(),
        last_updated: record.since,
        last_changed: record.since,
    }
}

/// Status of an instance, and what there is to say about it.
fn instance_status_kind(instance: &InstanceView) -> (InstanceStatus, Option<String>) {
    let wanted = instance.record.goal == Goal::Running;
    match instance.record.condition {
        Condition::Scheduled | Condition::Provisioned if wanted => {
            (InstanceStatus::Pending, pending_message(instance))
        }
        Condition::Scheduled | Condition::Provisioned => (InstanceStatus::Terminal, None),
        Condition::Staging | Condition::Starting => (InstanceStatus::Staging, None),
        Condition::Killing => (InstanceStatus::Terminal, None),
        Condition::Finished
        | Condition::Failed
        | Condition::Killed
        | Condition::Error
        | Condition::Gone
        | Condition::Dropped => {
            if wanted && instance.last_run {
                (InstanceStatus::Terminal, result_message(instance))
            } else if wanted {
                (InstanceStatus::Pending, pending_message(instance))
            } else {
                (InstanceStatus::Terminal, None)
            }
        }
        Condition::Running if shows_unhealthy(instance) => (
            InstanceStatus::Degraded,
            Some("at least one container is not healthy".to_owned()),
        ),
        Condition::Running => (InstanceStatus::Stable, None),
    }
}

/// An instance's status alone.
pub fn instance_kind(instance: &InstanceView) -> InstanceStatus {
    instance_status_kind(instance).0
}

/// Why the instance waits, and how its last run ended.
fn pending_message(instance: &InstanceView) -> Option<String> {
    let waits = instance.waiting.as_ref().map(WaitReason::to_string);
    let ended = last_failure(instance).map(|message| format!("last run: {message}"));
    let told: Vec<_> = waits.into_iter().chain(ended).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// How an instance failed that is not launched again; nothing of one that finished.
fn result_message(instance: &InstanceView) -> Option<String> {
    if instance.record.condition == Condition::Finished {
        return None;
    }
    let ended_early = || "it was ended before all of its containers finished".to_owned();
    Some(last_failure(instance).unwrap_or_else(ended_early))
}

fn last_failure(instance: &InstanceView) -> Option<String> {
    let failed = |task: &&TaskRecord| match task.state {
        TaskState::Failed | TaskState::Error | TaskState::Gone | TaskState::Dropped => true,
        TaskState::Killed => task.reason == Some(Reason::Unhealthy),
        TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Finished => false,
    };
    let first = instance
        .tasks
        .iter()
        .filter(failed)
        .min_by_key(|task| task.since)?;
    Some(match first.message.as_str() {
        "" => format!("{} is {}", first.container, first.state),
        message => format!("{}: {message}", first.container),
    })
}

fn shows_unhealthy(instance: &InstanceView) -> bool {
    instance.tasks.iter().any(|task| {
        instance
            .definition
            .container(&task.container)
            .and_then(|container| health(container, task))
            .is_some_and(|condition| condition.value == "false")
    })
}

fn container_status(
    instance: &InstanceView,
    container: &Container,
    task: &TaskRecord,
) -> ContainerStatus {
    let active = is_active(instance, task);
    let text = |message: &str| (!message.is_empty()).then(|| message.to_owned());
    ContainerStatus {
        name: container.name.clone(),
        status: task.state,
        status_since: task.since,
        container_id: Some(task_id(
            &instance.record.id,
            &container.name,
            task.run.incarnation,
        )),
        conditions: health(container, task).into_iter().collect(),
        endpoints: if active {
            endpoints(instance, container, task)
        } else {
            Vec::new()
        },
        resources: active.then(|| container.resources.into()),
        message: text(&task.message),
        termination: task
            .state
            .is_terminal()
            .then(|| end_of_container(task.exit, &task.message))
            .flatten(),
        last_updated: task.since,
        last_changed: task.since,
    }
}

fn end_of_container(exit: Option<ExitStatus>, message: &str) -> Option<ContainerTermination> {
    let termination = ContainerTermination {
        exit_code: exit.map(ExitStatus::shell_code),
        message: (!message.is_empty()).then(|| message.to_owned()),
    };
    (termination.exit_code.is_some() || termination.message.is_some()).then_some(termination)
}

/// Whether the container holds its resources: from the first news of it until its end.
fn is_active(instance: &InstanceView, task: &TaskRecord) -> bool {
    instance.record.run_open
        && instance.record.condition != Condition::Provisioned
        && !task.state.is_terminal()
}

fn active_resources(instance: &InstanceView) -> Resources {
    if instance.is_over() {
        return Resources::ZERO;
    }
    let active = instance
        .tasks
        .iter()
        .filter(|task| is_active(instance, task));
    active
        .filter_map(|task| instance.definition.container(&task.container))
        .map(|container| container.resources)
        .fold(
            instance.definition.executor_resources.0,
            |sum, resources| sum.checked_add(resources).unwrap_or(sum),
        )
}

/// The `healthy` condition of a container that has a health check and was started.
fn health(container: &Container, task: &TaskRecord) -> Option<StatusCondition> {
    container.health_check.as_ref()?;
    task.started_at?;
    let reason = if task.healthy.is_some() {
        "health-reported-by-mesos"
    } else {
        "health-unreported-by-mesos"
    };
    Some(StatusCondition {
        name: "healthy".to_owned(),
        value: task.healthy.unwrap_or(false).to_string(),
        reason: Some(reason.to_owned()),
        last_changed: task.since,
        last_updated: task.since,
    })
}

/// Endpoints with a host port come first, the probed one last.
fn endpoints(
    instance: &InstanceView,
    container: &Container,
    task: &TaskRecord,
) -> Vec<EndpointStatus> {
    let probed = container
        .health_check
        .as_ref()
        .and_then(|check| match &check.probe {
            Probe::Http(probe) => Some(probe.endpoint.as_str()),
            Probe::Tcp(probe) => Some(probe.endpoint.as_str()),
            Probe::Exec(_) => None,
        });
    let status = |endpoint: &Endpoint| EndpointStatus {
        name: endpoint.name.clone(),
        allocated_host_port: instance
            .record
            .host_ports
            .iter()
            .find(|given| given.endpoint == endpoint.name)
            .map(|given| given.host_port),
        healthy: task
            .healthy
            .filter(|_| probed == Some(endpoint.name.as_str())),
    };
    let mut endpoints: Vec<_> = container.endpoints.iter().map(status).collect();
    endpoints.sort_by_key(|endpoint| {
        (
            probed == Some(endpoint.name.as_str()),
            endpoint.allocated_host_port.is_none(),
        )
    });
    endpoints
}

fn networks(view: &PodView, definition: &PodDefinition) -> Vec<NetworkStatus> {
    match definition.network_mode() {
        NetworkMode::Host => {
            vec![NetworkStatus {
                name: None,
                addresses: vec![view.agent.hostname.clone()],
            }]
        }
        NetworkMode::Bridge => {
            vec![NetworkStatus {
                name: Some(view.bridge_name.to_string()),
                addresses: Vec::new(),
            }]
        }
        NetworkMode::Container => definition
            .networks
            .iter()
            .map(|network| NetworkStatus {
                name: network.name.clone(),
                addresses: Vec::new(),
            })
            .collect(),
    }
}

/// The role that a definition asks for.
pub fn role(definition: &PodDefinition) -> String {
    definition.role.clone().unwrap_or_else(|| "*".to_owned())
}

fn termination(record: &TerminationRecord) -> TerminationHistory {
    let container = |container: &TerminatedContainer| ContainerTerminationHistory {
        container_id: container.task_id.clone(),
        last_known_state: Some(container.state),
        termination: end_of_container(container.exit, &container.message),
    };
    TerminationHistory {
        instance_id: record.instance.to_string(),
        started_at: record.started_at,
        terminated_at: record.terminated_at,
        message: (!record.message.is_empty()).then(|| record.message.clone()),
        containers: record.containers.iter().map(container).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        id::{DeploymentId, InstanceId},
        offer::AgentInfo,
        record::{Action, ActionKind, DeploymentRecord, InstanceRecord, PodRecord},
        task_group::PortAssignment,
    };
    use uuid::Uuid;

    use super::*;
    use crate::testing::definition;

    const POD: &str = r#"{"id":"/web","containers":[
        {"name":"nginx","resources":{"cpus":0.5,"mem":64},
         "endpoints":[{"name":"http","containerPort":80,"hostPort":0},{"name":"admin","containerPort":81}],
         "healthCheck":{"http":{"endpoint":"http"},"gracePeriodSeconds":300,"intervalSeconds":5,
                        "maxConsecutiveFailures":3,"timeoutSeconds":3,"delaySeconds":15}},
        {"name":"gen","resources":{"cpus":0.1,"mem":32}}],
        "networks":[{"mode":"container","name":"dcos"}]}"#;

    fn view(condition: Condition, states: [TaskState; 2], healthy: Option<bool>) -> PodView {
        let definition = Arc::new(definition(POD));
        let at = Timestamp::from_millis;
        let id = InstanceId::new(&definition.id, Uuid::from_u128(1));
        let run = model::id::RunId {
            instance: id.uuid,
            incarnation: 1,
        };
        let task = |container: &Container, state: TaskState| TaskRecord {
            run,
            container: container.name.clone(),
            state,
            since: at(5),
            staged_at: at(2),
            started_at: (state == TaskState::Running).then_some(at(5)),
            reason: None,
            message: String::new(),
            exit: None,
            healthy: healthy.filter(|_| container.health_check.is_some()),
        };
        let agent = Arc::new(AgentInfo {
            id: "agent-S0".to_owned(),
            hostname: "node1".to_owned(),
            attributes: [].into(),
        });
        let record = InstanceRecord {
            id,
            pod: definition.id.clone(),
            version: at(1),
            incarnation: 1,
            run_open: true,
            goal: Goal::Running,
            condition,
            since: at(5),
            active_since: Some(at(5)),
            created_at: at(1),
            host_ports: vec![PortAssignment {
                container: "nginx".to_owned(),
                endpoint: "http".to_owned(),
                host_port: 31007,
            }],
        };
        let tasks = definition.containers.iter().zip(states);
        let instance = InstanceView {
            record,
            definition: definition.clone(),
            tasks: tasks
                .map(|(container, state)| task(container, state))
                .collect(),
            ready: false,
            last_run: false,
            waiting: None,
            agent: agent.clone(),
        };
        PodView {
            record: PodRecord {
                id: definition.id.clone(),
                version: at(1),
                last_config_change: at(1),
                removing: false,
            },
            definition,
            versions: Vec::new(),
            instances: vec![instance],
            terminations: Vec::new(),
            deployment: None,
            backoff: None,
            agent,
            bridge_name: "mesos-bridge".into(),
        }
    }

    /// Marathon's `PodStatusConversionTest`, case by case.
    #[test]
    fn instances_show_as_in_marathon() {
        use TaskState as T;
        let cases = [
            // condition, tasks, health => status, pod's status, cpus, value and reason of the health condition
            (
                Condition::Provisioned,
                [T::Staging; 2],
                None,
                "PENDING",
                "DEGRADED",
                0.1,
                None,
            ),
            (
                Condition::Staging,
                [T::Staging; 2],
                None,
                "STAGING",
                "DEGRADED",
                0.7,
                None,
            ),
            (
                Condition::Starting,
                [T::Starting; 2],
                None,
                "STAGING",
                "DEGRADED",
                0.7,
                None,
            ),
            (
                Condition::Running,
                [T::Running; 2],
                None,
                "DEGRADED",
                "DEGRADED",
                0.7,
                Some(("false", "health-unreported-by-mesos")),
            ),
            (
                Condition::Running,
                [T::Running; 2],
                Some(false),
                "DEGRADED",
                "DEGRADED",
                0.7,
                Some(("false", "health-reported-by-mesos")),
            ),
            (
                Condition::Running,
                [T::Running; 2],
                Some(true),
                "STABLE",
                "STABLE",
                0.7,
                Some(("true", "health-reported-by-mesos")),
            ),
            (
                Condition::Running,
                [T::Running, T::Finished],
                Some(true),
                "STABLE",
                "STABLE",
                0.6,
                Some(("true", "health-reported-by-mesos")),
            ),
            (
                Condition::Killing,
                [T::Killing; 2],
                None,
                "TERMINAL",
                "DEGRADED",
                0.7,
                None,
            ),
            (
                Condition::Failed,
                [T::Failed, T::Killed],
                None,
                "PENDING",
                "DEGRADED",
                0.1,
                None,
            ),
        ];
        for (condition, states, healthy, status, pod, cpus, health) in cases {
            let shown = pod_status(&view(condition, states, healthy), Timestamp::from_millis(9));
            let instance = &shown.instances[0];
            assert_eq!(
                instance.status.as_str(),
                status,
                "{condition} {states:?} {healthy:?}"
            );
            assert_eq!(
                shown.status.as_str(),
                pod,
                "{condition} {states:?} {healthy:?}"
            );
            assert!(
                (instance.resources.cpus - cpus).abs() < 1e-9,
                "{condition}: {:?}",
                instance.resources
            );
            let found = instance.containers[0].conditions.first();
            let found = found.map(|found| (found.value.as_str(), found.reason.as_deref().unwrap()));
            assert_eq!(found, health, "{condition} {states:?} {healthy:?}");
        }
    }

    #[test]
    fn a_running_instance_reads_as_in_the_specification() {
        let shown = pod_status(
            &view(Condition::Running, [TaskState::Running; 2], Some(true)),
            Timestamp::from_millis(9),
        );
        let json = serde_json::to_value(&shown.instances[0]).unwrap();
        let id = "web.instance-00000000-0000-0000-0000-000000000001";
        let since = "1970-01-01T00:00:00.005Z";
        let expected = serde_json::json!({
            "id": id, "status": "STABLE", "statusSince": since, "conditions": [],
            "agentHostname": "node1", "agentId": "agent-S0", "role": "*",
            "resources": {"cpus": 0.7, "mem": 128.0, "disk": 10.0, "gpus": 0},
            "networks": [{"name": "dcos", "addresses": []}],
            "containers": [
                {"name": "nginx", "status": "TASK_RUNNING", "statusSince": since,
                 "containerId": format!("{id}.nginx.1"),
                 "conditions": [{"name": "healthy", "value": "true", "reason": "health-reported-by-mesos",
                                 "lastChanged": since, "lastUpdated": since}],
                 "endpoints": [{"name": "admin"},
                               {"name": "http", "allocatedHostPort": 31007, "healthy": true}],
                 "resources": {"cpus": 0.5, "mem": 64.0, "disk": 0.0, "gpus": 0},
                 "lastUpdated": since, "lastChanged": since},
                {"name": "gen", "status": "TASK_RUNNING", "statusSince": since,
                 "containerId": format!("{id}.gen.1"), "conditions": [], "endpoints": [],
                 "resources": {"cpus": 0.1, "mem": 32.0, "disk": 0.0, "gpus": 0},
                 "lastUpdated": since, "lastChanged": since}],
            "specReference": "/v2/pods/web::versions/1970-01-01T00:00:00.001Z",
            "localVolumes": [], "lastUpdated": since, "lastChanged": since,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn an_instance_reads_as_in_the_answer_to_its_deletion() {
        let view = view(Condition::Running, [TaskState::Running; 2], Some(true));
        let json = serde_json::to_value(instance_document(&view.instances[0])).unwrap();
        let since = "1970-01-01T00:00:00.005Z";
        let expected = serde_json::json!({
            "instanceId": "web.instance-00000000-0000-0000-0000-000000000001",
            "state": {"condition": "Running", "since": since, "activeSince": since, "healthy": true,
                      "goal": "Running"},
            "agentInfo": {"host": "node1", "agentId": "agent-S0", "attributes": []},
            "runSpecVersion": "1970-01-01T00:00:00.001Z",
            "unreachableStrategy": {"inactiveAfterSeconds": 0, "expungeAfterSeconds": 0},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_deployment_reads_as_in_the_specification() {
        let pod: model::id::PodId = "/p".parse().unwrap();
        let step = |action| {
            vec![Action {
                action,
                pod: pod.clone(),
            }]
        };
        let record = DeploymentRecord {
            id: DeploymentId(Uuid::from_u128(7)),
            version: Timestamp::from_millis(0),
            pod: pod.clone(),
            steps: vec![step(ActionKind::StartPod), step(ActionKind::ScalePod)],
            current_step: 2,
            from_version: None,
            to_version: None,
        };
        let expected = r#"{"id":"00000000-0000-0000-0000-000000000007","version":"1970-01-01T00:00:00.000Z","affectedApps":[],"affectedPods":["/p"],"steps":[{"actions":[{"action":"StartPod","pod":"/p"}]},{"actions":[{"action":"ScalePod","pod":"/p"}]}],"currentActions":[{"action":"ScalePod","pod":"/p","readinessCheckResults":[]}],"currentStep":2,"totalSteps":2}"#;
        assert_eq!(
            serde_json::to_string(&deployment_document(&record)).unwrap(),
            expected
        );
    }
}
