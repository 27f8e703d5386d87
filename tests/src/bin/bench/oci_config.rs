//! The bundle's configuration for `crun`: what podman and monopod give a container by default, so that the
//! same isolation is compared.

use serde_json::{Map, Value, json};

use crate::workload::Pod;

/// Where containers-common keeps the default system call filter.
const SECCOMP_PROFILE: &str = "/usr/share/containers/seccomp.json";

const CAPABILITIES: [&str; 11] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const MASKED_PATHS: [&str; 9] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

const READ_ONLY_PATHS: [&str; 6] = [
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// The default filter, reduced to what holds for these capabilities; `None` where it is not installed.
pub(crate) fn seccomp() -> Option<Value> {
    let profile = std::fs::read_to_string(SECCOMP_PROFILE).ok()?;
    reduce(&serde_json::from_str(&profile).ok()?)
}

/// containers-common's profile has rules that count only for some architectures or capabilities; the OCI form
/// has no such conditions.
fn reduce(profile: &Value) -> Option<Value> {
    let applies = |rule: &&Value| {
        let includes = &rule["includes"];
        let unconditional = includes.as_object().is_none_or(Map::is_empty);
        (unconditional || names_ours(includes)) && !names_ours(&rule["excludes"])
    };
    let rules = profile["syscalls"]
        .as_array()?
        .iter()
        .filter(applies)
        .map(|rule| {
            let members =
                ["names", "action", "args", "errnoRet"].map(|member| (member, &rule[member]));
            let given = members.into_iter().filter(|(_, value)| !is_empty(value));
            given
                .map(|(member, value)| (member.to_owned(), value.clone()))
                .collect::<Map<_, _>>()
        });
    let mut filter = json!({
        "defaultAction": profile["defaultAction"],
        "syscalls": rules.map(Value::Object).collect::<Vec<_>>(),
    });
    if cfg!(target_arch = "x86_64") {
        filter["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]);
    }
    if let Some(errno) = profile["defaultErrnoRet"].as_u64() {
        filter["defaultErrnoRet"] = json!(errno);
    }
    Some(filter)
}

/// crun refuses empty members.
fn is_empty(value: &Value) -> bool {
    value.is_null() || *value == json!([]) || *value == json!("")
}

/// Whether a condition names this architecture or one of the capabilities.
fn names_ours(condition: &Value) -> bool {
    let any = |member: &str, ours: &dyn Fn(&str) -> bool| {
        let names = condition[member].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).any(ours)
    };
    let architecture = |name: &str| match name {
        "amd64" | "x86_64" => cfg!(target_arch = "x86_64"),
        "arm64" | "aarch64" => cfg!(target_arch = "aarch64"),
        _ => false,
    };
    any("arches", &architecture) || any("caps", &|name| CAPABILITIES.contains(&name))
}

/// What differs from container to container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container<'a> {
    /// Its pod.
    pub(crate) pod: &'a Pod,
    /// Counted from 1; the first makes the pod's namespaces.
    pub(crate) number: usize,
    /// The first container's process, whose namespaces the others join.
    pub(crate) first: Option<&'a str>,
    /// Its cgroup.
    pub(crate) cgroup: &'a str,
}

/// The configuration of one container.
pub(crate) fn build(container: Container<'_>, seccomp: Option<&Value>) -> Value {
    let pod = container.pod;
    let shared = |kind: &str| match container.first {
        Some(pid) => json!({"type": kind, "path": format!("/proc/{pid}/ns/{kind}")}),
        None => json!({"type": kind}),
    };
    let mut config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": pod.argv(container.number),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": false},
        "mounts": mounts(pod),
        "linux": {
            "cgroupsPath": container.cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [{"type": "pid"}, {"type": "mount"}, shared("ipc"), shared("uts")],
            "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READ_ONLY_PATHS,
        },
    });
    if container.first.is_none() {
        config["hostname"] = json!(pod.name);
    }
    if let Some(seccomp) = seccomp {
        config["linux"]["seccomp"] = seccomp.clone();
    }
    config
}

fn mounts(pod: &Pod) -> Value {
    let harmless = ["nosuid", "noexec", "nodev"];
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc", "options": harmless},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": harmless},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        {"destination": "/bench", "type": "bind", "source": pod.volume, "options": ["rbind", "rw"]},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_keeps_what_counts_here() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_CHROOT"]}},
                {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_KILL"]}},
            ],
        });
        let filter = reduce(&profile).unwrap();
        assert_eq!(filter["defaultErrnoRet"], 38);
        assert_eq!(
            filter["syscalls"],
            json!([
                {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
                {"names": ["chroot"], "action": "SCMP_ACT_ALLOW"},
            ])
        );
    }

    #[test]
    fn later_containers_join_the_first() {
        let pod = Pod {
            name: "p".to_owned(),
            volume: "/v".into(),
        };
        let container = Container {
            pod: &pod,
            number: 1,
            first: None,
            cgroup: "/c",
        };
        let first = build(container, None);
        let second = build(
            Container {
                number: 2,
                first: Some("7"),
                ..container
            },
            None,
        );
        assert_eq!(first["linux"]["namespaces"][2], json!({"type": "ipc"}));
        assert_eq!(
            second["linux"]["namespaces"][3],
            json!({"type": "uts", "path": "/proc/7/ns/uts"})
        );
        assert_eq!(
            (&first["hostname"], &second["hostname"]),
            (&json!("p"), &Value::Null)
        );
    }
}
