//! `monopod openapi`.

use serde_json::json;

use crate::{error::CliError, output};

/// Prints the OpenAPI document that the daemon serves at `/v2/openapi.json`.
///
/// # Errors
/// [`CliError::Output`].
pub(crate) fn run() -> Result<(), CliError> {
    output::print_json(json!(daemon::http::openapi::document()))
}
