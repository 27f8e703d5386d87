//! Offers: which waiting instances they are used for, and why the others go on waiting.
//!
//! Waiting instances are looked at in the order in which they began to wait. One that does not fit does not
//! stand in the way of those behind it; so a big instance may wait long while small ones come and go, and is
//! first in line as soon as enough is free at once.

use std::{collections::BTreeSet, sync::Arc};

use model::{
    id::{PodId, RunId},
    offer::{Claim, Offer, Placement},
    pod::RestartPolicy,
    pools::{Access, Pools, short},
    ports::PortSet,
    state::{Condition, Goal},
    task_group::{PortAssignment, Task, TaskGroup},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Effect, OfferAnswer, Scheduler, Turn, WaitReason, backoff, constraint,
    environment::{Launch, environment},
    instance::{Instance, needs},
    pods::Pod,
    ports::{self, PortNeed},
};

impl Scheduler {
    /// Whether an offer could be of use: some instance waits whose back-off is over, and since an offer was last
    /// declined something came about that could make it fit.
    pub fn wants_offers(&self, now: Timestamp) -> bool {
        self.agenda.wants_offers(now)
    }

    /// Uses an offer for as many waiting instances as fit. `total` is all that the agent has.
    pub fn consider(&mut self, offer: &Offer, total: &Pools, turn: &mut Turn<'_>) -> OfferAnswer {
        self.begin(turn);
        if self.config.total != *total {
            self.config.total = total.clone();
            self.out.holdings_moved = true;
            self.agenda.make_place();
        }
        let launches = self.match_offer(offer, turn);
        if launches.is_empty() {
            self.agenda.declined(turn.now);
        }
        self.settle_rolling(turn);
        OfferAnswer {
            launches,
            effects: self.flush(),
        }
    }

    /// The runs that hold resources, for the agent's recovery.
    pub fn open_runs(&self) -> Vec<Placement> {
        self.pods
            .values()
            .flat_map(|pod| pod.instances.values())
            .filter_map(Instance::placement)
            .collect()
    }

    /// The task group of an open run, as it was launched or should have been.
    pub fn task_group(&self, run: RunId) -> Option<Arc<TaskGroup>> {
        let pod = self.pods.get(self.owners.get(&run.instance)?)?;
        let instance = pod.instances.get(&run.instance)?;
        (instance.record.run_open && instance.run() == run)
            .then(|| Arc::new(self.group_of(instance)))
    }

    /// Whether anything was ever heard of the open run `run`, so that it surely was launched. Its launch is never
    /// repeated then: an executor's updates count from 1, and those numbers are applied already.
    pub fn was_heard_of(&self, run: RunId) -> bool {
        let pod = self
            .owners
            .get(&run.instance)
            .and_then(|pod| self.pods.get(pod));
        let instance = pod.and_then(|pod| pod.instances.get(&run.instance));
        instance.is_some_and(|instance| instance.run() == run && instance.applied > 0)
    }

