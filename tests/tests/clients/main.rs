//! Clients that were written for Marathon, and one that is made of the API's description, from the Python package
//! registry, against the real daemon.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

mod dcos;
mod marathon_python;
mod schemathesis;

use std::process::Output;

/// What a program printed, and its exit status.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}
