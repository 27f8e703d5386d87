//! Tests in a small Debian with systemd and cgroup v2, see [`e2e::guest`].
//!
//! Campaigns are ignored unless asked for, since they take long: `make soak` runs them.

mod driver;
mod limits;
