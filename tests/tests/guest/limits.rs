//! The tests of limits, which run on the host too, on cgroup v2.

use std::time::Duration;

/// Each of them starts a daemon and waits for what containers use.
const LIMIT: Duration = Duration::from_secs(1800);

#[test]
#[ignore = "a minute under emulation: make vm-test"]
fn limits_hold_on_cgroup_v2() {
    let guest = e2e::guest!();
    let outcome = guest.run_tests("limits", &[], LIMIT);
    eprintln!("{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.success(), "see above");
    assert!(!outcome.stdout.contains("running 0 tests"));
}
