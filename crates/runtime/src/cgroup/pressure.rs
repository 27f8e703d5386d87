//! Limits that were reached: what the kernel counts, and how it tells.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::fd::AsRawFd as _,
};

use rustix::event::{EventfdFlags, eventfd};

use super::{Cgroups, Mode, keyed_value};

/// From here on a limit of version 1 means none: the kernel writes the greatest number of whole pages.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// What the kernel charges at once (64 pages): so far below the limit a peak may be when the limit is met.
const CHARGE_BYTES: u64 = 64 * 4096;

/// Whose lack of memory ended a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The container reached its own limit.
    Container,
    /// All containers together reached the pod's limit.
    Pod,
    /// A cgroup above the pod reached its limit, or the host had no memory left.
    Host,
}

/// The kernel killed in a container for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryKill {
    /// Whose lack it was.
    pub shortage: Shortage,
    /// The limit that was reached: the container's or the pod's. `None` if it cannot be told.
    pub limit_bytes: Option<u64>,
    /// The most bytes that the container ever held, where the kernel tells.
    pub peak_bytes: Option<u64>,
}

impl Cgroups {
    /// Whether, and for whose lack of memory, the kernel killed in the container at `path` of the run at `run`.
    ///
    /// A kill counts at the cgroup of the killed process on both versions; the cgroup whose limit was reached
    /// counts that apart on version 2 (`oom` in `memory.events.local`); on version 1 its peak tells.
    pub fn memory_kill(&self, run: &str, path: &str) -> Option<MemoryKill> {
        if self.oom_kills(path) == 0 {
            return None;
        }
        let (shortage, limit_bytes) = if self.reached_memory_limit(path) {
            (Shortage::Container, self.memory_limit(path))
        } else if self.reached_memory_limit(run) {
            (Shortage::Pod, self.memory_limit(run))
        } else {
            (Shortage::Host, None)
        };
        Some(MemoryKill {
            shortage,
            limit_bytes,
            peak_bytes: self.memory_peak(path),
        })
    }

    /// How often the kernel killed a process of this cgroup for lack of memory; 0 if that cannot be read.
    /// On version 1 a limit of the pod that is hit counts at the container whose process was killed (measured).
    pub fn oom_kills(&self, path: &str) -> u64 {
        let file = match self.mode() {
            Mode::V1 | Mode::Hybrid => "memory.oom_control",
            Mode::V2 => "memory.events",
        };
        self.count("memory", path, file, "oom_kill")
    }

    /// How often a process or thread was refused because the cgroup had as many as it may; 0 if that cannot be
    /// read.
    pub fn pids_refused(&self, path: &str) -> u64 {
        self.count("pids", path, "pids.events", "max")
    }

    /// The most bytes of memory that the cgroup ever held, where the kernel tells (version 2 from 5.19).
    pub fn memory_peak(&self, path: &str) -> Option<u64> {
        let file = match self.mode() {
            Mode::V1 | Mode::Hybrid => "memory.max_usage_in_bytes",
            Mode::V2 => "memory.peak",
        };
        self.number("memory", path, file)
    }

    /// Asks to be woken when the cgroup, or one above it, has no memory left and the kernel is about to kill.
    ///
    /// `None` on version 2, where nobody needs to: `memory.oom.group` makes the kernel end the whole container, which
    /// is seen as its end.
    ///
    /// # Errors
    /// The kernel refused; the container is then only told of if its first process is killed.
    pub fn watch_memory(&self, path: &str) -> io::Result<Option<File>> {
        if self.mode() == Mode::V2 {
            return Ok(None);
        }
        let Some(dir) = self.mount_of("memory").map(|mount| mount.join(path)) else {
            return Ok(None);
        };
        let counter = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let control = File::open(dir.join("memory.oom_control"))?;
        // (kernel: `Documentation/admin-guide/cgroup-v1/memory.rst`, 10. OOM Control)
        let order = format!("{} {}", counter.as_raw_fd(), control.as_raw_fd());
        let mut events = fs::OpenOptions::new()
            .write(true)
            .open(dir.join("cgroup.event_control"))?;
        events.write_all(order.as_bytes())?;
        Ok(Some(File::from(counter)))
    }

    fn reached_memory_limit(&self, path: &str) -> bool {
        if self.mode() == Mode::V2 {
            return self.count("memory", path, "memory.events.local", "oom") > 0;
        }
        // Version 1 has `memory.failcnt`, which newer kernels leave at 0 (measured with 6.18).
        let limits = self.memory_limit(path).zip(self.memory_peak(path));
        limits.is_some_and(|(limit, peak)| peak.saturating_add(CHARGE_BYTES) > limit)
    }

    fn memory_limit(&self, path: &str) -> Option<u64> {
        let file = match self.mode() {
            Mode::V1 | Mode::Hybrid => "memory.limit_in_bytes",
            Mode::V2 => "memory.max",
        };
        let limit = self.number("memory", path, file)?;
        (limit < UNLIMITED_BYTES).then_some(limit)
    }

    fn count(&self, controller: &str, path: &str, file: &str, key: &str) -> u64 {
        let content = self.read_of(controller, path, file).unwrap_or_default();
        keyed_value(&content, key).unwrap_or(0)
    }

    fn number(&self, controller: &str, path: &str, file: &str) -> Option<u64> {
        self.read_of(controller, path, file)?.trim().parse().ok()
    }
}
