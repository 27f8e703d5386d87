//! The service: joins scheduler, agent, store and runtime by one loop, and lets people in over HTTP.
//!
//! It holds no logic worth a unit test of its own beyond its edges; what is decided is decided in `scheduler`
//! and `agent`. It may die at any instruction: pods go on running, and the next start repairs what is left.
//!
//! Where to start: [`run`], then `event_loop`, `executors`, `http`.

mod clock;
pub mod collection;
pub mod conditions;
pub mod config;
mod event_loop;
mod events;
pub mod executors;
mod exhaustion;
pub mod handle;
pub mod http;
mod listener;
mod log_file;
pub mod metrics;
mod recovery;
mod repeats;
mod service;
pub mod snapshot;
pub mod start;
mod systemd;
pub mod tokens;
mod watch;

pub use service::run;

/// The revision of the source that was built, where the builder named it (`MONOPOD_REVISION`).
pub const REVISION: Option<&str> = option_env!("MONOPOD_REVISION");

/// Checks the database of a state directory whose daemon does not run; see [`store::check`].
///
/// # Errors
/// As [`store::check`].
pub async fn check_database(path: &std::path::Path) -> Result<(), store::OpenError> {
    store::check(path).await
}
