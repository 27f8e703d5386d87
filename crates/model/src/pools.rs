//! Resources divided among roles, as far as the agent's configuration reserves them (mesos: `docs/reservation.md`,
//! static reservations).

use std::collections::BTreeMap;

use crate::{
    offer::Claim,
    pod::PodDefinition,
    ports::PortSet,
    resources::{ResourceKind, Resources},
};

/// The role whose resources are everybody's.
pub const UNRESERVED: &str = "*";

/// Resources by the role that they are reserved for; those of [`UNRESERVED`] are for whoever comes. A port is in one
/// pool at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools(BTreeMap<String, Claim>);

/// Which pools a run may hold resources of (marathon: `acceptedResourceRoles`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Those that are everybody's.
    #[default]
    Unreserved,
    /// Those of this role alone.
    Reserved(String),
    /// Those of this role first, then everybody's.
    Both(String),
}

impl Access {
    /// What a definition's role and accepted roles mean. A role that is accepted but is not the pod's gives nothing
    /// (marathon: `tasks/ResourceUtil.scala`); validation keeps such away.
    pub fn of(definition: &PodDefinition) -> Self {
        let role = definition.role.as_deref().unwrap_or(UNRESERVED);
        let accepted = &definition.scheduling.placement.accepted_resource_roles;
        let accepts = |role: &str| accepted.is_empty() || accepted.iter().any(|one| one == role);
        if role == UNRESERVED || !accepts(role) {
            Self::Unreserved
        } else if accepts(UNRESERVED) {
            Self::Both(role.to_owned())
        } else {
            Self::Reserved(role.to_owned())
        }
    }

    /// The pools in the order in which they are used.
    fn roles(&self) -> impl Iterator<Item = &str> {
        let (own, shared) = match self {
            Self::Unreserved => (None, Some(UNRESERVED)),
            Self::Reserved(role) => (Some(role.as_str()), None),
            Self::Both(role) => (Some(role.as_str()), Some(UNRESERVED)),
        };
        own.into_iter().chain(shared)
    }
}

/// Everything is everybody's.
impl From<Claim> for Pools {
    fn from(claim: Claim) -> Self {
        Self(BTreeMap::from([(UNRESERVED.to_owned(), claim)]))
    }
}

impl Pools {
    /// What is everybody's, and what is reserved for roles. Ports that are in several belong to the first of these
    /// roles, and to none else.
    pub fn new(unreserved: Claim, reserved: BTreeMap<String, Claim>) -> Self {
        let mut pools = Self::default();
        let mut taken = PortSet::default();
        for (role, mut claim) in reserved {
            claim.ports = claim.ports.difference(&taken);
            taken = taken.union(&claim.ports);
            pools.0.insert(role, claim);
        }
        let ports = unreserved.ports.difference(&taken);
        let resources = unreserved.resources;
        pools
            .0
            .insert(UNRESERVED.to_owned(), Claim { resources, ports });
        pools
    }

    /// The pools by role.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.0.iter().map(|(role, claim)| (role.as_str(), claim))
    }

    /// All of them together. Scalars saturate.
    pub fn sum(&self) -> Claim {
        sum(self.0.values())
    }

    /// What a run with this access finds in them.
    pub fn of(&self, access: &Access) -> Claim {
        sum(access.roles().filter_map(|role| self.0.get(role)))
    }

    /// Takes a claim out of what `access` gives; what is not there is not taken.
    pub fn take(&mut self, access: &Access, claim: &Claim) {
        let mut left = claim.clone();
        for role in access.roles() {
            if let Some(pool) = self.0.get_mut(role) {
                let taken = least(pool.resources, left.resources);
                pool.resources = pool.resources.saturating_sub(taken);
                left.resources = left.resources.saturating_sub(taken);
                pool.ports = pool.ports.difference(&left.ports);
            }
        }
    }

    /// What is left without `other`, pool by pool; nothing becomes negative.
    pub fn without(&self, other: &Self) -> Self {
        let left = |(role, claim): (&String, &Claim)| {
            let gone = other.0.get(role).cloned().unwrap_or_default();
            let claim = Claim {
                resources: claim.resources.saturating_sub(gone.resources),
                ports: claim.ports.difference(&gone.ports),
            };
            (role.clone(), claim)
        };
        Self(self.0.iter().map(left).collect())
    }

    /// Both together, pool by pool.
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (role, claim) in &other.0 {
            let pool = all.0.entry(role.clone()).or_default();
            *pool = sum([&*pool, claim].into_iter());
        }
        all
    }
}

