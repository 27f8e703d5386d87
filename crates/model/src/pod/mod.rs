//! The pod definition: its members, how it is read, completed with defaults, and validated.
//!
//! A text from outside goes through [`admit`]: read, completed, validated. [`unsupported`] then tells what
//! this release does not run, [`lint`] what was hardly meant. Definitions that this server wrote itself
//! come back through serde.

mod comparison;
mod container;
mod definition;
mod lint;
mod normalise;
mod number;
mod read;
mod scheduling;
mod schema;
mod settings;
mod unsupported;
mod validate;
mod violation;

pub use container::*;
pub use definition::*;
pub use lint::lint;
pub use normalise::normalise;
pub use read::{Reading, admit, read};
pub use scheduling::*;
pub use schema::definition_schema;
pub use settings::{Feature, Settings};
pub use unsupported::unsupported;
pub use validate::validate;
pub use violation::{ReadError, Violation, Violations};
