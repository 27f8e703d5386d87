//! `monopod deployment watch`.

use std::{
    io::IsTerminal as _,
    time::{Duration, SystemTime},
};

use clap::Args;
use model::time::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use crate::{client::Client, error::CliError, output};

/// Arguments of `deployment watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// The deployment.
    id: String,
    /// Look so many times at most.
    #[arg(long, value_name = "N")]
    max_count: Option<u64>,
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    interval: u64,
}

/// Prints the deployment again and again until it is over, as DC/OS does: one that is not known is over.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn run(args: &WatchArgs, client: &Client) -> Result<(), CliError> {
    let mut looks = 0;
    while args.max_count.is_none_or(|most| looks < most) {
        let deployments: Vec<Value> = client.get("/v2/deployments").await?.json()?;
        let is_it =
            |deployment: &Value| deployment.get("id").and_then(Value::as_str) == Some(&args.id);
        let Some(deployment) = deployments.into_iter().find(is_it) else {
            return Ok(());
        };
        if std::io::stdout().is_terminal() {
            output::print("\x1b[H\x1b[2J")?;
        }
        output::print_line(&format!("Deployment update time: {}", now()))?;
        output::print_json(deployment)?;
        looks += 1;
        sleep(Duration::from_secs(args.interval)).await;
    }
    Ok(())
}

/// UTC, to the second.
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    let now = Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    let text = now.to_string().replace('T', " ");
    text.split('.').next().unwrap_or(&text).to_owned()
}
