//! `monopod image import`.

use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::Images;
use crate::{client::Client, error::CliError, output};

/// Arguments of `image import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// An OCI layout directory, or an archive that `docker save` wrote.
    path: PathBuf,
    /// Name for pods to use, instead of the names that the source gives.
    #[arg(long)]
    name: Option<String>,
    /// Print what was imported, as JSON.
    #[arg(long)]
    json: bool,
}

/// Imports an image of this host and prints its names.
///
/// # Errors
/// Whatever kept it from being imported.
pub(crate) async fn run(args: &ImportArgs, client: &Client) -> Result<(), CliError> {
    let path = std::fs::canonicalize(&args.path).map_err(|source| CliError::File {
        path: args.path.clone(),
        source,
    })?;
    let mut body = json!({"path": path.to_string_lossy()});
    if let Some(name) = &args.name {
        body["name"] = json!(name);
    }
    let answer = client
        .send(
            Method::POST,
            "/v2/images",
            Some(body.to_string().into_bytes()),
        )
        .await?;
    if args.json {
        return output::print_json(answer.json()?);
    }
    let imported: Images = answer.json()?;
    let lines = imported
        .images
        .iter()
        .map(|image| format!("Imported {} ({})\n", image.name, image.id));
    output::print(&lines.collect::<String>())
}
