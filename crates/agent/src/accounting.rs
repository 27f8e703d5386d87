//! Who holds how much, as one consistent picture.

use std::{collections::BTreeMap, fmt};

use model::{
    offer::Claim,
    pools::{Pools, UNRESERVED},
    resources::{ResourceKind, Resources},
};

/// The agent's books at one moment.
///
/// Resources that are reserved for a role are free for that role alone.
///
/// For every scalar `total + over_committed = offered + used + free`; for ports the same holds as sets, and
/// `offered`, `used` and `free` have no port in common. Where a kind is over-committed, none of it is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounting {
    /// What the host has.
    pub total: Claim,
    /// What of it is reserved for roles.
    pub reserved: BTreeMap<String, Claim>,
    /// What runs hold.
    pub used: Claim,
    /// What outstanding offers hold.
    pub offered: Claim,
    /// What nobody holds.
    pub free: Claim,
    /// What runs hold beyond the total, after the total shrank below them.
    pub over_committed: Claim,
}

impl Accounting {
    /// Balances the books: what is free, and what is held beyond the total.
    ///
    /// `offered` must have been free when it was offered, which is what [`crate::allocator::Agent`] ensures.
    pub(crate) fn balance(total: &Pools, used: &Pools, offered: &Pools) -> Self {
        let reserved = total.iter().filter(|(role, _)| *role != UNRESERVED);
        Self {
            total: total.sum(),
            reserved: reserved
                .map(|(role, claim)| (role.to_owned(), claim.clone()))
                .collect(),
            used: used.sum(),
            offered: offered.sum(),
            free: total.without(used).without(offered).sum(),
            over_committed: used.without(total).sum(),
        }
    }

    fn scalar_line(&self, kind: ResourceKind) -> String {
        let of = |claim: &Claim| kind.describe(claim.resources.get(kind));
        let mut line = format!(
            "{} free of {}, {} used, {} offered",
            of(&self.free),
            of(&self.total),
            of(&self.used),
            of(&self.offered),
        );
        if self.over_committed.resources.get(kind) > 0 {
            let over = of(&self.over_committed);
            line.push_str(&format!(", {over} over-committed"));
        }
        line
    }

    fn ports_line(&self) -> String {
        let mut line = format!(
            "{} ports free of {}, {} used, {} offered",
            self.free.ports.len(),
            self.total.ports.len(),
            self.used.ports.len(),
            self.offered.ports.len(),
        );
        if !self.used.ports.is_empty() {
            line.push_str(&format!(", used are {}", self.used.ports));
        }
        if !self.over_committed.ports.is_empty() {
            let over = &self.over_committed.ports;
            line.push_str(&format!(", not of this host's ports are {over}"));
        }
        line
    }
}

/// The sum of claims. Scalars saturate: only claims read from a damaged store could come near that.
pub(crate) fn sum<'a>(claims: impl Iterator<Item = &'a Claim> + Clone) -> Claim {
    let resources = claims.clone().fold(Resources::ZERO, |sum, claim| {
        let more = claim.resources;
        Resources {
            cpus_milli: sum.cpus_milli.saturating_add(more.cpus_milli),
            mem_bytes: sum.mem_bytes.saturating_add(more.mem_bytes),
            disk_bytes: sum.disk_bytes.saturating_add(more.disk_bytes),
            gpus: sum.gpus.saturating_add(more.gpus),
        }
    });
    let ports = claims.map(|claim| &claim.ports).collect();
    Claim { resources, ports }
}

/// Whether no two claims have a port in common, and [`sum`] of them did not saturate.
pub(crate) fn are_apart<'a>(claims: impl Iterator<Item = &'a Claim> + Clone) -> bool {
    let exact = claims.clone().try_fold(Resources::ZERO, |sum, claim| {
        sum.checked_add(claim.resources)
    });
    let ports: usize = claims.clone().map(|claim| claim.ports.len()).sum();
    exact.is_some() && ports == sum(claims).ports.len()
}

/// Whether everything in `part` is also in `whole`.
pub(crate) fn is_within(part: &Claim, whole: &Claim) -> bool {
    part.resources.fits_in(&whole.resources) && part.ports.is_subset(&whole.ports)
}