/// What runs hold together, by their access. From which pool each single run took what is not remembered: runs of a role
/// are counted against its pool first, so that who came first makes no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held(BTreeMap<Access, Claim>);

impl Held {
    /// A run holds this from now on. Scalars saturate.
    pub fn add(&mut self, access: &Access, claim: &Claim) {
        let held = self.0.entry(access.clone()).or_default();
        *held = sum([&*held, claim].into_iter());
    }

    /// A run no longer holds this.
    pub fn subtract(&mut self, access: &Access, claim: &Claim) {
        if let Some(held) = self.0.get_mut(access) {
            held.resources = held.resources.saturating_sub(claim.resources);
            held.ports = held.ports.difference(&claim.ports);
        }
    }

    /// What is held of each pool of `total`. What a role's runs hold beyond its pool is everybody's, also where they
    /// accept no such: a pool can shrink.
    pub fn of(&self, total: &Pools) -> Pools {
        let mut used: BTreeMap<String, Claim> = BTreeMap::new();
        let mut beyond = Resources::ZERO;
        let mut ports = PortSet::default();
        for (access, claim) in &self.0 {
            ports = ports.union(&claim.ports);
            let role = access.roles().next().unwrap_or(UNRESERVED);
            let pool = used.entry(role.to_owned()).or_default();
            pool.resources = add(pool.resources, claim.resources);
        }
        for (role, claim) in used.iter_mut().filter(|(role, _)| *role != UNRESERVED) {
            let pool = total.0.get(role).cloned().unwrap_or_default();
            beyond = add(beyond, claim.resources.saturating_sub(pool.resources));
            claim.resources = least(claim.resources, pool.resources);
        }
        for (role, pool) in total.0.iter().filter(|(role, _)| *role != UNRESERVED) {
            let own = intersection(&ports, &pool.ports);
            ports = ports.difference(&own);
            used.entry(role.clone()).or_default().ports = own;
        }
        let shared = used.entry(UNRESERVED.to_owned()).or_default();
        shared.resources = add(shared.resources, beyond);
        shared.ports = ports;
        Pools(used)
    }
}

fn sum<'a>(claims: impl Iterator<Item = &'a Claim>) -> Claim {
    claims.fold(Claim::default(), |all, claim| Claim {
        resources: add(all.resources, claim.resources),
        ports: all.ports.union(&claim.ports),
    })
}

fn add(one: Resources, other: Resources) -> Resources {
    Resources {
        cpus_milli: one.cpus_milli.saturating_add(other.cpus_milli),
        mem_bytes: one.mem_bytes.saturating_add(other.mem_bytes),
        disk_bytes: one.disk_bytes.saturating_add(other.disk_bytes),
        gpus: one.gpus.saturating_add(other.gpus),
    }
}

/// The lesser of each kind.
fn least(one: Resources, other: Resources) -> Resources {
    one.saturating_sub(one.saturating_sub(other))
}

fn intersection(one: &PortSet, other: &PortSet) -> PortSet {
    one.difference(&one.difference(other))
}

