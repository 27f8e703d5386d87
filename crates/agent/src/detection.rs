//! How much the host has, by Mesos's rules (mesos: `src/slave/containerizer/containerizer.cpp`).

use model::{
    offer::Claim,
    ports::PortSet,
    resources::{MIB, Resources},
};

use crate::stated::Stated;

const GIB: u64 = 1024 * MIB;

/// What was read from the host; `None` where reading failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Online cpus.
    pub online_cpus: Option<u32>,
    /// Size of the main memory.
    pub mem_total_bytes: Option<u64>,
    /// Size of the file system that holds the state directory.
    pub disk_total_bytes: Option<u64>,
}

/// What of the host is everybody's: each resource as stated, and from the readings where nothing is stated.
///
/// A stated zero counts as stated. Detected memory and disk leave room for the system and are whole MiB.
/// GPUs are never detected.
pub fn detect(readings: &Readings, stated: &Stated) -> Claim {
    let stated = stated.unreserved();
    Claim {
        resources: Resources {
            cpus_milli: stated.cpus_milli.unwrap_or_else(|| cpus(readings)),
            mem_bytes: stated.mem_bytes.unwrap_or_else(|| mem(readings)),
            disk_bytes: stated.disk_bytes.unwrap_or_else(|| disk(readings)),
            gpus: stated.gpus.unwrap_or(0),
        },
        ports: stated.ports.unwrap_or_else(|| PortSet::range(31000, 32000)),
    }
}

fn cpus(readings: &Readings) -> u64 {
    let online = readings.online_cpus.filter(|count| *count > 0);
    u64::from(online.unwrap_or(1)) * 1000
}

fn mem(readings: &Readings) -> u64 {
    leave_room(readings.mem_total_bytes, 2 * GIB, GIB).unwrap_or(GIB)
}

fn disk(readings: &Readings) -> u64 {
    leave_room(readings.disk_total_bytes, 10 * GIB, 5 * GIB).unwrap_or(10 * GIB)
}

/// All but `reserve` of a total that is at least `large`, half of a smaller one; whole MiB.
fn leave_room(total: Option<u64>, large: u64, reserve: u64) -> Option<u64> {
    let total = total?;
    let rest = if total >= large {
        total - reserve
    } else {
        total / 2
    };
    Some(rest / MIB * MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_stated(readings: Readings) -> Resources {
        detect(&readings, &Stated::default()).resources
    }

    #[test]
    fn cpus_are_the_online_ones() {
        for (online_cpus, milli) in [
            (Some(1), 1000),
            (Some(64), 64000),
            (Some(0), 1000),
            (None, 1000),
        ] {
            let readings = Readings {
                online_cpus,
                ..Readings::default()
            };
            assert_eq!(
                nothing_stated(readings).cpus_milli,
                milli,
                "{online_cpus:?}"
            );
        }
    }

    #[test]
    fn memory_leaves_one_gibibyte_or_half() {
        let cases = [
            (Some(4 * GIB), 3 * GIB),
            (Some(2 * GIB), GIB),
            // One byte less than two GiB: half of it, cut to whole MiB.
            (Some(2 * GIB - 1), GIB - MIB),
            (Some(512 * MIB), 256 * MIB),
            (Some(513 * MIB), 256 * MIB),
            (Some(4 * GIB + MIB - 1), 3 * GIB),
            (Some(0), 0),
            (Some(u64::MAX), (u64::MAX - GIB) / MIB * MIB),
            (None, GIB),
        ];
        for (mem_total_bytes, expected) in cases {
            let readings = Readings {
                mem_total_bytes,
                ..Readings::default()
            };
            assert_eq!(
                nothing_stated(readings).mem_bytes,
                expected,
                "{mem_total_bytes:?}"
            );
        }
    }

    #[test]
    fn disk_leaves_five_gibibytes_or_half() {
        let cases = [
            (Some(100 * GIB), 95 * GIB),
            (Some(10 * GIB), 5 * GIB),
            (Some(10 * GIB - 1), 5 * GIB - MIB),
            (Some(8 * GIB + 3), 4 * GIB),
            (None, 10 * GIB),
        ];
        for (disk_total_bytes, expected) in cases {
            let readings = Readings {
                disk_total_bytes,
                ..Readings::default()
            };
            assert_eq!(
                nothing_stated(readings).disk_bytes,
                expected,
                "{disk_total_bytes:?}"
            );
        }
    }

    #[test]
    fn ports_are_a_default_and_gpus_none() {
        let total = detect(&Readings::default(), &Stated::default());
        assert_eq!(total.ports.to_string(), "[31000-32000]");
        assert_eq!(total.resources.gpus, 0);
    }

    #[test]
    fn what_is_stated_wins_and_only_what_is_absent_is_detected() {
        let readings = Readings {
            online_cpus: Some(8),
            mem_total_bytes: Some(16 * GIB),
            disk_total_bytes: Some(100 * GIB),
        };
        let cases = [
            ("", (8000, 15 * GIB, 95 * GIB, 0, "[31000-32000]")),
            ("cpus:0", (0, 15 * GIB, 95 * GIB, 0, "[31000-32000]")),
            (
                "cpus:2.5;gpus:1",
                (2500, 15 * GIB, 95 * GIB, 1, "[31000-32000]"),
            ),
            ("mem:0;disk:0", (8000, 0, 0, 0, "[31000-32000]")),
            ("ports:[]", (8000, 15 * GIB, 95 * GIB, 0, "[]")),
            (
                "cpus:1;mem:1024;disk:10240;ports:[8000-8000]",
                (1000, GIB, 10 * GIB, 0, "[8000-8000]"),
            ),
        ];
        for (text, (cpus_milli, mem_bytes, disk_bytes, gpus, ports)) in cases {
            let total = detect(&readings, &text.parse().unwrap());
            let resources = Resources {
                cpus_milli,
                mem_bytes,
                disk_bytes,
                gpus,
            };
            assert_eq!(
                (total.resources, total.ports.to_string().as_str()),
                (resources, ports),
                "{text}"
            );
        }
    }
}
