//! What people ask for: each request is checked, changes goals, and begins a deployment.

use std::sync::Arc;

use model::{
    id::{DeploymentId, InstanceId, PodId},
    pod::PodDefinition,
    record::ActionKind,
    state::Goal,
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Accepted, Announcement, Denied, Request, Scheduler, Turn,
    deployment::Change,
    instance::Instance,
    pods::{is_same, is_same_but_for_scaling},
};

impl Scheduler {
    pub(crate) fn answer(
        &mut self,
        request: Request,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        match request {
            Request::AddPod { definition, force } => {
                if self.defined(&definition.id).is_some() {
                    return Err(Denied::PodExists { pod: definition.id });
                }
                self.add_pod(definition, force, turn)
            }
            Request::PutPod { definition, force } => self.put_pod(definition, force, turn),
            Request::RestartPod { pod, force } => self.restart_pod(&pod, force, turn),
            Request::RemovePod { pod, force } => self.remove_pod(&pod, force, turn),
            Request::RemoveGroup { group, force } => self.remove_group(group, force, turn),
            Request::ResetDelay { pod } => self.reset_delay(&pod, turn),
            Request::KillInstances {
                pod,
                instances,
                wipe,
            } => self.kill_instances(&pod, &instances, wipe, turn),
            Request::CancelDeployment { deployment } => self.cancel_deployment(deployment, turn),
            Request::RollbackDeployment { deployment } => self.roll_back(deployment, turn),
        }
    }

    /// The pod's definition, unless it is unknown or being removed.
    fn defined(&self, pod: &PodId) -> Option<&Arc<PodDefinition>> {
        let pod = self.pods.get(pod).filter(|pod| !pod.record.removing)?;
        Some(&pod.definition)
    }

    fn check_size(&self, definition: &PodDefinition) -> Result<(), Denied> {
        let (wanted, max) = (definition.scaling.instances(), self.config.max_instances);
        if wanted > max {
            return Err(Denied::TooManyInstances { wanted, max });
        }
        Ok(())
    }

    fn add_pod(
        &mut self,
        definition: PodDefinition,
        force: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        self.check_size(&definition)?;
        self.check_place(&definition.id)?;
        self.make_way(&definition.id, force)?;
        let definition = self.make_version(definition);
        self.define(&definition);
        let pod = definition.id.clone();
        let version = self.pod(&pod).record.version;
        self.out.announce(Announcement::PodCreated {
            pod: pod.clone(),
            version,
        });
        let change = Change {
            from: None,
            to: Some(version),
        };
        let id = self.deploy(
            &pod,
            &[ActionKind::StartPod, ActionKind::ScalePod],
            change,
            turn,
        );
        self.settle(&pod, turn);
        Ok(accepted(id, definition))
    }

    fn put_pod(
        &mut self,
        definition: PodDefinition,
        force: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        let Some(present) = self.defined(&definition.id).cloned() else {
            return self.add_pod(definition, force, turn);
        };
        if is_same(&present, &definition) {
            return Ok(accepted(DeploymentId((turn.new_uuid)()), present));
        }
        self.check_size(&definition)?;
        self.make_way(&definition.id, force)?;
        Ok(self.update_pod(&present, definition, turn))
    }

    fn update_pod(
        &mut self,
        present: &PodDefinition,
        definition: PodDefinition,
        turn: &mut Turn<'_>,
    ) -> Accepted {
        let from = self.pod(&definition.id).record.version;
        let definition = self.make_version(definition);
        self.define(&definition);
        let action = self.update_action(present, &definition);
        self.deploy_update(definition, from, action, turn)
    }

    fn restart_pod(
        &mut self,
        id: &PodId,
        force: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        let Some(present) = self.defined(id).cloned() else {
            return Err(Denied::PodUnknown { pod: id.clone() });
        };
        self.make_way(id, force)?;
        let from = self.pod(id).record.version;
        let definition = self.make_version(PodDefinition::clone(&present));
        self.define_anew(&definition);
        Ok(self.deploy_update(definition, from, ActionKind::RestartPod, turn))
    }

    /// Deploys a version that the pod was just given, in place of the version `from`.
    fn deploy_update(
        &mut self,
        definition: Arc<PodDefinition>,
        from: Timestamp,
        action: ActionKind,
        turn: &mut Turn<'_>,
    ) -> Accepted {
        let pod = definition.id.clone();
        let version = self.pod(&pod).record.version;
        self.out.announce(Announcement::PodUpdated {
            pod: pod.clone(),
            version,
        });
        if action == ActionKind::RestartPod {
            self.reset_backoff(&pod);
        }
        let change = Change {
            from: Some(from),
            to: Some(version),
        };
        let id = self.deploy(&pod, &[action], change, turn);
        self.settle(&pod, turn);
        accepted(id, definition)
    }

