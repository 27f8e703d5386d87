//! The default profile as data, and its rules for one set of capabilities.

use std::collections::BTreeMap;

/// The profile's text; part of the cache's key.
pub(super) const TEXT: &str = include_str!("default.profile");

/// Version of the rules that are code, not data; part of the cache's key. Raised when they change.
pub(super) const RULES_VERSION: u32 = 1;

/// Flags of `clone` that make namespaces (linux: `include/uapi/linux/sched.h`): NEWNS, NEWCGROUP, NEWUTS, NEWIPC,
/// NEWUSER, NEWPID, NEWNET.
pub(super) const NAMESPACE_FLAGS: [u64; 7] = [
    0x0002_0000,
    0x0200_0000,
    0x0400_0000,
    0x0800_0000,
    0x1000_0000,
    0x2000_0000,
    0x4000_0000,
];

/// Address families that are refused: old protocols without users, `AF_ALG` (38) and `AF_VSOCK` (40), which reach
/// past the network namespace. Ascending.
pub(super) const REFUSED_FAMILIES: [u64; 9] = [12, 19, 20, 23, 25, 34, 37, 38, 40];

/// Families from here on are unknown to the profile and refused.
pub(super) const FIRST_UNKNOWN_FAMILY: u64 = 46;

/// What becomes of a call that no argument decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is made.
    Allow,
    /// It fails with EPERM.
    Refuse,
}

/// The decisions for a process with these capabilities on this architecture (`std::env::consts::ARCH`).
///
/// Whatever one section allows is allowed. `clone`, `clone3`, `socket` and `personality` depend on arguments where
/// they are not here or refused.
pub(super) fn decisions(
    capabilities: &[String],
    architecture: &str,
) -> BTreeMap<&'static str, Decision> {
    let mut decisions = BTreeMap::new();
    for (section, names) in sections() {
        let decision = match section.split_once(' ') {
            None if section == "allow" => Some(Decision::Allow),
            None => Some(Decision::Refuse),
            Some((_, condition)) => conditional(condition, capabilities, architecture),
        };
        let Some(decision) = decision else { continue };
        for name in names {
            let entry = decisions.entry(name).or_insert(decision);
            if decision == Decision::Allow {
                *entry = Decision::Allow;
            }
        }
    }
    decisions
}

fn conditional(condition: &str, capabilities: &[String], architecture: &str) -> Option<Decision> {
    if let Some(wanted) = condition.strip_prefix("on ") {
        return (wanted == architecture).then_some(Decision::Allow);
    }
    let wanted = condition.strip_prefix("with ")?;
    if capabilities.iter().any(|held| held == wanted) {
        Some(Decision::Allow)
    } else {
        Some(Decision::Refuse)
    }
}

/// Headings without their brackets, each with its names.
fn sections() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
        match line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(heading) => sections.push((heading, Vec::new())),
            None => {
                if let Some((_, names)) = sections.last_mut() {
                    names.extend(line.split_ascii_whitespace());
                }
            }
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_architecture_decide() {
        let none: &[String] = &[];
        let admin = &["CAP_SYS_ADMIN".to_owned()];
        let cases = [
            ("read", none, "x86_64", Some(Decision::Allow)),
            ("mount", none, "x86_64", Some(Decision::Refuse)),
            ("mount", admin, "x86_64", Some(Decision::Allow)),
            ("bpf", admin, "x86_64", Some(Decision::Allow)),
            ("keyctl", admin, "x86_64", Some(Decision::Refuse)),
            ("add_key", admin, "x86_64", Some(Decision::Refuse)),
            ("request_key", admin, "x86_64", Some(Decision::Refuse)),
            ("arch_prctl", none, "x86_64", Some(Decision::Allow)),
            ("arch_prctl", none, "aarch64", None),
            ("set_tls", none, "aarch64", Some(Decision::Allow)),
            ("socket", none, "x86_64", None),
            ("personality", none, "x86_64", None),
        ];
        for (name, capabilities, architecture, expected) in cases {
            let found = decisions(capabilities, architecture).get(name).copied();
            assert_eq!(
                found, expected,
                "{name} with {capabilities:?} on {architecture}"
            );
        }
    }

    #[test]
    fn the_profile_is_well_formed() {
        let known = [
            "allow",
            "refuse",
            "allow on x86_64",
            "allow on aarch64",
            "allow on riscv64",
        ];
        for (section, names) in sections() {
            assert!(
                known.contains(&section) || section.starts_with("allow with CAP_"),
                "{section}"
            );
            assert!(!names.is_empty(), "{section}");
        }
        assert!(sections().len() > 15);
    }
}
