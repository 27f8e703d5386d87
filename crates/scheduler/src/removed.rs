//! Pods that were removed: their versions are kept for a while, as Marathon keeps them, but not for ever. CI jobs add
//! pods under ever new ids.

use model::{id::PodId, record::RemovedPodRecord, time::Timestamp};

use crate::Scheduler;

impl Scheduler {
    /// Remembers that the pod was removed just now, and forgets those that were removed before too many others.
    pub(crate) fn remember_removed(&mut self, pod: &PodId) {
        let removed_at = self.clock;
        self.removed.insert(pod.clone(), removed_at);
        self.out.removed.push(RemovedPodRecord {
            pod: pod.clone(),
            removed_at,
        });
        self.forget_removed();
    }

    /// The pod is defined again; it goes on with the versions that it had.
    pub(crate) fn revive_removed(&mut self, pod: &PodId) {
        if self.removed.remove(pod).is_some() {
            self.out.removed_gone.push(pod.clone());
        }
    }

    /// Forgets removed pods beyond the limit, with all their versions, the one removed first first.
    pub(crate) fn forget_removed(&mut self) {
        let surplus = self
            .removed
            .len()
            .saturating_sub(self.config.max_removed_pods);
        if surplus == 0 {
            return;
        }
        let mut oldest: Vec<(Timestamp, PodId)> = self
            .removed
            .iter()
            .map(|(pod, removed_at)| (*removed_at, pod.clone()))
            .collect();
        oldest.sort_unstable();
        for (_, pod) in oldest.into_iter().take(surplus) {
            self.removed.remove(&pod);
            let versions = self.history.remove(&pod).unwrap_or_default();
            let gone = versions.into_keys().map(|version| (pod.clone(), version));
            self.out.versions_gone.extend(gone);
            self.out.removed_gone.push(pod);
        }
    }
}
