//! `monopod token`.
//!
//! The verbs change files of the state directory, which only root may; a running daemon sees it with the next request.

use std::{path::PathBuf, time::SystemTime};

use clap::{Args, Subcommand};
use daemon::tokens::{self, TokenError};
use model::time::Timestamp;

use crate::{
    cli::Connection,
    error::CliError,
    info, output,
    table::{Align, Table},
};

/// Where the state is unless told otherwise.
const DEFAULT_STATE_DIR: &str = "/var/lib/monopod";

/// Verbs of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Print the token; only root can read it.
    Show(Place),
    /// Replace the token by a new one and print that; the old one ends at once.
    Rotate(Place),
    /// Make a further token and print it, this once.
    Create(CreateArgs),
    /// List the read-only tokens.
    List(ListArgs),
    /// End a read-only token, at once.
    Revoke(RevokeArgs),
}

/// Where the tokens are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// State directory of the daemon; asked of the daemon where not given.
    #[arg(long, value_name = "DIR", env = "MONOPOD_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

/// Arguments of `token create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// It may look at everything and change nothing. There is no other kind yet.
    #[arg(long, required = true)]
    read_only: bool,
    /// What it is called in lists and audit lines.
    #[arg(long, value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `token list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `token revoke`.
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The token's name.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: Place,
}

impl TokenVerb {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`CliError::Token`].
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), CliError> {
        match self {
            Self::Show(place) => show(place.state_dir(connection).await),
            Self::Rotate(place) => {
                output::print_line(&tokens::rotate(&place.state_dir(connection).await)?)
            }
            Self::Create(CreateArgs { name, place, .. }) => {
                let state_dir = place.state_dir(connection).await;
                output::print_line(&tokens::create_read_only(&state_dir, &name, now())?)
            }
            Self::List(args) => list(args.place.state_dir(connection).await, args.json),
            Self::Revoke(RevokeArgs { name, place }) => {
                tokens::revoke(&place.state_dir(connection).await, &name)?;
                Ok(())
            }
        }
    }
}

impl Place {
    async fn state_dir(self, connection: &Connection) -> PathBuf {
        match self.state_dir {
            Some(dir) => dir,
            None => info::state_dir(connection)
                .await
                .unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR)),
        }
    }
}

fn show(state_dir: PathBuf) -> Result<(), CliError> {
    let token = tokens::read_full(&state_dir)?.ok_or_else(|| {
        CliError::Token(TokenError::File {
            attempt: "read",
            path: state_dir.join("token"),
            source: std::io::ErrorKind::NotFound.into(),
        })
    })?;
    output::print_line(&token)
}

fn list(state_dir: PathBuf, json: bool) -> Result<(), CliError> {
    let tokens = tokens::list(&state_dir)?;
    if json {
        let one = |token: &tokens::ReadOnlyToken| serde_json::json!({ "name": token.name, "created": token.created });
        return output::print_json(tokens.iter().map(one).collect());
    }
    let mut table = Table::new(&[("NAME", Align::Left), ("CREATED", Align::Left)]);
    for token in tokens {
        table.push(vec![token.name, token.created.to_string()]);
    }
    output::print(&table.render())
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
