//! `monopod version`.

use crate::{error::CliError, output};

/// Prints the version.
///
/// # Errors
/// [`CliError::Output`].
pub(crate) fn run() -> Result<(), CliError> {
    output::print_line(&format!("monopod {}", env!("CARGO_PKG_VERSION")))
}