impl fmt::Display for Accounting {
    /// One line for each resource that there is, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for kind in ResourceKind::ALL {
            let of = |claim: &Claim| claim.resources.get(kind);
            if kind == ResourceKind::Gpus && of(&self.total) == 0 && of(&self.used) == 0 {
                continue;
            }
            lines.push(self.scalar_line(kind));
        }
        lines.push(self.ports_line());
        for (role, claim) in &self.reserved {
            let of = |kind: ResourceKind| kind.describe(claim.resources.get(kind));
            let [cpus, mem, disk, gpus] = ResourceKind::ALL.map(of);
            let ports = &claim.ports;
            lines.push(format!(
                "reserved for role {role}: {cpus}, {mem}, {disk}, {gpus}, ports {ports}"
            ));
        }
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use model::{ports::PortSet, resources::MIB};

    use super::*;

    fn claim(cpus_milli: u64, mem_mib: u64, ports: PortSet) -> Claim {
        Claim {
            resources: Resources {
                cpus_milli,
                mem_bytes: mem_mib * MIB,
                ..Resources::ZERO
            },
            ports,
        }
    }

    #[test]
    fn balances_and_reads_well() {
        let total = claim(2000, 1024, PortSet::range(31000, 31009));
        let used = claim(800, 256, PortSet::range(31000, 31000));
        let offered = claim(1000, 0, PortSet::range(31005, 31006));
        let books = Accounting::balance(&total.into(), &used.into(), &offered.into());
        assert_eq!(books.free.resources.cpus_milli, 200);
        assert_eq!(books.free.ports.to_string(), "[31001-31004,31007-31009]");
        assert_eq!(books.over_committed, Claim::default());
        assert_eq!(
            books.to_string(),
            "0.2 cpus free of 2 cpus, 0.8 cpus used, 1 cpus offered\n\
             768 MiB mem free of 1024 MiB mem, 256 MiB mem used, 0 MiB mem offered\n\
             0 MiB disk free of 0 MiB disk, 0 MiB disk used, 0 MiB disk offered\n\
             7 ports free of 10, 1 used, 2 offered, used are [31000-31000]"
        );
    }

    #[test]
    fn what_exceeds_a_shrunken_total_is_told() {
        let total = claim(1000, 1024, PortSet::range(31000, 31009));
        let used = claim(1500, 256, PortSet::range(8080, 8080));
        let books = Accounting::balance(&total.into(), &used.into(), &Pools::default());
        assert_eq!(books.free.resources.cpus_milli, 0);
        assert_eq!(books.over_committed.resources.cpus_milli, 500);
        assert_eq!(books.over_committed.resources.mem_bytes, 0);
        let text = books.to_string();
        assert!(
            text.starts_with(
                "0 cpus free of 1 cpus, 1.5 cpus used, 0 cpus offered, 0.5 cpus over-committed\n"
            ),
            "{text}"
        );
        assert!(
            text.ends_with("used are [8080-8080], not of this host's ports are [8080-8080]"),
            "{text}"
        );
    }

    #[test]
    fn a_claim_is_within_another_only_with_every_kind_and_port() {
        let whole = claim(1000, 64, PortSet::range(1, 5));
        let cases = [
            (claim(1000, 64, PortSet::range(1, 5)), true),
            (Claim::default(), true),
            (claim(1001, 64, PortSet::default()), false),
            (claim(0, 65, PortSet::default()), false),
            (claim(0, 0, PortSet::range(5, 6)), false),
        ];
        for (part, expected) in cases {
            assert_eq!(is_within(&part, &whole), expected, "{part:?}");
        }
    }

    #[test]
    fn a_hundred_thousand_additions_and_subtractions_restore_the_value() {
        let step = Resources {
            cpus_milli: 1001,
            ..Resources::ZERO
        };
        let start = Resources {
            cpus_milli: 7,
            ..Resources::ZERO
        };
        let mut value = start;
        for _ in 0..100_000 {
            value = value.checked_add(step).unwrap();
        }
        assert_eq!(value.cpus_milli, 7 + 100_000 * 1001);
        for _ in 0..100_000 {
            value = value.checked_sub(step).unwrap();
        }
        assert_eq!(value, start);
    }
}
