//! Deployments: how they begin, advance and end (marathon: `core/deployment/DeploymentPlan.scala`).

use std::sync::Arc;

use model::{
    id::{DeploymentId, PodId},
    record::{Action, ActionKind, DeploymentRecord},
    time::Timestamp,
};

use crate::{Announcement, Denied, Scheduler, Turn};

/// What a deployment leads from and to; no version means that there is no pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

impl Scheduler {
    /// Makes way for a deployment of `pod`: with `force`, the one in the way is cancelled.
    ///
    /// # Errors
    /// The deployment in the way, or that too many run.
    pub(crate) fn make_way(&mut self, pod: &PodId, force: bool) -> Result<(), Denied> {
        let blocker = self.pods.get(pod).and_then(|pod| pod.deployment);
        match blocker {
            Some(blocker) if force => self.cancel(blocker),
            Some(blocker) => {
                return Err(Denied::Locked {
                    deployments: vec![blocker],
                });
            }
            None => {
                let max = self.config.max_running_deployments;
                if self.deployments.len() >= max {
                    return Err(Denied::TooManyDeployments { max });
                }
            }
        }
        Ok(())
    }

    /// Begins a deployment with one action a step. It locks the pod until its last step is done.
    pub(crate) fn deploy(
        &mut self,
        pod: &PodId,
        actions: &[ActionKind],
        change: Change,
        turn: &mut Turn<'_>,
    ) -> DeploymentId {
        let id = DeploymentId((turn.new_uuid)());
        let step = |action: &ActionKind| {
            vec![Action {
                action: *action,
                pod: pod.clone(),
            }]
        };
        let record = DeploymentRecord {
            id,
            version: turn.now,
            pod: pod.clone(),
            steps: actions.iter().map(step).collect(),
            current_step: 1,
            from_version: change.from,
            to_version: change.to,
        };
        let announced = Arc::new(record.clone());
        self.deployments.insert(id, record);
        self.pod_mut(pod).deployment = Some(id);
        self.out.deployments.insert(id);
        self.changed.insert(pod.clone());
        self.out
            .announce(Announcement::DeploymentStarted(announced));
        id
    }

    /// Ends a deployment before its time; everything stays as it is.
    pub(crate) fn cancel(&mut self, id: DeploymentId) {
        if let Some(record) = self.forget_deployment(id) {
            self.out
                .announce(Announcement::DeploymentCancelled(Arc::new(record)));
        }
    }

    /// What the deployment at work on the pod does now.
    pub(crate) fn current_action(&self, pod: &PodId) -> Option<ActionKind> {
        let deployment = self.deployments.get(&self.pods.get(pod)?.deployment?)?;
        let step = usize::try_from(deployment.current_step.checked_sub(1)?).ok()?;
        deployment
            .steps
            .get(step)?
            .first()
            .map(|action| action.action)
    }

    /// The current step is done: goes to the next one, or ends the deployment.
    pub(crate) fn advance(&mut self, pod: &PodId) {
        let Some(id) = self.pods.get(pod).and_then(|pod| pod.deployment) else {
            return;
        };
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return;
        };
        let done = Arc::new(deployment.clone());
        self.out
            .announce(Announcement::DeploymentStepDone(Arc::clone(&done)));
        if usize::try_from(done.current_step).is_ok_and(|step| step < done.steps.len()) {
            deployment.current_step += 1;
            self.agenda.mark(pod);
            let next = Arc::new(deployment.clone());
            self.out.announce(Announcement::DeploymentStepStarted(next));
            self.out.deployments.insert(id);
            self.changed.insert(pod.clone());
        } else {
            self.forget_deployment(id);
            self.out.announce(Announcement::DeploymentDone(done));
        }
    }

    fn forget_deployment(&mut self, id: DeploymentId) -> Option<DeploymentRecord> {
        let deployment = self.deployments.remove(&id)?;
        if self.pods.contains_key(&deployment.pod) {
            self.pod_mut(&deployment.pod).deployment = None;
        }
        self.changed.insert(deployment.pod.clone());
        // One that began in this very turn was never stored; deleting it is harmless.
        self.out.deployments.remove(&id);
        self.out.deployments_gone.push(id);
        Some(deployment)
    }
}
