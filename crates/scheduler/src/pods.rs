//! Pods in memory: their instances, back-offs and history, and how definitions become versions.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use model::{
    id::{DeploymentId, PodId},
    pod::{PodDefinition, Scaling},
    record::{BackoffRecord, PodRecord, PodVersionRecord, TerminationRecord},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Scheduler, instance::Instance};

/// A pod in memory.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) record: PodRecord,
    /// The definition in the pod's current version.
    pub(crate) definition: Arc<PodDefinition>,
    pub(crate) instances: BTreeMap<Uuid, Instance>,
    /// By version.
    pub(crate) backoffs: BTreeMap<Timestamp, BackoffRecord>,
    /// Oldest first.
    pub(crate) terminations: VecDeque<TerminationRecord>,
    /// The deployment at work on it.
    pub(crate) deployment: Option<DeploymentId>,
}

impl Pod {
    pub(crate) fn new(record: PodRecord, definition: Arc<PodDefinition>) -> Self {
        Self {
            record,
            definition,
            instances: BTreeMap::new(),
            backoffs: BTreeMap::new(),
            terminations: VecDeque::new(),
            deployment: None,
        }
    }

    /// How many instances are wanted.
    pub(crate) fn target(&self) -> usize {
        let wanted = if self.record.removing {
            0
        } else {
            self.definition.scaling.instances()
        };
        usize::try_from(wanted).unwrap_or(usize::MAX)
    }

    /// The instances that count as the pod's, whatever they are in.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Instance> {
        self.instances
            .values()
            .filter(|instance| instance.is_wanted())
    }

    /// Whether the instance runs another configuration than the pod's.
    pub(crate) fn is_old(&self, instance: &Instance) -> bool {
        instance.record.version != self.record.last_config_change
    }
}

/// Whether two definitions are the same but for their versions.
pub(crate) fn is_same(one: &PodDefinition, other: &PodDefinition) -> bool {
    one.scaling == other.scaling && is_same_but_for_scaling(one, other)
}

/// Whether two definitions are the same but for their versions and the number of instances.
pub(crate) fn is_same_but_for_scaling(one: &PodDefinition, other: &PodDefinition) -> bool {
    let plain = |definition: &PodDefinition| PodDefinition {
        version: None,
        scaling: Scaling::default(),
        ..definition.clone()
    };
    plain(one) == plain(other)
}

impl Scheduler {
    pub(crate) fn pod(&self, id: &PodId) -> &Pod {
        self.pods.get(id).expect("callers name pods that exist")
    }

    pub(crate) fn pod_mut(&mut self, id: &PodId) -> &mut Pod {
        self.agenda.mark(id);
        self.pods.get_mut(id).expect("callers name pods that exist")
    }

    /// Makes a version of the definition, later than every one that the pod ever had.
    pub(crate) fn make_version(&mut self, mut definition: PodDefinition) -> Arc<PodDefinition> {
        let versions = self.history.entry(definition.id.clone()).or_default();
        let after_last = versions
            .last_key_value()
            .map_or(self.clock, |(last, _)| last.after(Duration::from_millis(1)));
        let version = self.clock.max(after_last);
        definition.version = Some(version);
        let definition = Arc::new(definition);
        versions.insert(version, definition.clone());
        self.out.versions.push(PodVersionRecord {
            pod: definition.id.clone(),
            version,
            definition: definition.clone(),
        });
        definition
    }

    /// Makes `definition`, a version made just now, the pod's current one. Instances that already run the same
    /// configuration count as up to date, whichever version they were made for.
    pub(crate) fn define(&mut self, definition: &Arc<PodDefinition>) {
        let same = self.same_configuration(definition);
        self.define_since(definition, same);
    }

    /// As [`Scheduler::define`], but no instance counts as up to date.
    pub(crate) fn define_anew(&mut self, definition: &Arc<PodDefinition>) {
        self.define_since(definition, None);
    }

    fn define_since(&mut self, definition: &Arc<PodDefinition>, same: Option<Timestamp>) {
        let id = &definition.id;
        let version = definition.version.expect("versions carry their version");
        let last_config_change = same.unwrap_or(version);
        let record = PodRecord {
            id: id.clone(),
            version,
            last_config_change,
            removing: false,
        };
        self.agenda.mark(id);
        match self.pods.get_mut(id) {
            Some(pod) => {
                pod.record = record;
                pod.definition = definition.clone();
            }
            None => {
                self.pods
                    .insert(id.clone(), Pod::new(record, definition.clone()));
                self.revive_removed(id);
            }
        }
        self.mark_pod(id);
        self.prune_versions(id);
    }

    /// The version, among those that wanted instances have and the pod's own, with the same configuration.
    fn same_configuration(&self, definition: &PodDefinition) -> Option<Timestamp> {
        let pod = self
            .pods
            .get(&definition.id)
            .filter(|pod| !pod.record.removing)?;
        let own = pod.record.last_config_change;
        let is_same = |version: &Timestamp| {
            self.definition(&definition.id, *version)
                .is_some_and(|known| is_same_but_for_scaling(known, definition))
        };
        let mut versions: Vec<_> = pod
            .wanted()
            .map(|instance| instance.record.version)
            .collect();
        versions.sort_unstable();
        versions.dedup();
        std::iter::once(own)
            .chain(versions.into_iter().rev())
            .find(is_same)
    }

    /// Forgets the oldest versions beyond the limit, but none that something refers to.
    fn prune_versions(&mut self, id: &PodId) {
        let (Some(pod), Some(versions)) = (self.pods.get(id), self.history.get_mut(id)) else {
            return;
        };
        let deployment = pod
            .deployment
            .and_then(|deployment| self.deployments.get(&deployment));
        let is_used = |version: Timestamp| {
            version == pod.record.version
                || version == pod.record.last_config_change
                || pod
                    .instances
                    .values()
                    .any(|instance| instance.record.version == version)
                || deployment.is_some_and(|deployment| deployment.from_version == Some(version))
        };
        let surplus = versions.len().saturating_sub(self.config.max_versions);
        let gone: Vec<_> = versions
            .keys()
            .copied()
            .filter(|version| !is_used(*version))
            .take(surplus)
            .collect();
        for version in gone {
            versions.remove(&version);
            self.out.versions_gone.push((id.clone(), version));
        }
    }
}
