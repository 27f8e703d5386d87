//! `monopod token`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::{cli::Connection, error::CliError, info, output};

/// Where the state is unless told otherwise.
const DEFAULT_STATE_DIR: &str = "/var/lib/monopod";

/// Verbs of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Print the token; only root can read it.
    Show(ShowArgs),
}

/// Arguments of `token show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// State directory of the daemon; asked of the daemon where not given.
    #[arg(long, value_name = "DIR", env = "MONOPOD_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl TokenVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`CliError::File`].
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        let Self::Show(args) = self;
        let state_dir = match args.state_dir {
            Some(dir) => dir,
            None => state_dir_of_daemon(connection).await,
        };
        output::print_line(&read(&state_dir.join("token"))?)
    }
}

async fn state_dir_of_daemon(connection: &Connection) -> PathBuf {
    let found = info::state_dir(connection).await;
    found.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR))
}

fn read(path: &Path) -> Result<String, CliError> {
    match std::fs::read_to_string(path) {
        Ok(token) => Ok(token.trim_end().to_owned()),
        Err(source) => Err(CliError::File {
            path: path.to_owned(),
            source,
        }),
    }
}
