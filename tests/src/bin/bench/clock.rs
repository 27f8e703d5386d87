//! The clock that payloads write down: monotonic, the same in every container.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Since boot, without the time spent suspended.
pub(crate) fn monotonic() -> Duration {
    read(ClockId::Monotonic)
}

/// What this process itself has spent, all threads.
pub(crate) fn own_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

/// In milliseconds, for tables.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
