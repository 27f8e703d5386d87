//! Tests in a small Debian with systemd and cgroup v2, see [`e2e::guest`].
//!
//! Campaigns are ignored unless asked for, since they take long: `make soak` runs them.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

mod campaign_package;
mod campaign_power;
mod campaign_restarts;
mod driver;
mod jobs;
mod limits;
mod services;
mod smoke;