    /// When something is due by itself: a back-off ends, a launch is overdue, a kill has to be repeated.
    /// [`crate::Event::Tick`] makes it happen.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.fresh {
            return Some(self.clock);
        }
        self.agenda.next(self.clock)
    }

    fn match_offer(&mut self, offer: &Offer, turn: &Turn<'_>) -> Vec<Placement> {
        self.enter_changes();
        let mut free = offer.pools.clone();
        let mut launches = Vec::new();
        // Instances of one version need the same: once one does not fit, none of them does.
        let mut unfit = BTreeSet::new();
        for (_, uuid, pod, version) in self.queue(turn.now) {
            if unfit.contains(&(pod.clone(), version)) {
                continue;
            }
            let instance = &self.pod(&pod).instances[&uuid];
            let reserved = self.agenda.fixed_ports();
            let fit = self.fit(self.pod(&pod), instance, &free, reserved, Crowd::Everyone);
            match fit {
                Err(_) => {
                    unfit.insert((pod, version));
                }
                Ok(host_ports) => {
                    let placement = self.launch(&pod, uuid, host_ports, turn.now);
                    free.take(&placement.access, &placement.claim);
                    launches.push(placement);
                }
            }
        }
        launches
    }

    /// The waiting instances whose back-off is over, in the order in which they began to wait.
    fn queue(&self, now: Timestamp) -> Vec<(Timestamp, Uuid, PodId, Timestamp)> {
        let mut queue: Vec<_> = self
            .agenda
            .launchable(now)
            .map(|id| self.pod(id))
            .flat_map(|pod| pod.instances.values().map(move |instance| (pod, instance)))
            .filter(|(pod, instance)| instance.is_waiting() && back_off(pod, instance, now).is_ok())
            .map(|(pod, instance)| {
                let record = &instance.record;
                (
                    record.since,
                    instance.uuid(),
                    pod.record.id.clone(),
                    record.version,
                )
            })
            .collect();
        queue.sort_unstable();
        queue
    }

    /// Decides the next run of an instance. It holds its resources from now on.
    fn launch(
        &mut self,
        pod: &PodId,
        uuid: Uuid,
        host_ports: Vec<PortAssignment>,
        now: Timestamp,
    ) -> Placement {
        let instance = self.instance_mut(pod, uuid);
        instance.record.incarnation += 1;
        instance.record.run_open = true;
        instance.record.host_ports = host_ports;
        instance.record.active_since = None;
        instance.tasks = instance.staged_tasks(now);
        instance.applied = 0;
        instance.kill_sent = None;
        let tasks = instance.tasks.len();
        let placement = instance.placement().expect("the run was opened just now");
        for index in 0..tasks {
            self.mark_task(pod, uuid, index);
        }
        self.set_condition(pod, uuid, Condition::Provisioned, now);
        self.held.add(&placement, pod);
        self.agenda.take_place();
        self.out.holdings_moved = true;
        let instance = &self.pod(pod).instances[&uuid];
        // A launch that a power cut makes forgotten would be repeated.
        let once = instance.restart_policy() == RestartPolicy::Never;
        let group = self.group_of(instance);
        self.out.durable |= once;
        self.out.effects.push(Effect::Launch(Arc::new(group)));
        placement
    }

    fn group_of(&self, instance: &Instance) -> TaskGroup {
        let record = &instance.record;
        let launch = Launch {
            instance: &record.id,
            incarnation: record.incarnation,
            version: record.version,
            definition: &instance.definition,
            host_ports: &record.host_ports,
            host: &self.agent.hostname,
            prefix: &self.config.env_vars_prefix,
        };
        let task = |container: &model::pod::Container| Task {
            container: container.name.clone(),
            id: instance.task_id(&container.name),
            environment: environment(&launch, container),
        };
        TaskGroup {
            run: instance.run(),
            instance: record.id.clone(),
            definition: instance.definition.clone(),
            claim: instance.claim(),
            host_ports: record.host_ports.clone(),
            tasks: instance.definition.containers.iter().map(task).collect(),
        }
    }

    /// Whether an instance fits in `free`, and the host ports that it would get.
    pub(crate) fn fit(
        &self,
        pod: &Pod,
        instance: &Instance,
        free: &Pools,
        reserved: &PortSet,
        crowd: Crowd,
    ) -> Result<Vec<PortAssignment>, WaitReason> {
        let definition = &*instance.definition;
        let access = Access::of(definition);
        let (free, total) = (free.of(&access), self.config.total.of(&access));
        let needed = needs(definition);
        if let Access::Reserved(role) = access
            && total == Claim::default()
        {
            return Err(WaitReason::NothingReserved { role });
        }
        if let Some(kind) = short(&needed, &total.resources) {
            let (needed, total) = (needed.get(kind), total.resources.get(kind));
            return Err(WaitReason::TooBig {
                kind,
                needed,
                total,
            });
        }
        PortNeed::of(definition).check_possible(&total.ports)?;
        let placed = pod
            .instances
            .values()
            .filter(|other| other.record.run_open && crowd.counts(pod, other))
            .count();
        constraint::check(
            &definition.scheduling.placement.constraints,
            &self.agent,
            placed,
        )?;
        if let Some(kind) = short(&needed, &free.resources) {
            return Err(WaitReason::Lacking {
                kind,
                needed: needed.get(kind),
                free: free.resources.get(kind),
                total: total.resources.get(kind),
            });
        }
        ports::assign(definition, &free.ports, reserved).map_err(|reason| self.with_holder(reason))
    }

    /// Why a waiting instance is not launched, as things stand.
    pub(crate) fn why_waiting(&self, pod: &Pod, instance: &Instance, free: &Pools) -> WaitReason {
        let fit = self.fit(pod, instance, free, &PortSet::default(), Crowd::Everyone);
        match (fit, back_off(pod, instance, self.clock)) {
            (Err(never), _) if never.can_never_fit() => never,
            (_, Err(back_off)) => back_off,
            (Err(reason), Ok(())) => reason,
            (Ok(_), Ok(())) => WaitReason::NextOffer,
        }
    }

    /// What no open run holds.
    pub(crate) fn free(&self) -> Pools {
        self.held.free(&self.config.total)
    }

    fn with_holder(&self, reason: WaitReason) -> WaitReason {
        if let WaitReason::PortTaken { port, .. } = reason {
            return WaitReason::PortTaken {
                port,
                holder: self.held.holders.get(&port).cloned(),
            };
        }
        reason
    }
}

/// Which instances of the same pod a constraint counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowd {
    /// All that hold a place.
    Everyone,
    /// All but those of other configurations that could be ended.
    WithoutOld,
}

impl Crowd {
    fn counts(self, pod: &Pod, other: &Instance) -> bool {
        match self {
            Self::Everyone => true,
            Self::WithoutOld => !(pod.is_old(other) && other.record.goal == Goal::Running),
        }
    }
}

/// Whether the back-off of the instance's version is over.
pub(crate) fn back_off(pod: &Pod, instance: &Instance, now: Timestamp) -> Result<(), WaitReason> {
    match pod.backoffs.get(&instance.record.version) {
        Some(present) if backoff::ends(present) > now => Err(WaitReason::BackOff {
            delay_ms: present.delay_ms,
            until: backoff::ends(present),
        }),
        Some(_) | None => Ok(()),
    }
}