/// The first kind of which there is too little.
pub fn short(needed: &Resources, there: &Resources) -> Option<ResourceKind> {
    ResourceKind::ALL
        .into_iter()
        .find(|kind| needed.get(*kind) > there.get(*kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(cpus_milli: u64, ports: &[u16]) -> Claim {
        Claim {
            resources: Resources {
                cpus_milli,
                ..Resources::ZERO
            },
            ports: ports.iter().copied().collect(),
        }
    }

    fn pools() -> Pools {
        let reserved = BTreeMap::from([("dev".to_owned(), claim(1000, &[80, 81]))]);
        Pools::new(claim(2000, &[80, 90]), reserved)
    }

    fn dev() -> [Access; 3] {
        [
            Access::Unreserved,
            Access::Reserved("dev".to_owned()),
            Access::Both("dev".to_owned()),
        ]
    }

    #[test]
    fn access_follows_role_and_accepted_roles() {
        let cases = [
            ("*", "[]", Access::Unreserved),
            ("*", r#"["*"]"#, Access::Unreserved),
            ("dev", "[]", Access::Both("dev".to_owned())),
            ("dev", r#"["dev","*"]"#, Access::Both("dev".to_owned())),
            ("dev", r#"["*"]"#, Access::Unreserved),
            ("dev", r#"["dev"]"#, Access::Reserved("dev".to_owned())),
        ];
        for (role, accepted, expected) in cases {
            let definition: PodDefinition = serde_json::from_str(&format!(
                r#"{{"id":"/p","role":"{role}","containers":[{{"name":"c","resources":{{"cpus":0.1,"mem":32}}}}],
                    "scheduling":{{"placement":{{"acceptedResourceRoles":{accepted}}}}}}}"#
            ))
            .expect("a definition");
            assert_eq!(Access::of(&definition), expected, "{role} {accepted}");
        }
    }

    #[test]
    fn a_port_is_in_one_pool() {
        let [unreserved, reserved, both] = dev();
        assert_eq!(pools().of(&unreserved), claim(2000, &[90]));
        assert_eq!(pools().of(&reserved), claim(1000, &[80, 81]));
        assert_eq!(pools().of(&both), claim(3000, &[80, 81, 90]));
        assert_eq!(pools().sum(), claim(3000, &[80, 81, 90]));
        let other = Access::Both("other".to_owned());
        assert_eq!(
            pools().of(&other),
            claim(2000, &[90]),
            "nothing is reserved for it"
        );
    }

    #[test]
    fn what_a_role_holds_is_counted_against_its_pool_first() {
        let [unreserved, reserved, both] = dev();
        let mut held = Held::default();
        held.add(&both, &claim(1500, &[81, 90]));
        held.add(&unreserved, &claim(300, &[]));
        let free = pools().without(&held.of(&pools()));
        assert_eq!(free.of(&reserved), claim(0, &[80]));
        assert_eq!(free.of(&unreserved), claim(1200, &[]));
        assert_eq!(free.of(&both), claim(1200, &[80]));
        held.subtract(&both, &claim(1500, &[81, 90]));
        held.subtract(&unreserved, &claim(300, &[]));
        assert_eq!(pools().without(&held.of(&pools())), pools());
    }

    proptest! {
        /// Whatever is taken one after another as far as it fits, is free and used without remainder; and the books say
        /// the same as the pools from which it was taken.
        #[test]
        fn taking_and_counting_agree(
            wishes in prop::collection::vec((0..3usize, 0..1200u64, prop::option::of(prop::sample::select(vec![80u16, 81, 90]))), 0..12)
        ) {
            let access = dev();
            let (mut left, mut held) = (pools(), Held::default());
            for (index, cpus, port) in wishes {
                let access = &access[index];
                let wish = claim(cpus, &port.into_iter().collect::<Vec<_>>());
                let there = left.of(access);
                if short(&wish.resources, &there.resources).is_some() || !wish.ports.is_subset(&there.ports) {
                    continue;
                }
                left.take(access, &wish);
                held.add(access, &wish);
                let used = held.of(&pools());
                let free = pools().without(&used);
                prop_assert_eq!(free.sum(), left.sum());
                prop_assert_eq!(free.with(&used).sum(), pools().sum());
                for one in &dev() {
                    // Where runs of the role came late, the books give them the role's pool all the same.
                    prop_assert!(short(&left.of(&Access::Unreserved).resources, &free.of(&Access::Unreserved).resources).is_none());
                    prop_assert!(free.of(one).ports == left.of(one).ports);
                }
            }
        }
    }
}
