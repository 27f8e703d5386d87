//! The next move of a pod, decided from its present state alone.
//!
//! Called after each change of a pod: makes and gives up instances, advances its deployment, sends kills.
//! Deciding the same again changes nothing, so a crash anywhere between is harmless.

use model::{
    id::PodId,
    record::{ActionKind, InstanceRecord},
    state::{Condition, Goal, Reason},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Announcement, Effect, Scheduler, Turn, instance::Instance, kill_selection};

impl Scheduler {
    /// Settles one pod.
    pub(crate) fn settle(&mut self, id: &PodId, turn: &mut Turn<'_>) {
        loop {
            self.drop_ended(id);
            if self.pod(id).record.removing {
                self.decommission_all(id);
                if self.pod(id).instances.is_empty() {
                    self.drop_pod(id);
                    return;
                }
                break;
            }
            let done = match self.current_action(id) {
                None => {
                    self.keep_count(id, turn);
                    false
                }
                Some(ActionKind::StartPod) => true,
                Some(ActionKind::ScalePod) => self.keep_count(id, turn),
                Some(ActionKind::RestartPod) => self.roll(id, turn),
                // Without a removal the pod was added again, which cancelled this.
                Some(ActionKind::StopPod) => true,
            };
            if !done {
                break;
            }
            self.advance(id);
        }
        self.drop_ended(id);
        self.send_kills(id, turn.now);
    }

    /// Settles the pods for which time makes a difference.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        self.enter_changes();
        let due: Vec<_> = if std::mem::take(&mut self.fresh) {
            self.forget_removed();
            self.pods.keys().cloned().collect()
        } else {
            self.agenda.kills_due(turn.now).cloned().collect()
        };
        // Reasons to wait that name a back-off are no longer true once it is over.
        let ended = self.agenda.take_ended_backoffs(turn.now);
        for id in due {
            self.settle(&id, turn);
        }
        if !ended.is_empty() || self.agenda.free_changed() {
            self.settle_rolling(turn);
        }
        self.changed.extend(ended);
    }

    /// Settles the pods whose update may have come to a standstill because others took what was free.
    pub(crate) fn settle_rolling(&mut self, turn: &mut Turn<'_>) {
        self.enter_changes();
        for id in self.agenda.take_rolling() {
            self.settle(&id, turn);
        }
    }

    /// When the run has to be told to end, if it has to: because it was asked for, or nothing was heard of it.
    pub(crate) fn kill_due(&self, instance: &Instance) -> Option<Timestamp> {
        let first = if instance.is_dying() {
            self.clock
        } else {
            instance.launch_overdue(self.config.launch_confirm_timeout)?
        };
        Some(
            instance
                .kill_sent
                .map_or(first, |sent| sent.after(self.config.kill_retry)),
        )
    }

    /// Forgets the instances that are to end and have no run.
    pub(crate) fn drop_ended(&mut self, id: &PodId) {
        let ended: Vec<Uuid> = self
            .pod(id)
            .instances
            .values()
            .filter(|instance| !instance.is_wanted() && !instance.record.run_open)
            .map(Instance::uuid)
            .collect();
        for uuid in ended {
            let instance = self
                .pod_mut(id)
                .instances
                .remove(&uuid)
                .expect("it was found just now")
                .record
                .id;
            self.owners.remove(&uuid);
            self.changed.insert(id.clone());
            self.out.instances_gone.push(instance.clone());
            self.out.announce(Announcement::InstanceGone {
                pod: id.clone(),
                instance,
            });
        }
    }

    fn drop_pod(&mut self, id: &PodId) {
        if let Some(deployment) = self.pod(id).deployment {
            while self.deployments.contains_key(&deployment) {
                self.advance(id);
            }
        }
        self.agenda.mark(id);
        self.pods.remove(id);
        self.changed.insert(id.clone());
        self.out.pods_gone.push(id.clone());
        self.remember_removed(id);
        self.out.announce(Announcement::PodGone { pod: id.clone() });
    }

    /// Makes instances or gives them up until there are as many as wanted; whether all of them serve, or have ended for
    /// good, and nothing else is left.
    fn keep_count(&mut self, id: &PodId, turn: &mut Turn<'_>) -> bool {
        let pod = self.pod(id);
        let (target, present) = (pod.target(), pod.wanted().count());
        if present > target {
            let order =
                kill_selection::in_order(pod.wanted(), pod.definition.scheduling.kill_selection);
            for uuid in order.into_iter().take(present - target) {
                self.decommission(id, uuid);
            }
            self.drop_ended(id);
        }
        self.make_instances(id, target.saturating_sub(present), turn);
        let pod = self.pod(id);
        pod.instances.len() == target && pod.instances.values().all(Instance::has_arrived)
    }

    pub(crate) fn make_instances(&mut self, id: &PodId, count: usize, turn: &mut Turn<'_>) {
        let version = self.pod(id).record.last_config_change;
        let definition = self
            .definition(id, version)
            .expect("versions in use are kept")
            .clone();
        for _ in 0..count {
            let uuid = (turn.new_uuid)();
            let record = InstanceRecord {
                id: model::id::InstanceId::new(id, uuid),
                pod: id.clone(),
                version,
                incarnation: 0,
                run_open: false,
                goal: Goal::Running,
                condition: Condition::Scheduled,
                since: turn.now,
                active_since: None,
                created_at: turn.now,
                host_ports: Vec::new(),
            };
            let instance = record.id.clone();
            self.out.announce(Announcement::InstanceCreated {
                pod: id.clone(),
                instance,
                version,
            });
            let instance = Instance {
                record,
                definition: definition.clone(),
                tasks: Vec::new(),
                applied: 0,
                kill_sent: None,
            };
            self.pod_mut(id).instances.insert(uuid, instance);
            self.owners.insert(uuid, id.clone());
            self.mark_instance(id, uuid);
        }
    }

    fn decommission_all(&mut self, id: &PodId) {
        let wanted: Vec<Uuid> = self.pod(id).wanted().map(Instance::uuid).collect();
        for uuid in wanted {
            self.decommission(id, uuid);
        }
        self.drop_ended(id);
    }

    /// Wants the end of an instance.
    pub(crate) fn decommission(&mut self, id: &PodId, uuid: Uuid) {
        self.instance_mut(id, uuid).record.goal = Goal::Decommissioned;
        self.mark_instance(id, uuid);
    }

    /// Tells runs to end that are to end and were not told so lately.
    fn send_kills(&mut self, id: &PodId, now: Timestamp) {
        let due: Vec<Uuid> = self
            .pod(id)
            .instances
            .values()
            .filter(|instance| self.kill_due(instance).is_some_and(|due| due <= now))
            .map(Instance::uuid)
            .collect();
        for uuid in due {
            let instance = self.instance_mut(id, uuid);
            let first = instance.kill_sent.is_none();
            instance.kill_sent = Some(now);
            let run = instance.run();
            let reason = if instance.is_dying() {
                Reason::KillRequested
            } else {
                Reason::ExecutorTerminated
            };
            let instance = instance.record.id.clone();
            if reason == Reason::ExecutorTerminated && first {
                self.out
                    .announce(Announcement::LaunchOverdue { instance, run });
            }
            self.out.effects.push(Effect::Kill {
                run,
                reason,
                grace: None,
            });
        }
    }
}