    /// Scaling restarts nothing, nor does a change along with scaling to 0. But where a cancelled update
    /// left instances of another configuration behind, any change takes the update up again.
    fn update_action(&self, present: &PodDefinition, definition: &PodDefinition) -> ActionKind {
        let pod = self.pod(&definition.id);
        let same = is_same_but_for_scaling(present, definition);
        let uniform = !pod.wanted().any(|instance| pod.is_old(instance));
        if pod.target() == 0 || (same && uniform) {
            ActionKind::ScalePod
        } else {
            ActionKind::RestartPod
        }
    }

    pub(crate) fn remove_pod(
        &mut self,
        id: &PodId,
        force: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        if self.defined(id).is_none() {
            return Err(Denied::PodUnknown { pod: id.clone() });
        }
        self.make_way(id, force)?;
        let pod = self.pod_mut(id);
        pod.record.removing = true;
        let from = Some(pod.record.version);
        self.mark_pod(id);
        self.reset_backoff(id);
        self.out
            .announce(Announcement::PodRemoving { pod: id.clone() });
        let deployment = self.deploy(id, &[ActionKind::StopPod], Change { from, to: None }, turn);
        self.settle(id, turn);
        Ok(Accepted {
            deployment: Some(deployment),
            version: Some(turn.now),
            ..Accepted::default()
        })
    }

    fn reset_delay(&mut self, id: &PodId, turn: &mut Turn<'_>) -> Result<Accepted, Denied> {
        if self.defined(id).is_none() {
            return Err(Denied::PodUnknown { pod: id.clone() });
        }
        self.reset_backoff(id);
        self.mark_pod(id);
        self.settle(id, turn);
        Ok(Accepted::default())
    }

    fn reset_backoff(&mut self, id: &PodId) {
        let backoffs = &mut self.pod_mut(id).backoffs;
        if !backoffs.is_empty() {
            backoffs.clear();
            self.out.backoffs_gone.insert(id.clone());
        }
    }

    /// Wants the end of runs. The goal is `Stopped` until the end was seen and `Running` again from then on, so
    /// that a crash does not lose the kill.
    fn kill_instances(
        &mut self,
        id: &PodId,
        instances: &[InstanceId],
        wipe: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        if self.defined(id).is_none() {
            return Err(Denied::PodUnknown { pod: id.clone() });
        }
        let mut known: Vec<Uuid> = instances
            .iter()
            .filter(|instance| {
                self.pod(id)
                    .instances
                    .get(&instance.uuid)
                    .is_some_and(|found| found.record.id == **instance)
            })
            .map(|instance| instance.uuid)
            .collect();
        known.sort_unstable();
        known.dedup();
        if let (true, Some(instance)) = (known.is_empty(), instances.first()) {
            return Err(Denied::InstanceUnknown {
                instance: instance.clone(),
            });
        }
        let views = known
            .iter()
            .filter_map(|uuid| self.instance_view(id, *uuid))
            .collect();
        for uuid in known {
            self.stop_instance(id, uuid, wipe);
        }
        self.settle(id, turn);
        Ok(Accepted {
            instances: views,
            ..Accepted::default()
        })
    }

    fn stop_instance(&mut self, id: &PodId, uuid: Uuid, wipe: bool) {
        let instance: &mut Instance = self.instance_mut(id, uuid);
        if wipe {
            self.decommission(id, uuid);
        } else if instance.record.run_open && instance.record.goal == Goal::Running {
            instance.record.goal = Goal::Stopped;
            self.mark_instance(id, uuid);
        }
    }

    fn cancel_deployment(
        &mut self,
        deployment: DeploymentId,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        let Some(found) = self.deployments.get(&deployment) else {
            return Err(Denied::DeploymentUnknown { deployment });
        };
        let (pod, version) = (found.pod.clone(), found.version);
        self.cancel(deployment);
        self.settle(&pod, turn);
        Ok(Accepted {
            deployment: Some(deployment),
            version: Some(version),
            ..Accepted::default()
        })
    }

    /// Takes back what a deployment changed: a pod that it made is removed, one that it removes comes back,
    /// one that it updates returns to its former definition.
    fn roll_back(
        &mut self,
        deployment: DeploymentId,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        let Some(found) = self.deployments.get(&deployment) else {
            return Err(Denied::DeploymentUnknown { deployment });
        };
        let pod = found.pod.clone();
        let former = found
            .from_version
            .and_then(|version| self.former(&pod, version));
        match former {
            None => self.remove_pod(&pod, true, turn),
            // Forced, so that it cancels the deployment that it takes back.
            Some(definition) => self.put_pod(definition, true, turn),
        }
    }

    fn former(&self, pod: &PodId, version: Timestamp) -> Option<PodDefinition> {
        self.definition(pod, version)
            .map(|definition| PodDefinition::clone(definition))
    }
}

fn accepted(deployment: DeploymentId, definition: Arc<PodDefinition>) -> Accepted {
    Accepted {
        deployment: Some(deployment),
        version: definition.version,
        definition: Some(definition),
        instances: Vec::new(),
    }
}
