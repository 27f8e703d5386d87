//! Rolling updates: old instances give way to new ones, move by move.
//!
//! How many may go and come is `rolling.rs`'s arithmetic; here it is applied to instances, and room is made
//! where that arithmetic alone would wait for ever.

use model::{id::PodId, pools::Pools, ports::PortSet, state::Goal, time::Timestamp};
use uuid::Uuid;

use crate::{
    Announcement, Scheduler, Turn, WaitReason,
    instance::Instance,
    kill_selection,
    launch::{Crowd, back_off},
    rolling::{Progress, next_step},
};

impl Scheduler {
    /// One move of a rolling update; whether it has reached its end.
    pub(crate) fn roll(&mut self, id: &PodId, turn: &mut Turn<'_>) -> bool {
        self.give_up_waiting_old(id);
        let pod = self.pod(id);
        let target = pod.target();
        let news: Vec<&Instance> = pod
            .wanted()
            .filter(|instance| !pod.is_old(instance))
            .collect();
        let order = pod.definition.scheduling.kill_selection;
        let surplus: Vec<Uuid> = kill_selection::in_order(news.iter().copied(), order)
            .into_iter()
            .take(news.len().saturating_sub(target))
            .collect();
        for uuid in surplus {
            self.decommission(id, uuid);
        }
        self.drop_ended(id);
        let step = next_step(
            &self.progress(id),
            &self.pod(id).definition.scheduling.upgrade,
        );
        for uuid in self.old_in_order(id).into_iter().take(step.kill) {
            self.decommission(id, uuid);
        }
        self.make_instances(id, step.start, turn);
        self.make_room(id, turn.now);
        let pod = self.pod(id);
        pod.instances.len() == target
            && pod
                .instances
                .values()
                .all(|instance| !pod.is_old(instance) && instance.has_arrived())
    }

    fn progress(&self, id: &PodId) -> Progress {
        let pod = self.pod(id);
        let mut progress = Progress {
            target: pod.target(),
            ..Progress::default()
        };
        for instance in pod.instances.values() {
            if !pod.is_old(instance) && instance.is_wanted() {
                progress.new += 1;
                progress.new_ready += usize::from(instance.has_arrived());
            } else if instance.is_dying() {
                progress.dying += 1;
            } else if instance.is_ready() {
                progress.old_ready += 1;
            } else {
                progress.old_unready += 1;
            }
        }
        progress
    }

    /// Old instances without a run serve nobody and are not launched again; results of an old version are history.
    fn give_up_waiting_old(&mut self, id: &PodId) {
        let pod = self.pod(id);
        let waiting: Vec<Uuid> = pod
            .wanted()
            .filter(|instance| {
                pod.is_old(instance)
                    && (!instance.record.run_open || instance.record.goal == Goal::Stopped)
            })
            .map(Instance::uuid)
            .collect();
        for uuid in waiting {
            self.decommission(id, uuid);
        }
        self.drop_ended(id);
    }

    /// The old instances that are to stay so far, in the order in which they are given up.
    fn old_in_order(&self, id: &PodId) -> Vec<Uuid> {
        let pod = self.pod(id);
        let old = pod
            .instances
            .values()
            .filter(|instance| pod.is_old(instance) && instance.record.goal == Goal::Running);
        kill_selection::in_order(old, pod.definition.scheduling.kill_selection)
    }

    /// Ends one old instance if its successors wait for nothing but what the old ones hold, and nothing
    /// of the pod is moving that could change that. On one host there is no other place to go to: with a
    /// fixed host port, or with half of the host's memory, Marathon would wait for ever.
    fn make_room(&mut self, id: &PodId, now: Timestamp) {
        let Some((waiting, reason)) = self.blocked_successor(id, now) else {
            return;
        };
        let old = self.old_in_order(id);
        let holder = match reason {
            WaitReason::PortTaken { port, .. } => old.iter().copied().find(|uuid| {
                let ports = &self.pod(id).instances[uuid].record.host_ports;
                ports.iter().any(|given| given.host_port == port)
            }),
            WaitReason::TooBig { .. }
            | WaitReason::PortOutside { .. }
            | WaitReason::TooManyPorts { .. }
            | WaitReason::NothingReserved { .. }
            | WaitReason::Unplaceable { .. }
            | WaitReason::Crowded { .. }
            | WaitReason::PreviousRun
            | WaitReason::BackOff { .. }
            | WaitReason::Lacking { .. }
            | WaitReason::PortsLacking { .. }
            | WaitReason::NextOffer => None,
        };
        let free = self.free_without_old(id);
        let pod = self.pod(id);
        let fits = self
            .fit(
                pod,
                &pod.instances[&waiting],
                &free,
                &PortSet::default(),
                Crowd::WithoutOld,
            )
            .is_ok();
        if let Some(uuid) = holder.or(old.first().copied()).filter(|_| fits) {
            let instance = pod.instances[&uuid].record.id.clone();
            self.out
                .announce(Announcement::MadeRoom { instance, reason });
            self.decommission(id, uuid);
        }
    }

    /// A new instance that could be launched if there were room, while nothing else of the pod moves.
    fn blocked_successor(&self, id: &PodId, now: Timestamp) -> Option<(Uuid, WaitReason)> {
        let pod = self.pod(id);
        let moving = |instance: &Instance| {
            instance.is_dying()
                || (!pod.is_old(instance) && instance.record.run_open && !instance.is_ready())
        };
        if pod.instances.values().any(moving) {
            return None;
        }
        let next = pod.instances.values().find(|instance| {
            instance.is_waiting() && !pod.is_old(instance) && back_off(pod, instance, now).is_ok()
        })?;
        let reason = self
            .fit(
                pod,
                next,
                &self.free(),
                &PortSet::default(),
                Crowd::Everyone,
            )
            .err()?;
        Some((next.uuid(), reason))
    }

    /// What would be free without the pod's old instances: the total without what others hold. Not what is free now
    /// and what they hold, which is too much while the runs hold more than there is.
    fn free_without_old(&self, id: &PodId) -> Pools {
        let pod = self.pod(id);
        let mut others = self.held.clone();
        for uuid in self.old_in_order(id) {
            if let Some(placement) = pod.instances[&uuid].placement() {
                others.subtract(&placement);
            }
        }
        others.free(&self.config.total)
    }
}
