//! The members of the API's status documents that the command line reads.

use serde::Deserialize;

use crate::{
    client::{Client, pod_path},
    error::CliError,
};

/// `GET /v2/pods/ID::status`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStatus {
    pub(crate) id: String,
    pub(crate) spec: Spec,
    pub(crate) status: String,
    pub(crate) status_since: String,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) instances: Vec<Instance>,
    #[serde(default)]
    pub(crate) termination_history: Vec<Termination>,
}

/// The definition, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Spec {
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) role: Option<String>,
    #[serde(default)]
    pub(crate) containers: Vec<Named>,
    #[serde(default)]
    pub(crate) scaling: Scaling,
    #[serde(default)]
    pub(crate) scheduling: Scheduling,
}

/// How instances are launched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Scheduling {
    #[serde(default)]
    pub(crate) restart_policy: RestartPolicy,
}

/// Whether an instance whose run ended is launched again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// What came of a pod none of whose instances is launched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every container of every instance ended with status 0.
    Finished,
    /// Some did not.
    Failed,
}

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// How many instances are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Scaling {
    pub(crate) instances: u32,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { instances: 1 }
    }
}

/// An instance of the pod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) containers: Vec<Container>,
}

/// A container of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) container_id: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// An instance that failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Termination {
    #[serde(default)]
    pub(crate) terminated_at: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
}

impl Container {
    fn has_finished(&self) -> bool {
        self.status == "TASK_FINISHED"
    }

    /// Whether no further state follows.
    pub(crate) fn has_ended(&self) -> bool {
        const LIVE: [&str; 5] = [
            "",
            "TASK_STAGING",
            "TASK_STARTING",
            "TASK_RUNNING",
            "TASK_KILLING",
        ];
        !LIVE.contains(&self.status.as_str())
    }
}

impl PodStatus {
    /// Asks for a pod's status.
    ///
    /// # Errors
    /// As [`Client::get`], and [`CliError::Shape`].
    pub(crate) async fn read(client: &Client, id: &str) -> Result<Self, CliError> {
        client.get(&pod_path(id, "::status")).await?.json()
    }

