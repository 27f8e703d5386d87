//! Amounts of cpu, memory, disk and GPUs, as checked integers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in a mebibyte, the unit in which definitions give memory and disk.
pub const MIB: u64 = 1 << 20;

/// Amounts of the scalar resources. Ports are kept apart, see [`crate::ports::PortSet`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpus_milli: u64,
    /// Bytes of memory.
    pub mem_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
    /// Whole GPUs.
    pub gpus: u64,
}

/// The kinds of scalar resource, in the order in which a shortage is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// Cpus, counted in thousandths.
    Cpus,
    /// Memory, counted in bytes.
    Mem,
    /// Disk, counted in bytes.
    Disk,
    /// GPUs, counted whole.
    Gpus,
}

impl ResourceKind {
    /// Every kind, in order.
    pub const ALL: [Self; 4] = [Self::Cpus, Self::Mem, Self::Disk, Self::Gpus];

    /// The amount as a person reads it: `1.2 cpus`, `64 MiB mem`, `10 MiB disk`, `1 gpus`.
    pub fn describe(self, amount: u64) -> String {
        match self {
            Self::Cpus => format!("{} cpus", decimal(amount, 1000)),
            Self::Mem => format!("{} MiB mem", mebibytes(amount)),
            Self::Disk => format!("{} MiB disk", mebibytes(amount)),
            Self::Gpus => format!("{amount} gpus"),
        }
    }
}

impl Resources {
    /// Nothing of anything.
    pub const ZERO: Self = Self {
        cpus_milli: 0,
        mem_bytes: 0,
        disk_bytes: 0,
        gpus: 0,
    };

    /// The amount of one kind, in that kind's unit.
    pub fn get(&self, kind: ResourceKind) -> u64 {
        match kind {
            ResourceKind::Cpus => self.cpus_milli,
            ResourceKind::Mem => self.mem_bytes,
            ResourceKind::Disk => self.disk_bytes,
            ResourceKind::Gpus => self.gpus,
        }
    }

    /// The sum, or `None` if any kind overflows.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            cpus_milli: self.cpus_milli.checked_add(other.cpus_milli)?,
            mem_bytes: self.mem_bytes.checked_add(other.mem_bytes)?,
            disk_bytes: self.disk_bytes.checked_add(other.disk_bytes)?,
            gpus: self.gpus.checked_add(other.gpus)?,
        })
    }

    /// The difference, or `None` if any kind would become negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Some(Self {
            cpus_milli: self.cpus_milli.checked_sub(other.cpus_milli)?,
            mem_bytes: self.mem_bytes.checked_sub(other.mem_bytes)?,
            disk_bytes: self.disk_bytes.checked_sub(other.disk_bytes)?,
            gpus: self.gpus.checked_sub(other.gpus)?,
        })
    }

    /// The difference, with zero where it would be negative.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self {
            cpus_milli: self.cpus_milli.saturating_sub(other.cpus_milli),
            mem_bytes: self.mem_bytes.saturating_sub(other.mem_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(other.disk_bytes),
            gpus: self.gpus.saturating_sub(other.gpus),
        }
    }

    /// Whether every kind here is at most as much as in `other`.
    pub fn fits_in(&self, other: &Self) -> bool {
        ResourceKind::ALL
            .iter()
            .all(|kind| self.get(*kind) <= other.get(*kind))
    }
}

/// Thousandths, from a decimal number rounded half away from zero to three decimals as Mesos rounds
/// (mesos: `src/common/values.cpp`). `None` for negative, infinite or absurdly large numbers.
pub fn milli_from_decimal(number: f64) -> Option<u64> {
    let scaled = (number * 1000.0).round();
    // 2^53: beyond it an f64 no longer counts single thousandths.
    if !(0.0..=9_007_199_254_740_992.0).contains(&scaled) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "range checked just above"
    )]
    let milli = scaled as u64;
    Some(milli)
}

/// Bytes, from a decimal number of mebibytes rounded to three decimals as Mesos rounds.
/// `None` for negative, infinite or absurdly large numbers.
pub fn bytes_from_mib(number: f64) -> Option<u64> {
    let milli_mib = milli_from_decimal(number)?;
    let bytes = u128::from(milli_mib) * u128::from(MIB) / 1000;
    u64::try_from(bytes).ok()
}

/// Cpus as the decimal number that definitions and status documents carry.
#[expect(
    clippy::cast_precision_loss,
    reason = "a document's number; thousandths of any real host are exact"
)]
pub fn cpus_decimal(cpus_milli: u64) -> f64 {
    cpus_milli as f64 / 1000.0
}

/// Mebibytes as the decimal number that definitions and status documents carry, at three decimals.
#[expect(
    clippy::cast_precision_loss,
    reason = "a document's number; bytes of any real host are exact"
)]
pub fn mib_decimal(bytes: u64) -> f64 {
    (bytes as f64 / MIB as f64 * 1000.0).round() / 1000.0
}

fn decimal(amount: u64, unit: u64) -> String {
    let (whole, rest) = (amount / unit, amount % unit);
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn mebibytes(bytes: u64) -> String {
    let milli = u128::from(bytes) * 1000 / u128::from(MIB);
    decimal(u64::try_from(milli).unwrap_or(u64::MAX), 1000)
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = ResourceKind::ALL
            .iter()
            .filter(|kind| **kind != ResourceKind::Gpus || self.gpus > 0)
            .map(|kind| kind.describe(self.get(*kind)))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_mesos_rounds() {
        let cases = [
            (1.5011, 1501),
            (1.5015, 1502),
            (1.2345, 1235),
            (0.1, 100),
            (0.0, 0),
        ];
        for (number, milli) in cases {
            assert_eq!(milli_from_decimal(number), Some(milli), "{number}");
        }
        for number in [-0.1, f64::NAN, f64::INFINITY, 1e30] {
            assert_eq!(milli_from_decimal(number), None, "{number}");
        }
        assert_eq!(bytes_from_mib(32.0), Some(32 * MIB));
        assert_eq!(bytes_from_mib(0.5), Some(MIB / 2));
    }

    #[test]
    fn reads_well() {
        let amount = Resources {
            cpus_milli: 1200,
            mem_bytes: 64 * MIB,
            disk_bytes: 0,
            gpus: 0,
        };
        assert_eq!(amount.to_string(), "1.2 cpus, 64 MiB mem, 0 MiB disk");
        assert_eq!(ResourceKind::Cpus.describe(2000), "2 cpus");
    }
}
