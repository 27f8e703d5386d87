//! `monopod debug`: what waits to be launched and why offers do not serve, in DC/OS's tables.

mod funnel;

use clap::{Args, Subcommand};
use model::status::{Queue, QueueItem};
use serde_json::Value;

use crate::{
    client::Client,
    error::CliError,
    output,
    table::{Align, Table},
};

/// Verbs of `debug`.
#[derive(Debug, Subcommand)]
pub(crate) enum DebugVerb {
    /// List the pods that wait to be launched.
    List(ListArgs),
    /// Tell which of a pod's wishes offers fail.
    Summary(PodArgs),
    /// Tell what the last offers lacked for a pod.
    Details(PodArgs),
}

/// Arguments of `debug list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print the queue, as JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `debug summary` and `debug details`.
#[derive(Debug, Args)]
pub(crate) struct PodArgs {
    /// The pod.
    id: String,
    /// Print the pod's entry of the queue, as JSON.
    #[arg(long)]
    json: bool,
}

impl DebugVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// As [`Client::get`]; a pod that does not wait.
    pub(crate) async fn run(self, client: &Client) -> Result<(), CliError> {
        let queue: Value = client
            .get("/v2/queue?embed=lastUnusedOffers")
            .await?
            .json()?;
        match self {
            Self::List(args) if args.json => {
                let items = queue.get("queue").cloned();
                output::print_json(items.unwrap_or_else(|| Value::Array(Vec::new())))
            }
            Self::List(_) => {
                let queue: Queue = read(queue)?;
                output::print(&render(&queue.queue))
            }
            Self::Summary(args) => tell(&args, queue, funnel::summary),
            Self::Details(args) => tell(&args, queue, funnel::details),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, CliError> {
    serde_json::from_value(value).map_err(|source| CliError::Shape {
        request: "GET /v2/queue".to_owned(),
        source,
    })
}

fn tell(args: &PodArgs, queue: Value, render: fn(&QueueItem) -> String) -> Result<(), CliError> {
    let items = queue.get("queue").and_then(Value::as_array);
    let is_it = |item: &&Value| {
        let id = item.pointer("/pod/id").and_then(Value::as_str);
        id.is_some_and(|id| id.trim_matches('/') == args.id.trim_matches('/'))
    };
    let Some(item) = items.into_iter().flatten().find(is_it) else {
        return Err(CliError::notice("No apps found in Marathon queue"));
    };
    if args.json {
        return output::print_json(item.clone());
    }
    output::print(&render(&read(item.clone())?))
}

fn render(items: &[QueueItem]) -> String {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("SINCE", Align::Left),
        ("INSTANCES TO LAUNCH", Align::Left),
        ("WAITING", Align::Left),
        ("PROCESSED OFFERS", Align::Left),
        ("UNUSED OFFERS", Align::Left),
        ("LAST UNUSED OFFER", Align::Left),
        ("LAST USED OFFER", Align::Left),
    ]);
    let or_dashes = |at: Option<model::time::Timestamp>| {
        at.map_or_else(|| funnel::NOTHING.to_owned(), |at| at.to_string())
    };
    let mut items: Vec<_> = items.iter().collect();
    items.sort_by(|one, other| one.pod.id.cmp(&other.pod.id));
    for item in items {
        let offers = &item.processed_offers_summary;
        table.push(vec![
            item.pod.id.to_string(),
            item.since.to_string(),
            item.count.to_string(),
            if item.delay.overdue { "True" } else { "False" }.to_owned(),
            offers.processed_offers_count.to_string(),
            offers.unused_offers_count.to_string(),
            or_dashes(offers.last_unused_offer_at),
            or_dashes(offers.last_used_offer_at),
        ]);
    }
    table.render()
}
