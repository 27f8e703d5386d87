//! The end-to-end harness: a [`host::Host`] is one daemon with directories, port, cgroup and names of its own.
//!
//! Tests use the real binary, real namespaces and real files. They wait for conditions, never for time, and
//! whatever a test made is gone when its `Host` is dropped, even after a panic.
//!
//! The binary is the one that `MONOPOD_BIN` names, or is built beside the tests. `MONOPOD_TEST_STRICT=1` turns
//! skipped tests into failures. `MONOPOD_TEST_LOGS` is a directory that keeps the daemon's log of a test that failed.
#![expect(clippy::unwrap_used, reason = "a harness ends its test by a panic")]

pub mod binary;
pub mod exposition;
pub mod guest;
pub mod host;
pub mod http;
pub mod image;
pub mod kernel;
pub mod openapi;
pub mod pods;
pub mod python;
pub mod random;
pub mod weather;
pub mod wire;

use std::time::{Duration, Instant};

/// Waits until `condition` gives a value; looks again every few milliseconds.
///
/// # Panics
/// After `limit`, naming what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    const INTERVAL: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not so within {limit:?}");
        std::thread::sleep(INTERVAL);
    }
}

/// Why the tests that need a whole host cannot run here; `None` if they can.
pub fn missing_capability() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("not root");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap();
    let capabilities = u64::from_str_radix(line.trim(), 16).unwrap();
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    (capabilities & CAP_SYS_ADMIN == 0).then_some("no CAP_SYS_ADMIN")
}

/// Ends the test early, loudly; with `MONOPOD_TEST_STRICT=1` as a failure.
#[macro_export]
macro_rules! skip {
    ($reason:expr) => {{
        let reason = $reason;
        eprintln!("SKIPPED {}:{}: {reason}", file!(), line!());
        assert!(
            std::env::var_os("MONOPOD_TEST_STRICT").is_none_or(|value| value != "1"),
            "skipped in strict mode: {reason}"
        );
        return;
    }};
}

/// Ends the test early where pods cannot be run.
#[macro_export]
macro_rules! needs_root {
    () => {
        if let Some(reason) = $crate::missing_capability() {
            $crate::skip!(reason);
        }
    };
}
