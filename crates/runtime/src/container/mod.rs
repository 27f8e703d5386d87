//! One container: created through libcontainer in a forked child, started through its notify socket.

mod command;
pub(crate) mod create;
mod payload;
mod recorder;
pub(crate) mod report;
pub(crate) mod start;
