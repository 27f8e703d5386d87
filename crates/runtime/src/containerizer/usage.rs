//! What runs use.

use model::id::RunId;

use super::Containerizer;
use crate::cgroup::Usage;

impl Containerizer {
    /// What a container of a run uses now; `None` if its cgroup is not there.
    pub fn usage(&self, run: RunId, container: &str) -> Option<Usage> {
        self.cgroups
            .usage(&format!("{}/{container}", self.cgroup_of(run)))
    }
}
