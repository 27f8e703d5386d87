//! What an announcement says as events (marathon: `api/v2/json/Formats.scala`).

use model::{
    id::{InstanceId, PodId},
    offer::AgentInfo,
    record::DeploymentRecord,
    time::Timestamp,
};
use scheduler::{Announcement, status};
use serde_json::{Value, json};

/// The events that an announcement makes: type and members. Types that begin with `monopod_` are ours; their message is
/// what the log says.
pub(super) fn of(announcement: &Announcement, agent: &AgentInfo) -> Vec<(&'static str, Value)> {
    let text = announcement.to_string();
    match announcement {
        // Told by whoever knows the client: `pod_created_event` and its like.
        Announcement::PodCreated { .. }
        | Announcement::PodUpdated { .. }
        | Announcement::PodRemoving { .. } => Vec::new(),
        Announcement::PodGone { pod } => vec![("app_terminated_event", json!({ "appId": pod }))],
        Announcement::InstanceCreated {
            pod,
            instance,
            version,
        } => vec![instance_changed(pod, instance, *version, "Scheduled", None)],
        Announcement::InstanceChanged {
            pod,
            instance,
            version,
            condition,
        } => {
            let condition = condition.to_string();
            vec![instance_changed(
                pod,
                instance,
                *version,
                &condition,
                Some(agent),
            )]
        }
        Announcement::InstanceHealthChanged {
            pod,
            instance,
            version,
            healthy,
        } => vec![(
            "instance_health_changed_event",
            json!({
                "instanceId": instance.to_string(), "runSpecId": pod, "healthy": healthy, "runSpecVersion": version,
            }),
        )],
        Announcement::InstanceGone { pod, instance } => vec![(
            "monopod_instance_gone_event",
            json!({ "instanceId": instance.to_string(), "runSpecId": pod }),
        )],
        Announcement::TaskChanged {
            pod,
            instance: _,
            version,
            ports,
            task,
            state,
            message,
        } => vec![(
            "status_update_event",
            json!({
                "slaveId": agent.id, "taskId": task, "taskStatus": state, "message": message, "appId": pod,
                "host": agent.hostname, "ipAddresses": [], "ports": ports, "version": version,
            }),
        )],
        Announcement::RunEnded { instance, run, .. } => vec![(
            "monopod_run_ended_event",
            json!({ "instanceId": instance.to_string(), "run": run.to_string(), "message": text }),
        )],
        Announcement::LaunchOverdue { instance, run } => vec![(
            "monopod_launch_overdue_event",
            json!({ "instanceId": instance.to_string(), "run": run.to_string(), "message": text }),
        )],
        Announcement::BackoffRaised {
            pod,
            version,
            delay_ms,
        } => vec![(
            "monopod_backoff_raised_event",
            json!({ "podId": pod, "version": version, "delayMs": delay_ms, "message": text }),
        )],
        Announcement::MadeRoom { instance, .. } => vec![(
            "monopod_made_room_event",
            json!({ "instanceId": instance.to_string(), "message": text }),
        )],
        Announcement::DeploymentStarted(record) => vec![
            (
                "group_change_success",
                json!({ "groupId": "/", "version": record.version }),
            ),
            ("deployment_info", at_step(record)),
        ],
        Announcement::DeploymentStepStarted(record) => vec![("deployment_info", at_step(record))],
        Announcement::DeploymentStepDone(record) => {
            vec![("deployment_step_success", at_step(record))]
        }
        Announcement::DeploymentDone(record) => vec![(
            "deployment_success",
            json!({ "id": record.id, "plan": plan(record) }),
        )],
        Announcement::DeploymentCancelled(record) => vec![(
            "deployment_failed",
            json!({ "id": record.id, "plan": plan(record), "reason": "cancelled" }),
        )],
    }
}

fn instance_changed(
    pod: &PodId,
    instance: &InstanceId,
    version: Timestamp,
    condition: &str,
    agent: Option<&AgentInfo>,
) -> (&'static str, Value) {
    let members = json!({
        "instanceId": instance.to_string(), "condition": condition, "runSpecId": pod,
        "agentId": agent.map(|agent| &agent.id), "host": agent.map(|agent| &agent.hostname), "runSpecVersion": version,
    });
    ("instance_changed_event", members)
}

/// A deployment and its current step.
fn at_step(record: &DeploymentRecord) -> Value {
    let document = status::deployment_document(record);
    json!({ "plan": plan(record), "currentStep": { "actions": document.current_actions } })
}

/// The light form of a plan, without the groups before and after (marathon 1.8).
fn plan(record: &DeploymentRecord) -> Value {
    let document = status::deployment_document(record);
    json!({ "id": document.id, "steps": document.steps, "version": document.version })
}
