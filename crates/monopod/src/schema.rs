//! `monopod schema`.

use crate::{error::CliError, output};

/// Prints the JSON Schema that the daemon serves at `/v2/schemas/pod.json`.
///
/// # Errors
/// [`CliError::Output`].
pub(crate) fn run() -> Result<(), CliError> {
    output::print_json(model::pod::definition_schema())
}
