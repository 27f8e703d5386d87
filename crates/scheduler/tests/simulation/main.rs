//! The scheduler and the real agent against a fair fake runtime, a store in memory and a hand-moved clock.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for single variants"
)]

mod deployments;
mod lifecycle;
mod once;
mod pods;
mod random;
mod removal;
mod runtime;
mod store;
mod storm;
mod waiting;
mod world;
