//! This host's resources: how much there is, who holds it, and what is offered to the scheduler.
//!
//! The crate plays the Mesos agent's book-keeping and the Mesos master's allocator for one host and one
//! scheduler. Everything is a plain function of its arguments: it performs no I/O, reads no clock, draws
//! no random number, counts in checked integers (never floats), and knows neither pods nor containers,
//! only runs and their claims. It decides nothing about *what* is launched; that is the scheduler's part.
//!
//! An offer lends everything that is free, until it ends in exactly one of four ways:
//!
//! ```text
//!                          ┌─ accept ──► Accepted    claims go to runs, leftovers are free again
//!   free ── offer ──► outstanding ─ decline ─► Declined    all free again, held back for a while
//!    ▲                     ├─ rescind, set_total, recover ─► Rescinded    all free again
//!    │                     └─ expire ──► Expired     all free again
//!    │
//!    └────── release ◄── held by a run ◄── accept, recover
//! ```
//!
//! Invariant, for every resource after every call: total + over-committed = offered + used + free, and
//! over-committed is zero unless the total shrank below what runs hold (see [`accounting::Accounting`]).
//!
//! Where to start: [`allocator::Agent`] is the whole machine; [`detection::detect`] says how much there is
//! to begin with, from readings of the host and what the configuration states ([`stated::Stated`]).

pub mod acceptance;
pub mod accounting;
pub mod allocator;
pub mod attributes;
pub mod change;
pub mod detection;
mod refusals;
pub mod stated;
