//! Why an instance waits, told so that a person understands it.

use std::fmt;

use model::{id::PodId, ports::PortSet, resources::ResourceKind, time::Timestamp};

/// Why an instance is not launched now. Reads after "the instance".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// More than the agent has in all.
    TooBig {
        /// Of which resource.
        kind: ResourceKind,
        /// How much the instance needs.
        needed: u64,
        /// How much there is.
        total: u64,
    },
    /// A fixed host port that the agent does not give out.
    PortOutside {
        /// The port.
        port: u16,
        /// The ports that the agent gives out.
        ports: PortRanges,
    },
    /// More host ports than the agent has in all.
    TooManyPorts {
        /// How many the instance needs.
        needed: usize,
        /// How many there are.
        total: usize,
    },
    /// It accepts only what is reserved for its role, and nothing is.
    NothingReserved {
        /// The role.
        role: String,
    },
    /// A constraint that this host does not meet, now or later.
    Unplaceable {
        /// What it asks for, such as `rack IS b`.
        constraint: String,
        /// What the host has.
        found: String,
    },
    /// A constraint that other instances of the pod use up.
    Crowded {
        /// What it asks for, such as `hostname UNIQUE`.
        constraint: String,
        /// How many instances it allows here.
        allowed: u32,
    },
    /// The previous run of the instance has not ended yet.
    PreviousRun,
    /// A launch failed not long ago.
    BackOff {
        /// The delay in milliseconds.
        delay_ms: u64,
        /// When it ends.
        until: Timestamp,
    },
    /// Too little is free.
    Lacking {
        /// Of which resource.
        kind: ResourceKind,
        /// How much the instance needs.
        needed: u64,
        /// How much is free.
        free: u64,
        /// How much there is in all.
        total: u64,
    },
    /// A fixed host port that is in use.
    PortTaken {
        /// The port.
        port: u16,
        /// The pod that has it, if it is a pod.
        holder: Option<PodId>,
    },
    /// Too few host ports are free.
    PortsLacking {
        /// How many the instance needs.
        needed: usize,
        /// How many are free.
        free: usize,
    },
    /// It fits and is about to be launched.
    NextOffer,
}

/// Ranges of ports, ordered so that reasons are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRanges(pub Vec<(u16, u16)>);

impl From<&PortSet> for PortRanges {
    fn from(ports: &PortSet) -> Self {
        Self(ports.ranges().to_vec())
    }
}

/// The stages through which Marathon sifts offers, in its order and spelling (marathon: `NoOfferMatchReason.scala`).
pub const REJECT_REASONS: [&str; 10] = [
    "UnfulfilledRole",
    "UnfulfilledConstraint",
    "NoCorrespondingReservationFound",
    "AgentMaintenance",
    "InsufficientCpus",
    "InsufficientMemory",
    "InsufficientDisk",
    "InsufficientGpus",
    "InsufficientPorts",
    "DeclinedScarceResources",
];

impl WaitReason {
    /// Every value of [`Self::kind`].
    pub const KINDS: [&str; 12] = [
        "too_big",
        "port_outside",
        "too_many_ports",
        "unplaceable",
        "crowded",
        "previous_run",
        "back_off",
        "lacking",
        "port_taken",
        "ports_lacking",
        "next_offer",
        "nothing_reserved",
    ];

