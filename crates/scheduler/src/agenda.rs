//! What pods wait for, entered as they change, so that no turn has to look at all of them.
//!
//! Whoever takes a pod to change it has it marked ([`Scheduler::pod_mut`]); before anything is looked up, and at the end
//! of each turn, the marked pods are entered anew. What a pod waits for follows from it alone, not from other pods.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use model::{id::PodId, pod::PodDefinition, ports::PortSet, record::ActionKind, time::Timestamp};

use crate::{Scheduler, backoff, pods::Pod, ports::PortNeed};

/// What all pods wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    /// Pods whose entries may be out of date.
    stale: BTreeSet<PodId>,
    entries: BTreeMap<PodId, Entry>,
    /// Pods with instances that wait to be launched.
    waiting: BTreeSet<PodId>,
    /// Those of them that a rolling update is at work on.
    rolling: BTreeSet<PodId>,
    /// From when on pods have instances that an offer can launch.
    launches: Schedule,
    /// When back-offs end that instances wait for.
    backoffs: Schedule,
    /// When runs have to be told to end.
    kills: Schedule,
    fixed_ports: FixedPorts,
    /// Whether something changed since the last offer was declined that could make it fit.
    stirred: bool,
    /// When the last offer was declined.
    declined: Timestamp,
    /// Whether what is free changed since rolling updates were looked at.
    free_changed: bool,
    /// When ends of back-offs were last taken note of.
    ticked: Timestamp,
}

/// What one pod waits for.
#[derive(Clone, Debug, Default)]
struct Entry {
    waiting: bool,
    rolling: bool,
    launches: Option<Timestamp>,
    /// Ascending, each once.
    backoffs: Vec<Timestamp>,
    kills: Option<Timestamp>,
    fixed_ports: Option<NamedPorts>,
}

impl Agenda {
    /// A pod may have changed.
    pub(crate) fn mark(&mut self, pod: &PodId) {
        if !self.stale.contains(pod) {
            self.stale.insert(pod.clone());
        }
    }

    /// A run took what was free.
    pub(crate) fn take_place(&mut self) {
        self.free_changed = true;
    }

    /// More is free, or there is another total.
    pub(crate) fn make_place(&mut self) {
        self.free_changed = true;
        self.stirred = true;
    }

    /// An offer that was made at `now` launched nothing.
    pub(crate) fn declined(&mut self, now: Timestamp) {
        self.stirred = false;
        self.declined = now;
    }

    /// Whether an offer could launch something that the last one did not.
    pub(crate) fn wants_offers(&self, now: Timestamp) -> bool {
        let launchable = self.launches.first().is_some_and(|first| first <= now);
        launchable && (self.stirred || self.backoffs.any_within(self.declined, now))
    }

    /// Pods with instances that wait to be launched.
    pub(crate) fn waiting(&self) -> &BTreeSet<PodId> {
        &self.waiting
    }

    /// Pods with instances that an offer at `now` can launch.
    pub(crate) fn launchable(&self, now: Timestamp) -> impl Iterator<Item = &PodId> {
        self.launches.until(now)
    }

    /// Pods whose rolling update waits for room, given what is free now.
    pub(crate) fn take_rolling(&mut self) -> Vec<PodId> {
        self.free_changed = false;
        self.rolling.iter().cloned().collect()
    }

    /// Whether what is free changed since rolling updates were looked at.
    pub(crate) fn free_changed(&self) -> bool {
        self.free_changed
    }

    /// Pods with runs that have to be told to end by `now`.
    pub(crate) fn kills_due(&self, now: Timestamp) -> impl Iterator<Item = &PodId> {
        self.kills.until(now)
    }

    /// Pods that waited for the end of a back-off that came since this was last asked.
    pub(crate) fn take_ended_backoffs(&mut self, now: Timestamp) -> Vec<PodId> {
        let last = std::mem::replace(&mut self.ticked, now);
        self.backoffs.within(last, now).cloned().collect()
    }

    /// When time alone next changes something after `now`; a kill that is overdue is due at `now`.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let kill = self.kills.first().map(|due| due.max(now));
        self.backoffs.first_after(now).into_iter().chain(kill).min()
    }

    /// The fixed host ports of all pods.
    pub(crate) fn fixed_ports(&self) -> &PortSet {
        &self.fixed_ports.set
    }

    fn replace(&mut self, pod: &PodId, before: &Entry, after: Option<Entry>) {
        let now = after.as_ref();
        let is = |of: fn(&Entry) -> bool| now.is_some_and(of);
        set(&mut self.waiting, pod, is(|entry| entry.waiting));
        set(&mut self.rolling, pod, is(|entry| entry.rolling));
        self.stirred |= is(|entry| entry.waiting);
        let times =
            |of: fn(&Entry) -> Vec<Timestamp>| (of(before), now.map(of).unwrap_or_default());
        for (schedule, (gone, come)) in [
            (
                &mut self.launches,
                times(|entry| Vec::from_iter(entry.launches)),
            ),
            (&mut self.kills, times(|entry| Vec::from_iter(entry.kills))),
            (&mut self.backoffs, times(|entry| entry.backoffs.clone())),
        ] {
            schedule.exchange(pod, &gone, &come);
        }
        let ports = |entry: &Entry| entry.fixed_ports.clone();
        self.fixed_ports
            .exchange(ports(before), now.and_then(ports));
        if let Some(entry) = after {
            self.entries.insert(pod.clone(), entry);
        }
    }
}

