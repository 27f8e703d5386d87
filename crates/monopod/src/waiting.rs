//! `--wait`: following a deployment until what was asked for is so, or cannot be.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Deserialize;
use tokio::time::sleep;

use crate::{
    client::{Client, quote},
    error::CliError,
    output::ProgressLine,
    pod_status::{Outcome, PodStatus, RestartPolicy},
};

/// How long one request waits for a change. Short on a terminal, where reasons to wait are shown too.
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_ON_TERMINAL: Duration = Duration::from_secs(1);
/// Between two looks at what the daemon cannot be asked to wait for.
const INTERVAL: Duration = Duration::from_millis(200);

/// Whether to wait and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct WaitArgs {
    /// Return once it is done, not once it is accepted.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up waiting after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "wait")]
    pub(crate) timeout: u64,
}

/// A running deployment, as far as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    current_step: u32,
    total_steps: u32,
    #[serde(default)]
    current_actions: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Action {
    action: String,
}

/// One wait for one pod.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    client: &'a Client,
    pod: String,
    deadline: Instant,
    progress: ProgressLine,
}

impl<'a> Waiting<'a> {
    /// Begins to wait; the time limit counts from now.
    pub(crate) fn new(client: &'a Client, pod: &str, args: &WaitArgs) -> Self {
        let now = Instant::now();
        let deadline = now.checked_add(Duration::from_secs(args.timeout));
        Self {
            client,
            pod: format!("/{}", pod.trim_matches('/')),
            deadline: deadline.unwrap_or_else(|| now + Duration::from_secs(u64::from(u32::MAX))),
            progress: ProgressLine::new(),
        }
    }

    /// Waits until the deployment is over and the pod is stable, or, where its instances come to an end by themselves,
    /// until all of them did.
    ///
    /// # Errors
    /// [`CliError::NotReached`] and [`CliError::PodFailed`].
    pub(crate) async fn until_deployed(mut self, deployment: &str) -> Result<(), CliError> {
        self.until_deployment_over(deployment).await?;
        match self.find_status().await? {
            Some(status) if status.has_end() => self.until_over(status).await,
            Some(status) if status.is_stable() => Ok(()),
            Some(status) => Err(match status.last_failure() {
                Some(failure) => self.pod_failed(failure.to_owned()),
                None => self.not_reached(format!(
                    "the deployment ended without success: {}",
                    status.explanation()
                )),
            }),
            None => Err(self.not_reached("was removed meanwhile".to_owned())),
        }
    }

    /// Waits for the outcome of a pod that has one.
    async fn until_over(mut self, mut status: PodStatus) -> Result<(), CliError> {
        loop {
            match status.outcome() {
                Some(Outcome::Finished) => return Ok(()),
                Some(Outcome::Failed) => return Err(self.pod_failed(status.explanation())),
                None => {}
            }
            self.progress
                .show(&progress_text(&self.pod, None, Some(&status)));
            self.check_deadline(Some(&status))?;
            sleep(INTERVAL).await;
            status = self
                .find_status()
                .await?
                .ok_or_else(|| self.not_reached("was removed meanwhile".to_owned()))?;
        }
    }

    /// Waits until the deployment is over and nothing of the pod is left.
    ///
    /// # Errors
    /// [`CliError::NotReached`].
    pub(crate) async fn until_removed(mut self, deployment: &str) -> Result<(), CliError> {
        self.until_deployment_over(deployment).await?;
        loop {
            match self.find_status().await? {
                None => return Ok(()),
                Some(status) if status.status != "TERMINAL" => {
                    return Err(
                        self.not_reached("is still there: its removal was cancelled".into())
                    );
                }
                Some(status) => self.check_deadline(Some(&status))?,
            }
            sleep(INTERVAL).await;
        }
    }

    /// Waits until none of these containers is left and the pod is stable again; until they have ended, where nothing
    /// takes their place.
    ///
    /// # Errors
    /// [`CliError::NotReached`].
    pub(crate) async fn until_replaced(
        mut self,
        killed: &BTreeSet<String>,
    ) -> Result<(), CliError> {
        loop {
            let Some(status) = self.find_status().await? else {
                return Err(self.not_reached("was removed meanwhile".to_owned()));
            };
            let replaced = status.is_stable() && container_ids(&status).is_disjoint(killed);
            if replaced || is_over(&status, killed) {
                return Ok(());
            }
            self.progress
                .show(&progress_text(&self.pod, None, Some(&status)));
            self.check_deadline(Some(&status))?;
            sleep(INTERVAL).await;
        }
    }

    async fn until_deployment_over(&mut self, deployment: &str) -> Result<(), CliError> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let seconds = left.min(self.patience()).as_secs().max(1);
            let path = format!("/v2/deployments/{}?wait={seconds}", quote(deployment));
            let asked = Instant::now();
            match self.client.get(&path).await {
                Ok(answer) => self.show(answer.json()?).await?,
                Err(CliError::Refused(refusal)) if refusal.status == 404 => return Ok(()),
                // A daemon that restarts goes on with the deployment.
                Err(error) if error.is_daemon_away() && !left.is_zero() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= self.deadline {
                let status = self.find_status().await?;
                self.check_deadline(status.as_ref())?;
            }
            if asked.elapsed() < INTERVAL {
                sleep(INTERVAL).await;
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.progress.is_visible() {
            PATIENCE_ON_TERMINAL
        } else {
            PATIENCE
        }
    }

    async fn show(&mut self, deployment: Deployment) -> Result<(), CliError> {
        if self.progress.is_visible() {
            let status = PodStatus::find(self.client, &self.pod).await?;
            self.progress.show(&progress_text(
                &self.pod,
                Some(&deployment),
                status.as_ref(),
            ));
        }
        Ok(())
    }

    /// The pod's status; asks again while the daemon restarts.
    async fn find_status(&self) -> Result<Option<PodStatus>, CliError> {
        loop {
            match PodStatus::find(self.client, &self.pod).await {
                Err(error) if error.is_daemon_away() && Instant::now() < self.deadline => {}
                found => return found,
            }
            sleep(INTERVAL).await;
        }
    }

    fn check_deadline(&self, status: Option<&PodStatus>) -> Result<(), CliError> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        let reason = match status {
            Some(status) => format!("not done in time: {}", status.explanation()),
            None => "not done in time".to_owned(),
        };
        Err(self.not_reached(reason))
    }

