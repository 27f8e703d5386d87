//! Deployments at work, and instances as the answer to their deletion has them.

use model::{
    pod::PodDefinition,
    record::{Action, DeploymentRecord},
    status::{
        CurrentAction, Deployment, DeploymentAction, DeploymentStep, Instance as InstanceDocument,
        InstanceAgent, InstanceState, MoveKind, PlannedMove, PodPlan,
    },
};

use crate::{InstanceView, Move, Plan, instance::health_of};

/// The document of a running deployment.
pub fn deployment_document(record: &DeploymentRecord) -> Deployment {
    let action = |action: &Action| DeploymentAction {
        action: action.action,
        pod: action.pod.clone(),
    };
    let current = record
        .current_step
        .checked_sub(1)
        .and_then(|step| record.steps.get(usize::try_from(step).ok()?))
        .into_iter()
        .flatten();
    Deployment {
        id: record.id,
        version: record.version,
        affected_apps: Vec::new(),
        affected_pods: vec![record.pod.clone()],
        steps: record
            .steps
            .iter()
            .map(|step| DeploymentStep {
                actions: step.iter().map(action).collect(),
            })
            .collect(),
        current_actions: current
            .map(|action| CurrentAction {
                action: action.action,
                pod: action.pod.clone(),
                readiness_check_results: Vec::new(),
            })
            .collect(),
        current_step: record.current_step,
        total_steps: u32::try_from(record.steps.len()).unwrap_or(u32::MAX),
    }
}

/// The document of what `definition` would do.
pub fn plan_document(definition: PodDefinition, plan: &Plan) -> PodPlan {
    let deployment = plan.deployment.as_ref().map(deployment_document);
    PodPlan {
        id: definition.id.clone(),
        changed: deployment.is_some(),
        definition,
        present: plan.present.as_deref().cloned(),
        steps: deployment.map(|found| found.steps).unwrap_or_default(),
        moves: plan.moves.iter().map(planned_move).collect(),
        fits: plan.waiting.is_none(),
        message: plan.waiting.as_ref().map(ToString::to_string),
        locked_by: plan.locked_by,
    }
}

fn planned_move(planned: &Move) -> PlannedMove {
    let (kind, instance, reason) = match planned {
        Move::Launch => (MoveKind::Launch, None, None),
        Move::End(instance) => (MoveKind::End, Some(instance), None),
        Move::MakeRoom(instance, reason) => (MoveKind::End, Some(instance), Some(reason)),
    };
    PlannedMove {
        kind,
        instance: instance.map(ToString::to_string),
        message: reason.map(ToString::to_string),
    }
}

/// The document of one instance, as the deletion of instances answers with.
pub fn instance_document(view: &InstanceView) -> InstanceDocument {
    let record = &view.record;
    InstanceDocument {
        instance_id: record.id.to_string(),
        state: InstanceState {
            condition: record.condition,
            since: record.since,
            active_since: record.active_since,
            healthy: health_of(&view.tasks),
            goal: record.goal,
        },
        agent_info: (record.incarnation > 0).then(|| InstanceAgent {
            host: view.agent.hostname.clone(),
            agent_id: Some(view.agent.id.clone()),
            attributes: Vec::new(),
        }),
        run_spec_version: record.version,
        unreachable_strategy: view.definition.scheduling.unreachable_strategy,
    }
}
