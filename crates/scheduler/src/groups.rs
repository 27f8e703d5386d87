//! Groups: the folders that pods' ids make (marathon: `state/RootGroup.scala`).

use std::ops::Bound;

use model::id::PodId;

use crate::{Accepted, Denied, Scheduler, Turn};

impl Scheduler {
    /// Whether a pod may have this id beside the others: no id is a pod's and a group's at once.
    pub(crate) fn check_place(&self, pod: &PodId) -> Result<(), Denied> {
        let path = pod.as_str();
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        let inside = format!("{pod}/");
        // What is in a group stands together, for ids are in the order of their letters.
        let from = (Bound::Included(inside.as_str()), Bound::Unbounded);
        let next = self.pods.range::<str, _>(from).next();
        let is_group = next.is_some_and(|(other, _)| is_in(other, pod));
        if is_group || above.into_iter().any(|group| self.pods.contains_key(group)) {
            return Err(Denied::GroupExists);
        }
        Ok(())
    }

    /// Removes the pods of a group, each by a deployment of its own; the last one's is told.
    pub(crate) fn remove_group(
        &mut self,
        group: Option<PodId>,
        force: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Accepted, Denied> {
        let within = |pod: &PodId| group.as_ref().is_none_or(|group| is_in(pod, group));
        let pods: Vec<_> = self
            .pods
            .values()
            .filter(|pod| !pod.record.removing && within(&pod.record.id))
            .map(|pod| (pod.record.id.clone(), pod.deployment))
            .collect();
        if let (Some(group), true) = (&group, pods.is_empty()) {
            return Err(Denied::GroupUnknown {
                group: group.clone(),
            });
        }
        let locks: Vec<_> = pods.iter().filter_map(|(_, lock)| *lock).collect();
        if !force && !locks.is_empty() {
            return Err(Denied::Locked { deployments: locks });
        }
        let (max, present) = (self.config.max_running_deployments, self.deployments.len());
        if present - locks.len() + pods.len() > max {
            return Err(Denied::TooManyDeployments { max });
        }
        let mut last = Accepted {
            version: Some(turn.now),
            ..Accepted::default()
        };
        for (pod, _) in pods {
            last = self.remove_pod(&pod, force, turn)?;
        }
        Ok(last)
    }
}

/// Whether the pod is in the group or in a group in it.
fn is_in(pod: &PodId, group: &PodId) -> bool {
    let rest = pod.as_str().strip_prefix(group.as_str());
    rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_what_is_below_it() {
        let id = |text: &str| PodId::parse(text).unwrap();
        let cases = [
            ("/a/b", "/a", true),
            ("/a/b/c", "/a", true),
            ("/a", "/a", false),
            ("/ab", "/a", false),
            ("/a", "/a/b", false),
        ];
        for (pod, group, expected) in cases {
            assert_eq!(is_in(&id(pod), &id(group)), expected, "{pod} {group}");
        }
    }
}
