//! monopod as a service of a guest, and what it runs there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Guest, INTERVAL, SOON};
use crate::{
    binary,
    host::is_settled,
    image::{Says, docker_archive},
    pods,
};

/// Processes of pods: pid, start time, and cgroup below the parent of all.
const PROCESSES: &str = r#"
for my $process (glob '/proc/[0-9]*') {
    open(my $file, '<', "$process/cgroup") or next;
    local $/;
    my $cgroups = <$file>;
    $cgroups =~ m{^0::/system\.slice/monopod-pods\.service/pods/(.+)$}m or next;
    my $cgroup = $1;
    open($file, '<', "$process/stat") or next;
    my $stat = <$file>;
    $stat =~ s/^(\d+) .*\) //s or next;
    my ($pid, @fields) = ($1, split ' ', $stat);
    print "$pid $fields[19] $cgroup\n" unless $fields[0] eq 'Z';
}
"#;

/// What belongs to runs and instances, by name: their cgroups, directories and mounts.
const OBJECTS: &str = r#"
cd /sys/fs/cgroup/system.slice/monopod-pods.service/pods 2>/dev/null && for d in */; do [ "$d" = '*/' ] || echo "cgroup ${d%/}"; done
cd /run/monopod/runs 2>/dev/null && for d in *; do [ "$d" = '*' ] || echo "run $d"; done
# A sandbox that says when its run ended waits for its collection.
cd /var/lib/monopod/sandboxes 2>/dev/null && for d in */*; do
    [ "$d" = '*/*' ] || [ -e "$d/ended.json" ] || echo "sandbox $d"
done
grep -oE ' /(run|var/lib)/monopod/[^ ]*' /proc/self/mountinfo | sed 's/^/mount/'
true
"#;

impl Guest {
    /// Installs the package of the `monopod` under test, which starts it as a service.
    ///
    /// # Panics
    /// It does not get ready.
    #[track_caller]
    pub fn install(&self) {
        self.install_package(env!("CARGO_PKG_VERSION"));
    }

    /// Installs the package under this version, over another one if there is one.
    ///
    /// # Panics
    /// It does not get ready.
    #[track_caller]
    pub fn install_package(&self, version: &str) {
        self.put(
            &package(self.directory(), version),
            "/root/monopod.deb",
            0o644,
        );
        self.check("dpkg --install /root/monopod.deb && rm /root/monopod.deb");
        self.wait_until_ready();
    }

