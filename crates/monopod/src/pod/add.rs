//! `monopod pod add`.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde::Deserialize;

use crate::{
    client::Client,
    definition_source,
    error::CliError,
    output,
    pod_status::PodStatus,
    waiting::{WaitArgs, Waiting},
};

/// Arguments of `pod add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The definition; standard input where it is absent or `-`.
    file: Option<PathBuf>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// The definition as the daemon took it.
#[derive(Deserialize)]
struct Added {
    id: String,
}

/// Adds a pod and prints the deployment.
///
/// # Errors
/// Whatever kept it from being added, or from running with `--wait`.
pub(crate) async fn run(args: AddArgs, client: &Client) -> Result<(), CliError> {
    let definition = definition_source::read(args.file.as_deref())?;
    let answer = client
        .send(Method::POST, "/v2/pods", Some(definition))
        .await?;
    let deployment = answer
        .deployment
        .clone()
        .unwrap_or_else(|| "None".to_owned());
    output::print_line(&format!("Created deployment {deployment}"))?;
    let added: Added = answer.json()?;
    if args.wait.wait {
        return Waiting::new(client, &added.id, &args.wait)
            .until_deployed(&deployment)
            .await;
    }
    // The pod is added whatever is seen now.
    if let Ok(Some(status)) = PodStatus::find(client, &added.id).await
        && let Some(warning) = warning(&status)
    {
        output::tell(&warning);
    }
    Ok(())
}

/// What a user who does not wait should know at once.
fn warning(status: &PodStatus) -> Option<String> {
    let reason = status.waiting_reason()?;
    let verb = if reason.starts_with("waits") {
        ""
    } else {
        "waits: "
    };
    Some(format!("{} {verb}{reason}", status.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warns_of_a_pod_that_waits() {
        let mut status: PodStatus =
            serde_json::from_value(crate::pod_status::tests::sample()).unwrap();
        assert_eq!(warning(&status), None);
        status.message = Some("needs 4 cpus, the agent has 2 in all: it can never fit".to_owned());
        insta::assert_snapshot!(
            warning(&status).unwrap(),
            @"/shop/web waits: needs 4 cpus, the agent has 2 in all: it can never fit"
        );
        status.message = Some("waits 1 s after a failed launch".to_owned());
        insta::assert_snapshot!(warning(&status).unwrap(), @"/shop/web waits 1 s after a failed launch");
    }
}
