//! Three times `crun run`: the least that a pod costs with an OCI runtime, since nothing supervises it.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::sched::{CloneFlags, unshare};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use serde_json::Value;

use crate::{
    contestant::{Contestant, Kind, Replacement},
    oci_config,
    place::Place,
    workload::{self, CONTAINERS, Pod},
};

/// After a failed removal, before the second attempt: crun gives up when a cgroup is still busy.
const SECOND_ATTEMPT_AFTER: Duration = Duration::from_millis(50);

/// Bundles, and crun's own state.
#[derive(Debug)]
pub(crate) struct Crun {
    bundles: PathBuf,
    root: PathBuf,
    rootfs: PathBuf,
    cgroup: String,
    pods_cgroups: Vec<PathBuf>,
    seccomp: Option<Value>,
}

impl Crun {
    /// Gets ready, in a mount namespace of the calling thread's own.
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        own_mounts(place)?;
        let seccomp = oci_config::seccomp();
        if seccomp.is_none() {
            eprintln!(
                "bench: crun runs WITHOUT a system call filter: containers-common is not installed"
            );
        }
        let cgroup = place.cgroups.pods_of(Kind::Crun);
        Ok(Self {
            bundles: place.directory(&place.state, "bundles")?,
            root: place.directory(&place.run, "crun")?,
            rootfs: workload::rootfs(place)?,
            pods_cgroups: place.cgroups.directories_of(Kind::Crun),
            cgroup: format!("/{cgroup}"),
            seccomp,
        })
    }

    fn bundle(&self, pod: &Pod, number: usize) -> PathBuf {
        self.bundles.join(container_id(pod, number))
    }

    fn run(&self, pod: &Pod, number: usize, first: Option<&str>) -> anyhow::Result<String> {
        let bundle = self.bundle(pod, number);
        self.mount_rootfs(&bundle)
            .with_context(|| format!("mount {}", bundle.display()))?;
        let cgroup = format!("{}/{}/c{number}", self.cgroup, pod.name);
        let container = oci_config::Container {
            pod,
            number,
            first,
            cgroup: &cgroup,
        };
        let config = oci_config::build(container, self.seccomp.as_ref());
        fs::write(bundle.join("config.json"), config.to_string()).context("write config.json")?;
        let mut command = self.crun(&["run", "--detach", "--bundle"]);
        command
            .arg(&bundle)
            .arg("--pid-file")
            .arg(bundle.join("pid"))
            .arg(container_id(pod, number));
        // The container would inherit and hold a pipe: only the status tells.
        let status = command
            .stdout(Stdio::null())
            .status()
            .context("start crun")?;
        anyhow::ensure!(
            status.success(),
            "run {} by crun: {status}",
            container_id(pod, number)
        );
        fs::read_to_string(bundle.join("pid")).context("read the container's process id")
    }

    fn mount_rootfs(&self, bundle: &Path) -> anyhow::Result<()> {
        for directory in ["upper", "work", "rootfs"] {
            fs::create_dir_all(bundle.join(directory))?;
        }
        let layers = [
            ("lowerdir", self.rootfs.clone()),
            ("upperdir", bundle.join("upper")),
            ("workdir", bundle.join("work")),
        ];
        let options: Vec<_> = layers
            .iter()
            .map(|(key, path)| format!("{key}={}", path.display()))
            .collect();
        let options = CString::new(options.join(","))?;
        mount(
            "overlay",
            bundle.join("rootfs"),
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )?;
        Ok(())
    }

    fn delete(&self, pod: &Pod, number: usize) -> anyhow::Result<()> {
        let id = container_id(pod, number);
        let delete = || self.quiet(&["delete", "--force", &id]);
        if delete().is_err() {
            std::thread::sleep(SECOND_ATTEMPT_AFTER);
            let result = delete();
            if self.root.join(&id).exists() {
                result?;
            }
        }
        let bundle = self.bundle(pod, number);
        unmount(bundle.join("rootfs"), UnmountFlags::empty())
            .context("unmount the root filesystem")?;
        fs::remove_dir_all(&bundle).with_context(|| format!("remove {}", bundle.display()))
    }

    fn crun(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("crun");
        command
            .arg("--root")
            .arg(&self.root)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn quiet(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.crun(arguments).output().context("start crun")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "crun {}: {complaint}",
            arguments.join(" ")
        );
        Ok(())
    }
}

/// Gives the calling thread, and what it starts, mounts of its own. On a host with both versions of cgroups, an
/// empty directory hides version 2, or crun refuses to work.
pub(crate) fn own_mounts(place: &Place) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("leave the mount namespace")?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .context("make all mounts private")?;
    if let Some(hybrid) = place.cgroups.hybrid_mount() {
        mount("none", hybrid, "tmpfs", MountFlags::empty(), None)
            .context("hide version 2 of cgroups")?;
    }
    Ok(())
}

fn container_id(pod: &Pod, number: usize) -> String {
    format!("{}.c{number}", pod.name)
}

impl Contestant for Crun {
    fn launch(&self, pod: &Pod) -> anyhow::Result<()> {
        let first = self.run(pod, 1, None)?;
        for number in 2..=CONTAINERS {
            self.run(pod, number, Some(first.trim()))?;
        }
        Ok(())
    }

    fn remove(&self, pod: &Pod) -> anyhow::Result<()> {
        for number in 1..=CONTAINERS {
            self.delete(pod, number)?;
        }
        for cgroups in &self.pods_cgroups {
            // Absent where crun made none.
            let _ = fs::remove_dir(cgroups.join(&pod.name));
        }
        Ok(())
    }

    fn settle(&self, _: &Pod) -> anyhow::Result<()> {
        Ok(())
    }

    fn list(&self) -> anyhow::Result<()> {
        self.quiet(&["list"])
    }

    /// Of the first container.
    fn status(&self, pod: &Pod) -> anyhow::Result<()> {
        self.quiet(&["state", &container_id(pod, 1)])
    }

    fn replacement(&self) -> Replacement {
        Replacement::Nothing
    }

    fn log(&self) -> Option<&Path> {
        None
    }

    fn service(&self) -> Option<i32> {
        None
    }
}