    /// Asks for a pod's status; `None` if there is no such pod.
    ///
    /// # Errors
    /// As [`Self::read`], without an answer of 404.
    pub(crate) async fn find(client: &Client, id: &str) -> Result<Option<Self>, CliError> {
        match Self::read(client, id).await {
            Ok(status) => Ok(Some(status)),
            Err(CliError::Refused(refusal)) if refusal.status == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether enough instances run.
    pub(crate) fn is_stable(&self) -> bool {
        self.status == "STABLE"
    }

    /// Whether its instances come to an end by themselves, so that there will be an [`Outcome`].
    pub(crate) fn has_end(&self) -> bool {
        self.spec.scheduling.restart_policy != RestartPolicy::Always
    }

    /// What came of it; `None` while some instance runs or will be launched again.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let wanted = usize::try_from(self.spec.scaling.instances).unwrap_or(usize::MAX);
        let is_over = |instance: &Instance| {
            instance.status == "TERMINAL" && instance.containers.iter().all(Container::has_ended)
        };
        let all_over = self.instances.len() >= wanted && self.instances.iter().all(is_over);
        if !self.has_end() || !all_over {
            return None;
        }
        let mut containers = self.instances.iter().flat_map(|one| &one.containers);
        match (
            containers.all(Container::has_finished),
            self.spec.scheduling.restart_policy,
        ) {
            (true, _) => Some(Outcome::Finished),
            (false, RestartPolicy::Never) => Some(Outcome::Failed),
            // Killed, and about to be launched again.
            (false, RestartPolicy::Always | RestartPolicy::OnFailure) => None,
        }
    }

    /// How many instances run as they should.
    pub(crate) fn stable_instances(&self) -> usize {
        self.instances
            .iter()
            .filter(|instance| instance.status == "STABLE")
            .count()
    }

    /// Why the pod waits, as the daemon tells it.
    pub(crate) fn waiting_reason(&self) -> Option<&str> {
        non_empty(self.message.as_ref())
    }

    /// What the last failure of the pod said, as far as one is remembered.
    pub(crate) fn last_failure(&self) -> Option<&str> {
        let newest = self
            .termination_history
            .iter()
            .max_by_key(|entry| &entry.terminated_at);
        newest
            .and_then(|entry| non_empty(entry.message.as_ref()))
            .or_else(|| {
                self.instances
                    .iter()
                    .flat_map(|instance| &instance.containers)
                    .filter(|container| {
                        container.status == "TASK_FAILED" || container.status == "TASK_ERROR"
                    })
                    .find_map(|container| non_empty(container.message.as_ref()))
            })
    }

    /// The best explanation there is for a pod that is not stable.
    pub(crate) fn explanation(&self) -> String {
        let instances = || {
            self.instances
                .iter()
                .find_map(|i| non_empty(i.message.as_ref()))
        };
        match self
            .waiting_reason()
            .or_else(|| self.last_failure())
            .or_else(instances)
        {
            Some(reason) => reason.to_owned(),
            None => format!(
                "{} of {} instances are stable",
                self.stable_instances(),
                self.spec.scaling.instances
            ),
        }
    }
}

fn non_empty(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A status with two instances, one of which failed.
    pub(crate) fn sample() -> serde_json::Value {
        serde_json::json!({
            "id": "/shop/web", "status": "DEGRADED", "statusSince": "2024-05-01T10:00:00.120Z",
            "spec": {
                "id": "/shop/web", "version": "2024-05-01T09:00:00.000Z", "role": "*",
                "containers": [{"name": "web"}, {"name": "log"}],
                "scaling": {"kind": "fixed", "instances": 2}
            },
            "instances": [
                {"id": "shop_web.instance-1", "status": "STABLE",
                 "containers": [{"name": "web", "status": "TASK_RUNNING", "containerId": "c1"}]},
                {"id": "shop_web.instance-2", "status": "PENDING",
                 "containers": [{"name": "web", "status": "TASK_FAILED", "message": "exit 2"}]}
            ],
            "terminationHistory": [
                {"terminatedAt": "2024-05-01T09:10:00.000Z", "message": "newer"},
                {"terminatedAt": "2024-05-01T09:05:00.000Z", "message": "older"}
            ]
        })
    }

    /// A pod of two instances whose only containers are in these states.
    pub(crate) fn job(policy: &str, instances: [(&str, &str); 2]) -> PodStatus {
        let instance = |(status, container): (&str, &str)| {
            serde_json::json!({
                "id": format!("job.instance-{status}"), "status": status,
                "containers": [{"name": "c", "status": container, "message": "exited with status 3"}]
            })
        };
        serde_json::from_value(serde_json::json!({
            "id": "/job", "status": "TERMINAL", "statusSince": "2024-05-01T10:00:00.120Z",
            "spec": {
                "id": "/job", "containers": [{"name": "c"}],
                "scaling": {"kind": "fixed", "instances": 2},
                "scheduling": {"restartPolicy": policy}
            },
            "instances": instances.map(instance)
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_has_an_outcome_once_nothing_of_it_runs_again() {
        const FINISHED: (&str, &str) = ("TERMINAL", "TASK_FINISHED");
        const FAILED: (&str, &str) = ("TERMINAL", "TASK_FAILED");
        const ENDING: (&str, &str) = ("TERMINAL", "TASK_KILLING");
        const RUNNING: (&str, &str) = ("STABLE", "TASK_RUNNING");
        let cases = [
            ("NEVER", [FINISHED, FINISHED], Some(Outcome::Finished)),
            ("NEVER", [FINISHED, FAILED], Some(Outcome::Failed)),
            ("NEVER", [FAILED, ENDING], None),
            ("NEVER", [FINISHED, RUNNING], None),
            ("ON_FAILURE", [FINISHED, FINISHED], Some(Outcome::Finished)),
            ("ON_FAILURE", [FINISHED, FAILED], None),
            ("ALWAYS", [FINISHED, FINISHED], None),
        ];
        for (policy, instances, outcome) in cases {
            assert_eq!(
                job(policy, instances).outcome(),
                outcome,
                "{policy} {instances:?}"
            );
        }
        let mut waits = job("NEVER", [FINISHED, FINISHED]);
        waits.instances.pop();
        assert_eq!(waits.outcome(), None, "one was not launched yet");
        assert_eq!(
            job("NEVER", [FINISHED, FAILED]).explanation(),
            "exited with status 3"
        );
    }

    #[test]
    fn explains_by_the_best_reason_there_is() {
        let mut status: PodStatus = serde_json::from_value(sample()).unwrap();
        status.message = Some("needs 4 cpus".to_owned());
        assert_eq!(status.explanation(), "needs 4 cpus");
        status.message = Some(String::new());
        assert_eq!(status.explanation(), "newer");
        status.termination_history.clear();
        assert_eq!(status.explanation(), "exit 2");
        status.instances[1].containers.clear();
        assert_eq!(status.explanation(), "1 of 2 instances are stable");
    }
}
