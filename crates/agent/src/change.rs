//! What became of the host's resources since the daemon ran before.
//!
//! Whatever they are now is taken as it is: runs keep what they hold, and where they hold more than there is,
//! nothing is offered until enough of them ended. A change is told, never refused.

use model::{
    offer::Claim,
    resources::{MIB, ResourceKind},
};

use crate::stated::Stated;

/// A detected disk that changed by no more than this, or by no more than a hundredth of it, counts as it was: file
/// systems tell slightly other sizes at times (dcos: `make_disk_resources.py`).
pub const DISK_TOLERANCE_BYTES: u64 = 100 * MIB;

/// The total to go on with: `detected`, but for a disk that nobody stated and that is as large as it was `before`,
/// give or take [`DISK_TOLERANCE_BYTES`].
pub fn settle(mut detected: Claim, before: Option<&Claim>, stated: &Stated) -> Claim {
    if let Some(before) = before
        && stated.unreserved().disk_bytes.is_none()
    {
        let (was, is) = (before.resources.disk_bytes, detected.resources.disk_bytes);
        if was.abs_diff(is) <= DISK_TOLERANCE_BYTES.max(was / 100) {
            detected.resources.disk_bytes = was;
        }
    }
    detected
}

/// What differs, for a person: one text a resource, such as `10 cpus instead of 5`.
pub fn differences(before: &Claim, now: &Claim) -> Vec<String> {
    let of = |claim: &Claim, kind| claim.resources.get(kind);
    let mut told: Vec<_> = ResourceKind::ALL
        .into_iter()
        .filter(|kind| of(before, *kind) != of(now, *kind))
        .map(|kind| {
            let (was, is) = (of(before, kind), of(now, kind));
            format!("{} instead of {}", kind.describe(is), kind.describe(was))
        })
        .collect();
    if before.ports != now.ports {
        told.push(format!("ports {} instead of {}", now.ports, before.ports));
    }
    told
}

#[cfg(test)]
mod tests {
    use model::{ports::PortSet, resources::Resources};

    use super::*;

    const GIB: u64 = 1024 * MIB;

    fn disk(disk_bytes: u64) -> Claim {
        Claim {
            resources: Resources {
                disk_bytes,
                ..Resources::ZERO
            },
            ports: PortSet::default(),
        }
    }

    #[test]
    fn a_disk_that_flutters_stays_as_it_was() {
        let cases = [
            (10 * GIB, 10 * GIB + 100 * MIB, true),
            (10 * GIB, 10 * GIB - 100 * MIB, true),
            (10 * GIB, 10 * GIB + 103 * MIB, false),
            (100 * GIB, 101 * GIB, true),
            (100 * GIB, 99 * GIB, true),
            (100 * GIB, 102 * GIB, false),
            (0, 50 * MIB, true),
            (0, GIB, false),
        ];
        for (was, is, kept) in cases {
            let settled = settle(disk(is), Some(&disk(was)), &Stated::default());
            let expected = if kept { was } else { is };
            assert_eq!(settled.resources.disk_bytes, expected, "{was} {is}");
            assert_eq!(settle(disk(is), None, &Stated::default()), disk(is));
            let stated: Stated = "disk:5".parse().unwrap();
            assert_eq!(settle(disk(is), Some(&disk(was)), &stated), disk(is));
        }
    }

    #[test]
    fn changes_are_told_resource_by_resource() {
        let claim = |cpus_milli, ports| Claim {
            resources: Resources {
                cpus_milli,
                ..Resources::ZERO
            },
            ports,
        };
        let before = claim(5000, PortSet::range(31000, 32000));
        assert_eq!(differences(&before, &before), [""; 0]);
        let now = claim(10_000, PortSet::range(31000, 31001));
        assert_eq!(
            differences(&before, &now),
            [
                "10 cpus instead of 5 cpus",
                "ports [31000-31001] instead of [31000-32000]"
            ]
        );
    }
}
