//! How many of each thing the kernel gives.

use std::fs;

use super::{Finding, Place};

/// Descriptors that a daemon with some hundred pods needs: a few for each executor, requests, files of images.
const DESCRIPTORS: u64 = 8192;

/// Processes and threads: an executor, inits and payloads for each pod.
const PROCESSES: u64 = 4096;

/// A number of the kernel, the least that is comfortable, and what runs out below.
const NUMBERS: [(&str, &str, u64, &str); 6] = [
    (
        "inotify instances",
        "/proc/sys/fs/inotify/max_user_instances",
        512,
        "fs.inotify.max_user_instances",
    ),
    (
        "inotify watches",
        "/proc/sys/fs/inotify/max_user_watches",
        8192,
        "fs.inotify.max_user_watches",
    ),
    (
        "process ids",
        "/proc/sys/kernel/pid_max",
        32768,
        "kernel.pid_max",
    ),
    (
        "threads",
        "/proc/sys/kernel/threads-max",
        8192,
        "kernel.threads-max",
    ),
    ("open files", "/proc/sys/fs/file-max", 65536, "fs.file-max"),
    (
        "keyrings",
        "/proc/sys/kernel/keys/root_maxkeys",
        2000,
        "kernel.keys.root_maxkeys",
    ),
];

/// Memory that should be available before anything is launched, in KiB.
const LITTLE_MEMORY_KIB: u64 = 256 << 10;

/// Looks at limits of the kernel, of the daemon's process, and at memory.
pub(super) fn check(place: &Place) -> Vec<Finding> {
    let mut findings: Vec<_> = NUMBERS
        .into_iter()
        .map(|(check, path, least, name)| {
            number(check, fs::read_to_string(path).ok().as_deref(), least, name)
        })
        .collect();
    findings.extend(process(place));
    findings.push(memory(
        &fs::read_to_string("/proc/meminfo").unwrap_or_default(),
    ));
    findings
}

fn number(check: &'static str, content: Option<&str>, least: u64, name: &str) -> Finding {
    let Some(value) = content.and_then(|content| content.trim().parse::<u64>().ok()) else {
        return Finding::unchecked(check, format!("{name} cannot be read"));
    };
    if value >= least {
        return Finding::ok(check, format!("{name} is {value}"));
    }
    Finding::warn(
        check,
        format!("{name} is {value}"),
        format!("sysctl {name}={least}, and in /etc/sysctl.d for the next start"),
    )
}

/// What the daemon's process may have; nothing without a daemon, since ours are another's.
fn process(place: &Place) -> Vec<Finding> {
    let Some(pid) = place.pid() else {
        return vec![Finding::unchecked(
            "daemon's limits",
            "no daemon answers on this host",
        )];
    };
    let limits = match fs::read_to_string(format!("/proc/{pid}/limits")) {
        Ok(limits) => limits,
        Err(error) => return vec![Finding::unchecked("daemon's limits", error.to_string())],
    };
    let limit = |check, row, least, directive: &str| match soft_limit(&limits, row) {
        Some(value) if value >= least => Finding::ok(check, format!("{value}")),
        Some(value) => Finding::warn(
            check,
            format!("the daemon may have {value}"),
            format!("set {directive}={least} in its unit, or ulimit before it starts"),
        ),
        None => Finding::ok(check, "unlimited"),
    };
    vec![
        limit(
            "daemon's descriptors",
            "Max open files",
            DESCRIPTORS,
            "LimitNOFILE",
        ),
        limit(
            "daemon's processes",
            "Max processes",
            PROCESSES,
            "LimitNPROC",
        ),
    ]
}

/// The soft limit of a row of `/proc/<pid>/limits`; none if there is no limit.
fn soft_limit(limits: &str, row: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(row))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn memory(meminfo: &str) -> Finding {
    let check = "memory";
    let kib = |name: &str| -> Option<u64> {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let Some(available) = kib("MemAvailable:") else {
        return Finding::unchecked(check, "/proc/meminfo does not tell");
    };
    let swap = kib("SwapFree:").unwrap_or(0);
    let found = format!(
        "{} MiB available, {} MiB swap free",
        available >> 10,
        swap >> 10
    );
    if available >= LITTLE_MEMORY_KIB {
        return Finding::ok(check, found);
    }
    Finding::warn(
        check,
        found,
        "end something: pods that start now may be killed for lack of memory",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn numbers_are_compared_and_told() {
        assert_eq!(number("n", Some("600\n"), 512, "x.y").verdict, Verdict::Ok);
        let low = number("n", Some("128\n"), 512, "x.y");
        assert_eq!(low.verdict, Verdict::Warn);
        assert_eq!(
            low.remedy.as_deref(),
            Some("sysctl x.y=512, and in /etc/sysctl.d for the next start")
        );
        assert_eq!(number("n", None, 1, "x").verdict, Verdict::Unchecked);
        let limits = "Limit  Soft  Hard  Units\nMax processes   unlimited  unlimited  processes\nMax open files  1024  4096  files\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024));
        assert_eq!(soft_limit(limits, "Max processes"), None);
        let low = memory("MemTotal: 9 kB\nMemAvailable:  1024 kB\nSwapFree: 0 kB\n");
        assert_eq!(low.verdict, Verdict::Warn);
    }
}
