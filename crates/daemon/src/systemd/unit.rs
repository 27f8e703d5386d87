//! What a unit must not do to the daemon: executors are its children, so pods would inherit it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where units and their drop-ins are, strongest first (systemd.unit(5)).
const UNIT_DIRECTORIES: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Directives that make a mount namespace, install a system call filter or take privileges away (systemd.exec(5)).
const DIRECTIVES: [&str; 44] = [
    "AmbientCapabilities",
    "AppArmorProfile",
    "BindPaths",
    "BindReadOnlyPaths",
    "CapabilityBoundingSet",
    "DynamicUser",
    "ExecPaths",
    "InaccessiblePaths",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "LockPersonality",
    "LogNamespace",
    "MemoryDenyWriteExecute",
    "MountAPIVFS",
    "MountImages",
    "NoExecPaths",
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RootDirectory",
    "RootImage",
    "SetCredential",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "TemporaryFileSystem",
];

/// The unit restricts the daemon, and with it every pod.
#[derive(Debug, thiserror::Error)]
#[error(
    "run pods from this unit: the daemon has {found}, and every pod would inherit that; remove {directives}, then run \
     `systemctl daemon-reload` and `systemctl restart monopod`"
)]
pub(crate) struct Restricted {
    found: String,
    directives: String,
}

/// What a process was given, or was left without.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Surroundings {
    mount_namespace: PathBuf,
    seccomp: String,
    no_new_privileges: String,
    bounding_set: String,
}

/// Refuses to go on in a unit that restricts its processes. Elsewhere than directly under systemd everything goes.
///
/// # Errors
/// [`Restricted`], or `/proc` cannot be read.
pub(crate) fn check() -> anyhow::Result<()> {
    if !is_started_by_systemd() {
        return Ok(());
    }
    let own = Surroundings::of("self")?;
    let init = Surroundings::of("1")?;
    let found = differences(&own, &init);
    if found.is_empty() {
        return Ok(());
    }
    Err(Restricted {
        found: found.join(" and "),
        directives: describe(&restrictions(&UNIT_DIRECTORIES.map(PathBuf::from))),
    }
    .into())
}

/// Whether systemd executed this very process (systemd.exec(5), `SYSTEMD_EXEC_PID`).
fn is_started_by_systemd() -> bool {
    let pid = std::env::var("SYSTEMD_EXEC_PID");
    pid.is_ok_and(|pid| pid == std::process::id().to_string())
}

impl Surroundings {
    fn of(process: &str) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let member = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().trim().to_owned()
        };
        Ok(Self {
            mount_namespace: fs::read_link(format!("/proc/{process}/ns/mnt"))?,
            seccomp: member("Seccomp:"),
            no_new_privileges: member("NoNewPrivs:"),
            bounding_set: member("CapBnd:"),
        })
    }
}

fn differences(own: &Surroundings, init: &Surroundings) -> Vec<&'static str> {
    let compared = [
        (
            own.mount_namespace != init.mount_namespace,
            "a mount namespace of its own",
        ),
        (own.seccomp != init.seccomp, "a system call filter"),
        (
            own.no_new_privileges != init.no_new_privileges,
            "no way to new privileges",
        ),
        (
            own.bounding_set != init.bounding_set,
            "fewer capabilities than PID 1",
        ),
    ];
    let found = compared.into_iter().filter(|(differs, _)| *differs);
    found.map(|(_, name)| name).collect()
}

/// Each directive of the unit and its drop-ins that restricts, with its file.
fn restrictions(directories: &[PathBuf]) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for file in directories
        .iter()
        .flat_map(|directory| files_of_unit(directory))
    {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let names = text.lines().filter_map(restricting_directive);
        found.extend(names.map(|name| (name.to_owned(), file.clone())));
    }
    found
}

fn files_of_unit(directory: &Path) -> Vec<PathBuf> {
    let mut files = vec![directory.join("monopod.service")];
    for drop_ins in ["service.d", "monopod.service.d"] {
        let entries = fs::read_dir(directory.join(drop_ins)).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        files.extend(paths);
    }
    files
}

fn restricting_directive(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    let harmless = ["", "no", "false", "off", "0"].contains(&value.trim());
    let name = name.trim();
    (!harmless && DIRECTIVES.contains(&name)).then_some(name)
}

fn describe(found: &[(String, PathBuf)]) -> String {
    if found.is_empty() {
        return "the directive that does it (`systemctl cat monopod` shows the unit with its drop-ins)".to_owned();
    }
    let described = found
        .iter()
        .map(|(name, file)| format!("{name}= from {}", file.display()));
    described.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_that_restrict_are_found_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let drop_ins = dir.path().join("monopod.service.d");
        fs::create_dir(&drop_ins).unwrap();
        fs::write(
            dir.path().join("monopod.service"),
            "[Service]\nOOMScoreAdjust=-900\nProtectHome=no\n",
        )
        .unwrap();
        let file = drop_ins.join("10-hard.conf");
        fs::write(&file, "[Service]\nProtectSystem = full\n# PrivateTmp=yes\n").unwrap();
        let found = restrictions(&[dir.path().to_owned(), "/no/such".into()]);
        assert_eq!(found, [("ProtectSystem".to_owned(), file)]);
        assert!(describe(&found).starts_with("ProtectSystem= from /"));
        assert!(describe(&[]).contains("systemctl cat monopod"));
    }

    #[test]
    fn what_differs_from_the_first_process_is_named() {
        let init = Surroundings {
            mount_namespace: "mnt:[1]".into(),
            seccomp: "0".to_owned(),
            no_new_privileges: "0".to_owned(),
            bounding_set: "ff".to_owned(),
        };
        assert!(differences(&init, &init).is_empty());
        let own = Surroundings {
            mount_namespace: "mnt:[2]".into(),
            seccomp: "2".to_owned(),
            ..init.clone()
        };
        let expected = ["a mount namespace of its own", "a system call filter"];
        assert_eq!(differences(&own, &init), expected);
    }

    #[test]
    fn our_own_unit_restricts_nothing() {
        let unit = include_str!("../../../../config/systemd/monopod.service");
        assert_eq!(unit.lines().find_map(restricting_directive), None);
    }
}
