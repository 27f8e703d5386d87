//! A real executor with real containers, as root.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at what is unexpected, its helpers too"
)]

mod failure;
mod isolation;
mod life;
mod support;
mod versions;