fn set(pods: &mut BTreeSet<PodId>, pod: &PodId, present: bool) {
    if !present {
        pods.remove(pod);
    } else if !pods.contains(pod) {
        pods.insert(pod.clone());
    }
}

/// Points in time, and the pods that they concern.
#[derive(Clone, Debug, Default)]
struct Schedule(BTreeMap<Timestamp, BTreeSet<PodId>>);

impl Schedule {
    /// The pod's points in time are others now.
    fn exchange(&mut self, pod: &PodId, before: &[Timestamp], after: &[Timestamp]) {
        if before == after {
            return;
        }
        for at in before {
            if let Some(pods) = self.0.get_mut(at) {
                pods.remove(pod);
                if pods.is_empty() {
                    self.0.remove(at);
                }
            }
        }
        for at in after {
            self.0.entry(*at).or_default().insert(pod.clone());
        }
    }

    fn first(&self) -> Option<Timestamp> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    fn first_after(&self, now: Timestamp) -> Option<Timestamp> {
        let later = (Bound::Excluded(now), Bound::Unbounded);
        self.0.range(later).next().map(|(at, _)| *at)
    }

    fn until(&self, now: Timestamp) -> impl Iterator<Item = &PodId> {
        self.0.range(..=now).flat_map(|(_, pods)| pods)
    }

    fn within(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = &PodId> {
        let last = until.max(after);
        let range = (Bound::Excluded(after), Bound::Included(last));
        // Nothing is after `last` and until it; a range of nothing may not be asked for.
        let range = (after < last).then(|| self.0.range(range));
        range.into_iter().flatten().flat_map(|(_, pods)| pods)
    }

    fn any_within(&self, after: Timestamp, until: Timestamp) -> bool {
        self.within(after, until).next().is_some()
    }
}

/// The host ports that definitions name: endpoints without a wish of their own get others.
#[derive(Clone, Debug, Default)]
struct FixedPorts {
    /// How often each is named.
    named: BTreeMap<u16, usize>,
    set: PortSet,
}

impl FixedPorts {
    fn exchange(&mut self, before: Option<NamedPorts>, after: Option<NamedPorts>) {
        if before == after {
            return;
        }
        for port in before.iter().flat_map(|named| &*named.ports) {
            let count = self.named.entry(*port).or_default();
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.named.remove(port);
                self.set.remove(*port);
            }
        }
        for port in after.iter().flat_map(|named| &*named.ports) {
            *self.named.entry(*port).or_default() += 1;
            self.set.insert(*port);
        }
    }
}

/// The fixed host ports of one definition.
#[derive(Clone, Debug)]
struct NamedPorts {
    definition: Arc<PodDefinition>,
    ports: Arc<[u16]>,
}

/// Of the same definition.
impl PartialEq for NamedPorts {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.definition, &other.definition)
    }
}

impl Scheduler {
    /// Enters the pods anew that changed since they were entered.
    pub(crate) fn enter_changes(&mut self) {
        for id in std::mem::take(&mut self.agenda.stale) {
            let before = self.agenda.entries.remove(&id).unwrap_or_default();
            let after = self.pods.get(&id).map(|pod| self.entry(pod, &before));
            self.agenda.replace(&id, &before, after);
        }
    }

    fn entry(&self, pod: &Pod, before: &Entry) -> Entry {
        let same = |named: &&NamedPorts| Arc::ptr_eq(&named.definition, &pod.definition);
        let named = before.fixed_ports.as_ref().filter(same).cloned();
        let mut entry = Entry {
            fixed_ports: Some(named.unwrap_or_else(|| NamedPorts {
                definition: pod.definition.clone(),
                ports: PortNeed::of(&pod.definition).fixed.into(),
            })),
            ..Entry::default()
        };
        for instance in pod.instances.values() {
            if instance.is_waiting() {
                let end = pod
                    .backoffs
                    .get(&instance.record.version)
                    .map(backoff::ends);
                let from = end.unwrap_or_default();
                entry.waiting = true;
                entry.launches = Some(entry.launches.map_or(from, |other| other.min(from)));
                entry.backoffs.extend(end);
            } else if let Some(due) = self.kill_due(instance) {
                entry.kills = Some(entry.kills.map_or(due, |other| other.min(due)));
            }
        }
        entry.backoffs.sort_unstable();
        entry.backoffs.dedup();
        entry.rolling =
            entry.waiting && self.current_action(&pod.record.id) == Some(ActionKind::RestartPod);
        entry
    }
}