    /// Waits until the daemon has recovered.
    ///
    /// # Panics
    /// It does not within minutes.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.request("GET", "/v2/info", None);
            if answer.as_ref().is_ok_and(|answer| answer.status == 200) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "monopod is not ready: {answer:?}"
            );
            std::thread::sleep(INTERVAL);
        }
    }

    /// The process id of the daemon, as systemd knows it; 0 if there is none.
    #[track_caller]
    pub fn daemon_pid(&self) -> u32 {
        let pid = self.check("systemctl show -P MainPID monopod");
        pid.parse().unwrap()
    }

    /// Imports the probe's image, see [`pods::IMAGE`].
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn import_probe(&self) {
        let archive = docker_archive(self.directory(), pods::IMAGE, Says::default());
        self.put(&archive, "/var/tmp/probe.tar", 0o644);
        self.check("monopod image import /var/tmp/probe.tar");
    }

    /// Adds a pod.
    ///
    /// # Panics
    /// It is refused.
    #[track_caller]
    pub fn add(&self, pod: &Value) {
        let answer = self.request("POST", "/v2/pods", Some(pod)).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// The pod's status; null if there is no such pod.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn status(&self, id: &str) -> Value {
        let answer = self
            .request("GET", &format!("/v2/pods{id}::status"), None)
            .unwrap();
        match answer.status {
            200 => answer.json(),
            404 => Value::Null,
            _ => panic!("{answer:?}"),
        }
    }

    /// Waits until the pod is stable with all its instances running.
    ///
    /// # Panics
    /// It is not within minutes.
    #[track_caller]
    pub fn wait_until_stable(&self, id: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let status = self.status(id);
            if is_settled(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{id} is not stable: {status:#}");
            std::thread::sleep(INTERVAL);
        }
    }

    /// Removes a pod and waits until nothing of it is left.
    ///
    /// # Panics
    /// That takes minutes.
    #[track_caller]
    pub fn remove(&self, id: &str) {
        let answer = self
            .request("DELETE", &format!("/v2/pods{id}?force=true"), None)
            .unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
        let deadline = Instant::now() + SOON;
        while !self.status(id).is_null() {
            assert!(Instant::now() < deadline, "{id} is not gone");
            std::thread::sleep(INTERVAL);
        }
    }

    /// The pods there are, by id: how many instances are wanted, and their environment's `MARKER`.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn pods(&self) -> Vec<(String, u64, String)> {
        let answer = self.request("GET", "/v2/pods", None).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pods = answer.json();
        pods.as_array()
            .into_iter()
            .flatten()
            .map(|pod| {
                (
                    text(&pod["id"]),
                    pod["scaling"]["instances"].as_u64().unwrap_or(1),
                    text(&pod["environment"]["MARKER"]),
                )
            })
            .collect()
    }

    /// The uuids of a pod's instances.
    #[track_caller]
    pub fn uuids(&self, id: &str) -> BTreeSet<String> {
        let status = self.status(id);
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        let ids = instances
            .iter()
            .filter_map(|instance| instance["id"].as_str());
        ids.filter_map(|id| id.split(".instance-").nth(1).map(str::to_owned))
            .collect()
    }

    /// Processes of containers, each a line of pid, start time and cgroup, so that a later one is told apart.
    ///
    /// # Panics
    /// They cannot be listed.
    #[track_caller]
    pub fn containers(&self) -> BTreeSet<String> {
        let lines = self.run(&["perl", "-e", PROCESSES]);
        assert!(lines.success(), "{lines:?}");
        lines
            .stdout
            .lines()
            .filter(|line| !line.ends_with("/executor"))
            .map(str::to_owned)
            .collect()
    }

    /// Everything that belongs to no instance of `known` (uuids): processes, cgroups, run directories, sandboxes,
    /// mounts.
    ///
    /// # Panics
    /// They cannot be listed.
    #[track_caller]
    pub fn leftovers(&self, known: &BTreeSet<String>) -> Vec<String> {
        let processes = self.run(&["perl", "-e", PROCESSES]).stdout;
        let objects = self.check(OBJECTS);
        let is_known = |line: &&str| known.iter().any(|uuid| line.contains(uuid.as_str()));
        let ours = |line: &&str| *line == "cgroup leaving";
        processes
            .lines()
            .chain(objects.lines())
            .filter(|line| !is_known(line) && !ours(line))
            .map(str::to_owned)
            .collect()
    }

    /// Waits until nothing is left of what is not known.
    ///
    /// # Panics
    /// Something is, for minutes.
    #[track_caller]
    pub fn wait_until_clean(&self, known: &BTreeSet<String>, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let left = self.leftovers(known);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left over: {left:#?}");
            std::thread::sleep(INTERVAL);
        }
    }
}

/// Packs the `monopod` that was built, as it is.
fn package(directory: &Path, version: &str) -> PathBuf {
    let profile = match binary::monopod().parent().and_then(Path::file_name) {
        Some(name) if name == "release" => "release",
        _ => "dev",
    };
    let output = Command::new("make")
        .args(["--no-print-directory", "deb", "NO_BUILD=1"])
        .arg(format!("PROFILE={profile}"))
        .arg(format!("DEB_VERSION={version}"))
        .arg(format!("DEB_DIR={}", directory.display()))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .unwrap();
    let made = directory.join(format!("monopod_{version}_amd64.deb"));
    assert!(
        output.status.success() && made.exists(),
        "make deb: {output:?}"
    );
    made
}

/// A pod of containers that hold, with a marker in its environment.
pub fn marked_pod(id: &str, instances: u64, marker: &str) -> Value {
    let containers = ["a", "b"].map(|name| pods::probe_container(name, "hold"));
    let mut pod = pods::pod(id, &containers);
    pod["scaling"]["instances"] = json!(instances);
    pod["environment"] = json!({"MARKER": marker});
    pod
}
