//! What a change of a definition changes.

use super::PodDefinition;

impl PodDefinition {
    /// Whether both ask for the same: everything but `version`, which only says when it was asked.
    ///
    /// An update to the same is a deployment without steps.
    pub fn is_same(&self, other: &Self) -> bool {
        self.scaling == other.scaling && self.same_but_for_scaling(other)
    }

    /// Whether the running instances of one are as good as those of the other: everything but `scaling`
    /// and `version`.
    ///
    /// If so, a change only starts or stops instances, and running ones keep their old version. If not,
    /// they are replaced. Marathon leaves `executorResources`, `killSelection`, `unreachableStrategy` and
    /// `legacySharedCgroups` out of this comparison, by mistake: there a change of these is stored and
    /// never takes effect (marathon: `src/main/scala/mesosphere/marathon/core/pod/PodDefinition.scala`,
    /// `needsRestart`). Here they count.
    pub fn same_but_for_scaling(&self, other: &Self) -> bool {
        let Self {
            id,
            labels,
            version: _,
            user,
            environment,
            containers,
            secrets,
            volumes,
            networks,
            scaling: _,
            scheduling,
            executor_resources,
            role,
            linux_info,
            legacy_shared_cgroups,
        } = self;
        *id == other.id
            && *labels == other.labels
            && *user == other.user
            && *environment == other.environment
            && *containers == other.containers
            && *secrets == other.secrets
            && *volumes == other.volumes
            && *networks == other.networks
            && *scheduling == other.scheduling
            && *executor_resources == other.executor_resources
            && *role == other.role
            && *linux_info == other.linux_info
            && *legacy_shared_cgroups == other.legacy_shared_cgroups
    }
}
