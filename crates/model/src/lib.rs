//! The vocabulary of monopod: what is wanted, offered, launched and observed.
//!
//! Every other crate speaks in these types, so that `scheduler`, `agent`, `runtime` and `store` need not
//! know each other. Nothing here performs I/O, reads a clock or draws a random number.
//!
//! Where to start: [`pod::PodDefinition`] is what a user writes, [`offer::Offer`] what the agent gives,
//! [`task_group::TaskGroup`] what the scheduler launches, [`update::TaskUpdate`] what an executor reports,
//! [`record::Record`] what the store keeps.

pub mod id;
pub mod offer;
pub mod pod;
pub mod pools;
pub mod ports;
pub mod record;
pub mod resources;
pub mod state;
pub mod status;
pub mod task_group;
pub mod time;
pub mod update;
