//! The daemon's own process, under the names that every Prometheus client library uses.

use std::fs;

use super::reading::{Reading, float, size};

/// What `/proc/self` tells; what cannot be read is left out.
pub(super) fn readings() -> Vec<Reading> {
    let ticks = float(rustix::param::clock_ticks_per_second());
    let page = size(rustix::param::page_size());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = Fields::new(&stat);
    let cpu = fields.number(14).zip(fields.number(15));
    let mut readings = vec![
        Reading::counter(
            "process_cpu",
            "Cpu time that the daemon spent, in user and system mode.",
        )
        .seconds(),
        Reading::gauge(
            "process_resident_memory",
            "Memory that the daemon has in core.",
        )
        .bytes(),
        Reading::gauge("process_threads", "Threads of the daemon."),
        Reading::gauge("process_open_fds", "Descriptors that the daemon has open."),
        Reading::gauge(
            "process_max_fds",
            "Descriptors that the daemon may have open.",
        ),
        Reading::gauge("process_start_time", "When the daemon started, since 1970.").seconds(),
    ];
    let start = fields.number(22).map(|value| float(value) / ticks);
    let values = [
        cpu.map(|(user, system)| float(user + system) / ticks),
        fields.number(24).map(|pages| float(pages) * page),
        fields.number(20).map(float),
        fs::read_dir("/proc/self/fd")
            .ok()
            .map(|fds| size(fds.count())),
        rustix::process::getrlimit(rustix::process::Resource::Nofile)
            .current
            .map(float),
        start.zip(boot_time()).map(|(start, boot)| boot + start),
    ];
    for (reading, value) in readings.iter_mut().zip(values) {
        reading.push(&[], value);
    }
    readings
}

/// When the kernel started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// `/proc/<pid>/stat`, numbered as `proc_pid_stat(5)` does.
struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    /// The name, which is field 2, may hold anything; so fields are counted from behind it.
    fn new(stat: &'a str) -> Self {
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        Self(rest.split_whitespace().collect())
    }

    fn number(&self, field: usize) -> Option<u64> {
        self.0.get(field.checked_sub(3)?)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let fields = Fields::new("12 (a) b) S 1 2 3");
        assert_eq!(fields.number(4), Some(1));
        assert_eq!(fields.number(6), Some(3));
        assert_eq!(fields.number(7), None);
    }
}