    /// The kind of reason in one word, without particulars: for counting.
    pub const fn kind(&self) -> &'static str {
        Self::KINDS[match self {
            Self::TooBig { .. } => 0,
            Self::PortOutside { .. } => 1,
            Self::TooManyPorts { .. } => 2,
            Self::Unplaceable { .. } => 3,
            Self::Crowded { .. } => 4,
            Self::PreviousRun => 5,
            Self::BackOff { .. } => 6,
            Self::Lacking { .. } => 7,
            Self::PortTaken { .. } => 8,
            Self::PortsLacking { .. } => 9,
            Self::NextOffer => 10,
            Self::NothingReserved { .. } => 11,
        }]
    }

    /// Whether waiting is in vain: only another definition or another host would help.
    pub const fn can_never_fit(&self) -> bool {
        match self {
            Self::TooBig { .. }
            | Self::PortOutside { .. }
            | Self::TooManyPorts { .. }
            | Self::NothingReserved { .. }
            | Self::Unplaceable { .. } => true,
            Self::Crowded { .. }
            | Self::PreviousRun
            | Self::BackOff { .. }
            | Self::Lacking { .. }
            | Self::PortTaken { .. }
            | Self::PortsLacking { .. }
            | Self::NextOffer => false,
        }
    }

    /// The stage of [`REJECT_REASONS`] at which an offer fails, if it is an offer that fails.
    pub const fn reject_reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooBig { kind, .. } | Self::Lacking { kind, .. } => match kind {
                ResourceKind::Cpus => "InsufficientCpus",
                ResourceKind::Mem => "InsufficientMemory",
                ResourceKind::Disk => "InsufficientDisk",
                ResourceKind::Gpus => "InsufficientGpus",
            },
            Self::PortOutside { .. }
            | Self::TooManyPorts { .. }
            | Self::PortTaken { .. }
            | Self::PortsLacking { .. } => "InsufficientPorts",
            Self::NothingReserved { .. } => "UnfulfilledRole",
            Self::Unplaceable { .. } | Self::Crowded { .. } => "UnfulfilledConstraint",
            Self::PreviousRun | Self::BackOff { .. } | Self::NextOffer => return None,
        })
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooBig {
                kind,
                needed,
                total,
            } => write!(
                f,
                "needs {}, the agent has {} in all: it can never fit",
                kind.describe(*needed),
                amount(*kind, *total)
            ),
            Self::PortOutside { port, ports } => {
                write!(
                    f,
                    "host port {port} is outside the agent's ports {ports}: it can never fit"
                )
            }
            Self::TooManyPorts { needed, total } => {
                write!(
                    f,
                    "needs {needed} host ports, the agent has {total} in all: it can never fit"
                )
            }
            Self::NothingReserved { role } => {
                write!(
                    f,
                    "accepts nothing but what is reserved for role {role}, and nothing is: it can never fit"
                )
            }
            Self::Unplaceable { constraint, found } => {
                write!(
                    f,
                    "constraint {constraint} does not hold here: {found}; it can never fit"
                )
            }
            Self::Crowded {
                constraint,
                allowed,
            } => {
                let plural = if *allowed == 1 { "" } else { "s" };
                write!(
                    f,
                    "constraint {constraint} allows {allowed} instance{plural} on this host"
                )
            }
            Self::PreviousRun => f.write_str("waits for the previous run to end"),
            Self::BackOff { delay_ms, until } => {
                write!(
                    f,
                    "waits {} s after a failed launch (until {until})",
                    seconds(*delay_ms)
                )
            }
            Self::Lacking {
                kind,
                needed,
                free,
                total,
            } => write!(
                f,
                "needs {}, {} of {} free",
                kind.describe(*needed),
                amount(*kind, *free),
                amount(*kind, *total)
            ),
            Self::PortTaken {
                port,
                holder: Some(pod),
            } => {
                write!(f, "host port {port} is taken by {pod}")
            }
            Self::PortTaken { port, holder: None } => write!(f, "host port {port} is taken"),
            Self::PortsLacking { needed, free } => {
                write!(f, "needs {needed} host ports, {free} free")
            }
            Self::NextOffer => f.write_str("waits for the next offer"),
        }
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        f.write_str("]")
    }
}

/// The bare number of [`ResourceKind::describe`], its unit being told already.
fn amount(kind: ResourceKind, amount: u64) -> String {
    let text = kind.describe(amount);
    text.split_once(' ')
        .map_or_else(|| text.clone(), |(number, _)| number.to_owned())
}

/// Milliseconds as seconds, without needless decimals.
pub(crate) fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use model::resources::MIB;

    use super::*;

    #[test]
    fn reads_as_people_speak() {
        let until = Timestamp::from_millis(1_150);
        let cases = [
            (
                WaitReason::Lacking {
                    kind: ResourceKind::Cpus,
                    needed: 4000,
                    free: 1200,
                    total: 4000,
                },
                "needs 4 cpus, 1.2 of 4 free",
                false,
            ),
            (
                WaitReason::Lacking {
                    kind: ResourceKind::Mem,
                    needed: 64 * MIB,
                    free: 3 * MIB / 2,
                    total: 128 * MIB,
                },
                "needs 64 MiB mem, 1.5 of 128 free",
                false,
            ),
            (
                WaitReason::TooBig {
                    kind: ResourceKind::Cpus,
                    needed: 4000,
                    total: 2000,
                },
                "needs 4 cpus, the agent has 2 in all: it can never fit",
                true,
            ),
            (
                WaitReason::PortTaken {
                    port: 8080,
                    holder: Some("/other".parse().unwrap()),
                },
                "host port 8080 is taken by /other",
                false,
            ),
            (
                WaitReason::PortOutside {
                    port: 80,
                    ports: (&PortSet::range(31000, 32000)).into(),
                },
                "host port 80 is outside the agent's ports [31000-32000]: it can never fit",
                true,
            ),
            (
                WaitReason::BackOff {
                    delay_ms: 1150,
                    until,
                },
                "waits 1.15 s after a failed launch (until 1970-01-01T00:00:01.150Z)",
                false,
            ),
            (
                WaitReason::Crowded {
                    constraint: "hostname UNIQUE".to_owned(),
                    allowed: 1,
                },
                "constraint hostname UNIQUE allows 1 instance on this host",
                false,
            ),
            (
                WaitReason::PreviousRun,
                "waits for the previous run to end",
                false,
            ),
        ];
        for (reason, text, never) in cases {
            assert_eq!(reason.to_string(), text);
            assert_eq!(reason.can_never_fit(), never, "{text}");
        }
    }

    #[test]
    fn names_marathons_reject_reasons() {
        let reason = WaitReason::PortsLacking { needed: 2, free: 1 };
        let name = reason.reject_reason().unwrap();
        assert!(REJECT_REASONS.contains(&name));
        assert_eq!(WaitReason::PreviousRun.reject_reason(), None);
    }
}
