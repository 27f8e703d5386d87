//! Limits as files to write. Pure.

use super::hierarchy::Mode;

/// The least memory a container's creation survives with some air: libcontainer needs 2 MiB (measured).
pub const MEMORY_FLOOR_BYTES: u64 = 4 << 20;

/// The fewest processes a container's creation survives: libcontainer's intermediate and init (measured).
pub const PIDS_FLOOR: u64 = 2;

/// Period over which a cpu quota counts, in microseconds (mesos: `CPU_CFS_PERIOD`, 100 ms).
const CPU_PERIOD_US: u64 = 100_000;

/// What a cgroup may use. The cpu quota is apart, see [`super::Cgroups::set_cpu_quota`]: it would throttle
/// the creation of the container itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a cpu requested; its share when cpus are scarce. 0 leaves the kernel's default.
    pub cpus_milli: u64,
    /// Bytes of memory requested: taken away last when the host's memory is scarce. 0 for none.
    pub memory_request_bytes: u64,
    /// Most bytes of memory; raised to [`MEMORY_FLOOR_BYTES`]. Swap is not given beyond it.
    pub memory_bytes: Option<u64>,
    /// Most processes and threads; raised to [`PIDS_FLOOR`].
    pub pids: Option<u64>,
    /// Whether going over the memory limit kills every process of the cgroup, where the kernel can (version 2).
    pub oom_group: bool,
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The controller it belongs to, for finding the hierarchy on version 1.
    pub(super) controller: &'static str,
    /// The file's name.
    pub(super) file: &'static str,
    /// What is written.
    pub(super) value: String,
    /// Whether a kernel without this file is fine too.
    pub(super) optional: bool,
}

fn required(controller: &'static str, file: &'static str, value: impl ToString) -> Setting {
    Setting {
        controller,
        file,
        value: value.to_string(),
        optional: false,
    }
}

fn optional(controller: &'static str, file: &'static str, value: impl ToString) -> Setting {
    Setting {
        optional: true,
        ..required(controller, file, value)
    }
}

impl Limits {
    /// The files to write, in order.
    pub(super) fn settings(&self, mode: Mode) -> Vec<Setting> {
        let memory = self.memory_bytes.map(|bytes| bytes.max(MEMORY_FLOOR_BYTES));
        let pids = self.pids.map(|pids| pids.max(PIDS_FLOOR));
        let mut settings = Vec::new();
        if self.cpus_milli > 0 {
            settings.push(cpu_share(mode, self.cpus_milli));
        }
        if self.memory_request_bytes > 0 {
            settings.push(memory_request(mode, self.memory_request_bytes));
        }
        match (mode, memory) {
            (_, None) => {}
            (Mode::V1 | Mode::Hybrid, Some(bytes)) => {
                settings.push(required("memory", "memory.limit_in_bytes", bytes));
                settings.push(optional("memory", "memory.memsw.limit_in_bytes", bytes));
            }
            (Mode::V2, Some(bytes)) => {
                settings.push(required("memory", "memory.max", bytes));
                settings.push(optional("memory", "memory.swap.max", 0));
            }
        }
        if mode == Mode::V2 && self.oom_group {
            settings.push(optional("memory", "memory.oom.group", 1));
        }
        if let Some(pids) = pids {
            settings.push(required("pids", "pids.max", pids));
        }
        settings
    }
}

/// The kernel's guarantee of best effort (version 2), or its target under pressure (version 1), as Mesos sets them
/// (mesos: `cgroups/mem`).
fn memory_request(mode: Mode, bytes: u64) -> Setting {
    match mode {
        Mode::V1 | Mode::Hybrid => optional("memory", "memory.soft_limit_in_bytes", bytes),
        Mode::V2 => optional("memory", "memory.low", bytes),
    }
}

/// 1024 shares, or a weight of 100, for a whole cpu: the kernel's own default on either version, and in between
/// proportional (mesos: `cgroups/cpu`), so that who asks for four times as much gets four times as much. Within what
/// the kernel takes.
fn cpu_share(mode: Mode, cpus_milli: u64) -> Setting {
    match mode {
        Mode::V1 | Mode::Hybrid => {
            let shares = cpus_milli.saturating_mul(1024) / 1000;
            required("cpu", "cpu.shares", shares.clamp(2, 262_144))
        }
        Mode::V2 => {
            let weight = cpus_milli.saturating_add(5) / 10;
            required("cpu", "cpu.weight", weight.clamp(1, 10_000))
        }
    }
}

/// The files to write for a quota of so many thousandths of a cpu; `None` lifts it. At least 1 ms a period,
/// the least the kernel takes.
pub(super) fn cpu_quota(mode: Mode, cpus_milli: Option<u64>) -> Vec<Setting> {
    let quota = cpus_milli.map(|milli| (milli.saturating_mul(CPU_PERIOD_US) / 1000).max(1000));
    match mode {
        Mode::V1 | Mode::Hybrid => {
            let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
            vec![
                required("cpu", "cpu.cfs_period_us", CPU_PERIOD_US),
                required("cpu", "cpu.cfs_quota_us", quota),
            ]
        }
        Mode::V2 => {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            vec![required(
                "cpu",
                "cpu.max",
                format!("{quota} {CPU_PERIOD_US}"),
            )]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[Setting], expected: &[(&str, &str)]) {
        let written: Vec<_> = settings
            .iter()
            .map(|setting| (setting.file, setting.value.as_str()))
            .collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn limits_become_files() {
        let limits = Limits {
            cpus_milli: 500,
            memory_request_bytes: 32 << 20,
            memory_bytes: Some(64 << 20),
            pids: Some(100),
            oom_group: true,
        };
        check(
            &limits.settings(Mode::Hybrid),
            &[
                ("cpu.shares", "512"),
                ("memory.soft_limit_in_bytes", "33554432"),
                ("memory.limit_in_bytes", "67108864"),
                ("memory.memsw.limit_in_bytes", "67108864"),
                ("pids.max", "100"),
            ],
        );
        check(
            &limits.settings(Mode::V2),
            &[
                ("cpu.weight", "50"),
                ("memory.low", "33554432"),
                ("memory.max", "67108864"),
                ("memory.swap.max", "0"),
                ("memory.oom.group", "1"),
                ("pids.max", "100"),
            ],
        );
    }

    #[test]
    fn tiny_limits_are_raised_and_absent_ones_left_out() {
        let tiny = Limits {
            cpus_milli: 1,
            memory_request_bytes: 0,
            memory_bytes: Some(1),
            pids: Some(1),
            oom_group: false,
        };
        check(
            &tiny.settings(Mode::V2),
            &[
                ("cpu.weight", "1"),
                ("memory.max", "4194304"),
                ("memory.swap.max", "0"),
                ("pids.max", "2"),
            ],
        );
        check(&tiny.settings(Mode::V1)[..1], &[("cpu.shares", "2")]);
        check(&Limits::default().settings(Mode::V1), &[]);
    }

    #[test]
    fn quotas_become_files() {
        let v1 = |milli| cpu_quota(Mode::V1, milli);
        check(
            &v1(Some(600)),
            &[
                ("cpu.cfs_period_us", "100000"),
                ("cpu.cfs_quota_us", "60000"),
            ],
        );
        check(&v1(None)[1..], &[("cpu.cfs_quota_us", "-1")]);
        check(&cpu_quota(Mode::V2, Some(1)), &[("cpu.max", "1000 100000")]);
        check(&cpu_quota(Mode::V2, None), &[("cpu.max", "max 100000")]);
    }
}
