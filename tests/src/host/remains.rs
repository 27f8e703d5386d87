//! What a daemon and its pods left on this host, and the end of all of it.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{Host, SOON};
use crate::kernel::{self, Process};

impl Host {
    /// Waits until no process, mount, cgroup or run directory of any pod is left, and every sandbox may be collected.
    #[track_caller]
    pub fn wait_until_clean(&self) {
        let deadline = Instant::now() + SOON;
        loop {
            let left = self.leftovers(&BTreeSet::new());
            if left.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left over: {left:#?}\n{}",
                self.log_tail()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that belongs to nothing of `known`, uuids of instances or names of runs: processes, cgroups, run
    /// directories, sandboxes that are not marked for collection; and mounts that the host can see.
    pub fn leftovers(&self, known: &BTreeSet<String>) -> Vec<String> {
        let is_known = |name: &str| known.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let processes = self
            .processes()
            .into_iter()
            .filter(|process| process.cgroup.contains('/') && !is_known(process.run()));
        let mut left: Vec<_> = processes
            .map(|process| format!("process {process:?}"))
            .collect();
        let ours = |name: &str| name == "leaving" || name == "keeper";
        let cgroups = kernel::child_cgroups(&self.cgroup_parent).into_keys();
        left.extend(
            cgroups
                .filter(|name| !ours(name) && !is_known(name))
                .map(|name| format!("cgroup {name}")),
        );
        for name in names_in(&self.run_dir().join("runs")) {
            if !is_known(&name) {
                left.push(format!("run directory {name}"));
            }
        }
        let sandboxes = self.state_dir().join("sandboxes");
        for instance in names_in(&sandboxes) {
            for incarnation in names_in(&sandboxes.join(&instance)) {
                let run = format!("{instance}.{incarnation}");
                // One that is marked stays until it is collected.
                let sandbox = sandboxes.join(&instance).join(incarnation);
                if !is_known(&run) && !sandbox.join("ended.json").exists() {
                    left.push(format!("sandbox {run}, not marked for collection"));
                }
            }
        }
        let mounts = kernel::mounts_below(&self.directory);
        left.extend(
            mounts
                .into_iter()
                .map(|path| format!("mount {}", path.display())),
        );
        left
    }

    /// Keeps the whole log of a failed test where `MONOPOD_TEST_LOGS` says.
    fn keep_log(&self) {
        let Some(directory) = std::env::var_os("MONOPOD_TEST_LOGS") else {
            return;
        };
        let kept = Path::new(&directory).join(format!("{}.log", self.name));
        match fs::copy(self.log(), &kept) {
            Ok(_) => eprintln!("the whole log is in {}", kept.display()),
            Err(error) => eprintln!("the log is not kept in {}: {error}", kept.display()),
        }
    }

    fn remove_pods(&self) {
        let Ok(answer) = self.try_request("GET", "/v2/pods", None) else {
            return;
        };
        for pod in answer.json().as_array().into_iter().flatten() {
            let id = pod["id"].as_str().unwrap_or_default();
            let _ = self.try_request("DELETE", &format!("/v2/pods{id}?force=true"), None);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && !self.container_processes().is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill_leftovers(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let processes = self.processes();
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            processes.iter().for_each(Process::kill);
            // A daemon that was killed may have left what it was ending frozen.
            kernel::thaw_cgroups(&self.cgroup_parent);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processes that ended keep their cgroups busy until somebody has reaped them.
    fn remove_cgroups(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !kernel::remove_cgroups(&self.cgroup_parent) {
            if Instant::now() > deadline {
                eprintln!("cgroups {} are left: they are busy", self.name);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the directory unless something is still mounted below it, which removal would reach through.
    fn remove_directory(&self) {
        for mount in kernel::mounts_below(&self.directory).iter().rev() {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        if kernel::mounts_below(&self.directory).is_empty() {
            let _ = fs::remove_dir_all(&self.directory);
        } else {
            eprintln!(
                "{} is left: something is mounted below it",
                self.directory.display()
            );
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon's log ends:\n{}", self.log_tail());
            self.keep_log();
        }
        if self.daemon.is_some() {
            self.remove_pods();
        }
        self.stop_daemon();
        self.kill_leftovers();
        self.remove_cgroups();
        self.remove_directory();
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(name).collect()
}