    fn not_reached(&self, reason: String) -> CliError {
        CliError::NotReached {
            pod: self.pod.clone(),
            reason,
        }
    }

    fn pod_failed(&self, reason: String) -> CliError {
        CliError::PodFailed {
            pod: self.pod.clone(),
            reason,
        }
    }
}

/// Whether nothing comes any more of these containers: they ended, and their instances are not launched again.
fn is_over(status: &PodStatus, containers: &BTreeSet<String>) -> bool {
    let mut shown = status.instances.iter().flat_map(|one| &one.containers);
    let is_one = |id: &String| containers.contains(id);
    status.outcome() == Some(Outcome::Finished)
        || status.spec.scheduling.restart_policy == RestartPolicy::Never
            && shown.all(|one| one.has_ended() || !one.container_id.as_ref().is_some_and(is_one))
}

/// The ids of all containers that the status shows.
pub(crate) fn container_ids(status: &PodStatus) -> BTreeSet<String> {
    status
        .instances
        .iter()
        .flat_map(|instance| &instance.containers)
        .filter_map(|container| container.container_id.clone())
        .collect()
}

/// How a deployment's action is called on the command line (dcos-core-cli: `dcoscli/tables.py`).
pub(crate) fn action_word(action: &str) -> &str {
    match action {
        "StartPod" | "StartApplication" => "start",
        "StopPod" | "StopApplication" => "stop",
        "RestartPod" | "RestartApplication" => "restart",
        "ScalePod" | "ScaleApplication" => "scale",
        "ResolveArtifacts" => "artifacts",
        "KillAllOldTasksOf" => "kill-tasks",
        other => other,
    }
}

fn progress_text(pod: &str, deployment: Option<&Deployment>, status: Option<&PodStatus>) -> String {
    let mut parts = Vec::new();
    if let Some(deployment) = deployment {
        let actions: Vec<_> = deployment
            .current_actions
            .iter()
            .map(|action| action_word(&action.action))
            .collect();
        let step = format!(
            "step {} of {}",
            deployment.current_step, deployment.total_steps
        );
        parts.push(if actions.is_empty() {
            step
        } else {
            format!("{step} ({})", actions.join(", "))
        });
    }
    if let Some(status) = status {
        let (stable, wanted) = (status.stable_instances(), status.spec.scaling.instances);
        parts.push(format!("{stable} of {wanted} instances running"));
        if let Some(reason) = status.waiting_reason() {
            parts.push(format!("waits: {reason}"));
        } else if let (false, Some(failure)) = (status.is_stable(), status.last_failure()) {
            parts.push(format!("last failure: {failure}"));
        }
    }
    format!("{pod}: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod_status::tests::job;

    #[test]
    fn progress_tells_step_instances_and_reason() {
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "id": "d", "currentStep": 2, "totalSteps": 2,
            "currentActions": [{"action": "ScalePod", "pod": "/shop/web"}]
        }))
        .unwrap();
        let mut status: PodStatus =
            serde_json::from_value(crate::pod_status::tests::sample()).unwrap();
        insta::assert_snapshot!(
            progress_text("/shop/web", Some(&deployment), Some(&status)),
            @"/shop/web: step 2 of 2 (scale), 1 of 2 instances running, last failure: newer"
        );
        status.message = Some("needs 4 cpus, 1.2 of 2 are free".to_owned());
        insta::assert_snapshot!(
            progress_text("/shop/web", None, Some(&status)),
            @"/shop/web: 1 of 2 instances running, waits: needs 4 cpus, 1.2 of 2 are free"
        );
    }

    #[test]
    fn replacement_is_known_by_new_container_ids() {
        let status: PodStatus = serde_json::from_value(crate::pod_status::tests::sample()).unwrap();
        assert_eq!(container_ids(&status), BTreeSet::from(["c1".to_owned()]));
    }

    #[test]
    fn killed_containers_that_nothing_replaces_are_waited_for_until_they_ended() {
        let killed = BTreeSet::from(["c1".to_owned()]);
        let check = |policy, state: &str, expected| {
            let mut status = job(policy, [("TERMINAL", state), ("STABLE", "TASK_RUNNING")]);
            status.instances[0].containers[0].container_id = Some("c1".to_owned());
            assert_eq!(is_over(&status, &killed), expected, "{policy} {state}");
        };
        check("NEVER", "TASK_KILLED", true);
        check("NEVER", "TASK_KILLING", false);
        check("ON_FAILURE", "TASK_KILLED", false);
        check("ALWAYS", "TASK_KILLED", false);
    }
}
