//! `monopod image list`.

use clap::Args;
use serde_json::Value;

use super::{Images, render};
use crate::{client::Client, error::CliError, output};

/// Arguments of `image list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print the images, as JSON.
    #[arg(long)]
    json: bool,
    /// Print names only.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// Prints all images; nothing at all when there are none.
///
/// # Errors
/// As [`Client::get`].
pub(crate) async fn run(args: &ListArgs, client: &Client) -> Result<(), CliError> {
    let answer = client.get("/v2/images").await?;
    if args.json {
        let mut answer: Value = answer.json()?;
        return output::print_json(answer["images"].take());
    }
    let listed: Images = answer.json()?;
    if args.quiet {
        let names = listed
            .images
            .iter()
            .map(|image| format!("{}\n", image.name));
        return output::print(&names.collect::<String>());
    }
    if listed.images.is_empty() {
        return Ok(());
    }
    output::print(&render(&listed.images))
}
