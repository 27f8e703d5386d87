//! What the kernel can do.

use std::{collections::BTreeSet, fs, io};

use runtime::{
    cgroup::{Cgroups, Mode},
    keeper::Record,
    probe::{self, Link, Namespace},
};

use super::{Finding, Place, directories::chain};

/// The oldest kernel that monopod is made for.
const OLDEST: (u32, u32) = (5, 15);

/// The machines that system call filters are compiled for.
const MACHINES: [&str; 2] = ["x86_64", "aarch64"];

/// Controllers without which no pod runs.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Looks at the kernel itself.
pub(super) fn check() -> Vec<Finding> {
    let uname = rustix::system::uname();
    let mut findings = vec![
        release(&uname.release().to_string_lossy()),
        machine(&uname.machine().to_string_lossy()),
        seccomp(),
        simple(
            "pidfd",
            probe::pidfd(),
            "use a newer kernel, or allow pidfd_open",
        ),
        simple(
            "inotify",
            probe::inotify(),
            "raise fs.inotify.max_user_instances",
        ),
    ];
    if rustix::process::geteuid().is_root() {
        findings.push(namespaces());
        findings.extend(networks());
    } else {
        let why = "only root can make them; run the doctor as root";
        findings.push(Finding::unchecked("namespaces", why));
        findings.push(Finding::unchecked("networks", why));
    }
    findings
}

fn release(release: &str) -> Finding {
    let check = "kernel";
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = format!("Linux {release}");
    if version >= OLDEST {
        return Finding::ok(check, found);
    }
    let (major, minor) = OLDEST;
    Finding::fail(check, found, format!("use Linux {major}.{minor} or newer"))
}

fn machine(machine: &str) -> Finding {
    if MACHINES.contains(&machine) {
        return Finding::ok("architecture", machine);
    }
    let known = MACHINES.join(" or ");
    Finding::fail("architecture", machine, format!("monopod runs on {known}"))
}

fn seccomp() -> Finding {
    match fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.split_whitespace().any(|action| action == "errno") => {
            Finding::ok("seccomp", "system call filters are available")
        }
        Ok(_) | Err(_) => Finding::fail(
            "seccomp",
            "this kernel has no system call filters",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn namespaces() -> Finding {
    let mut missing = Vec::new();
    for kind in Namespace::ALL {
        if let Err(error) = probe::namespace(kind) {
            missing.push(format!("{}: {error}", kind.as_str()));
        }
    }
    if missing.is_empty() {
        return Finding::ok("namespaces", "mount, network, ipc, uts and pid can be made");
    }
    Finding::fail(
        "namespaces",
        missing.join("; "),
        "give this process CAP_SYS_ADMIN; look at /proc/sys/user/max_*_namespaces; if this is a container, run it privileged",
    )
}

/// What pods with networks of their own will need; host networking runs without.
fn networks() -> Vec<Finding> {
    let tell = |check, result: io::Result<()>, what: &str| match result {
        Ok(()) => Finding::ok(check, "can be used"),
        Err(error) => Finding::warn(
            check,
            format!("cannot be used: {error}"),
            format!("load or build {what}; without it pods have the host's network only"),
        ),
    };
    vec![
        tell("veth", probe::create_link(Link::Veth), "the module veth"),
        tell(
            "bridge",
            probe::create_link(Link::Bridge),
            "the module bridge",
        ),
        tell("nftables", probe::use_nftables(), "the module nf_tables"),
    ]
}

/// Looks at cgroups, and at what systemd hands down.
pub(super) fn cgroups(place: &Place) -> Vec<Finding> {
    let check = "cgroups";
    let cgroups = match Cgroups::detect() {
        Ok(cgroups) => cgroups,
        Err(error) => {
            let remedy = "mount cgroup2 at /sys/fs/cgroup";
            return vec![Finding::fail(check, error.to_string(), remedy)];
        }
    };
    let mode = cgroups.mode();
    let parent = place
        .told("cgroupParent")
        .and_then(|parent| parent.as_str());
    let controllers = match (parent, mode) {
        // Without a daemon there may be no parent yet; what the root has is what it could hand down.
        (None, Mode::V2) => words("/sys/fs/cgroup/cgroup.controllers"),
        (parent, _) => cgroups.controllers(parent.unwrap_or_default()),
    };
    let missing: Vec<_> = CONTROLLERS
        .into_iter()
        .filter(|name| !controllers.contains(*name))
        .collect();
    let listed: Vec<_> = controllers.iter().map(String::as_str).collect();
    let found = format!("version {}, {}", mode.as_str(), listed.join(" "));
    let mut findings = vec![if missing.is_empty() {
        Finding::ok(check, found)
    } else {
        let remedy = match mode {
            Mode::V2 => {
                "enable them in cgroup.subtree_control down to the parent; under systemd the unit needs Delegate=yes"
            }
            Mode::V1 | Mode::Hybrid => "mount their hierarchies below /sys/fs/cgroup",
        };
        let found = format!("{found}; missing: {}", missing.join(" "));
        Finding::fail(check, found, remedy)
    }];
    if !std::path::Path::new("/run/systemd/system").is_dir() {
        return findings;
    }
    findings.push(keeper(place, &cgroups));
    if mode != Mode::V2 {
        findings.push(Finding::fail(
            "systemd",
            format!("runs with cgroups {}", mode.as_str()),
            "boot with systemd.unified_cgroup_hierarchy=1: under systemd monopod needs version 2",
        ));
    }
    findings
}

/// Under systemd the keeper holds the cgroup that pods are below.
fn keeper(place: &Place, cgroups: &Cgroups) -> Finding {
    let check = "keeper";
    match Record::current(&place.run_dir, cgroups) {
        Ok(Some(record)) if record.is_alive() => {
            Finding::ok(check, format!("holds {}", record.cgroup_parent))
        }
        Ok(Some(_)) => Finding::warn(
            check,
            "is dead; pods go on running",
            "systemctl reload monopod-pods starts it again",
        ),
        Ok(None) => Finding::warn(
            check,
            "none holds a cgroup for pods",
            "systemctl start monopod-pods, then restart monopod",
        ),
        Err(error) => Finding::unchecked(check, chain(&error)),
    }
}

fn words(file: &str) -> BTreeSet<String> {
    let content = fs::read_to_string(file).unwrap_or_default();
    content.split_whitespace().map(str::to_owned).collect()
}

fn simple(check: &'static str, result: io::Result<()>, remedy: &str) -> Finding {
    match result {
        Ok(()) => Finding::ok(check, "available"),
        Err(error) => Finding::fail(check, error.to_string(), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn releases_are_compared_as_numbers() {
        let cases = [
            ("5.15.0-91-generic", Verdict::Ok),
            ("6.1.0-9-amd64", Verdict::Ok),
            ("5.4.0", Verdict::Fail),
            ("10.0", Verdict::Ok),
            ("", Verdict::Fail),
        ];
        for (text, verdict) in cases {
            assert_eq!(release(text).verdict, verdict, "{text}");
        }
        assert_eq!(machine("riscv64").verdict, Verdict::Fail);
    }
}
