//! The pod definition: its members, how it is read, completed with defaults, and validated.

mod definition;
mod number;

pub use definition::*;
