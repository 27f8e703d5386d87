//! What a pod's containers share, made by the executor for itself: namespaces, a workplace, shared memory.
//!
//! All of it is freed by the kernel when the last process of the pod ends.

use std::{fs, io, path::Path};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use crate::{
    cgroup::{CgroupError, Cgroups},
    container::create::Workplace,
    launch::Launch,
    layout::RunDir,
    sys::loopback,
};

/// Size of the tmpfs for bundles and libcontainer's state; a specification has a few KiB.
const WORKPLACE_BYTES: u64 = 16 << 20;

/// Why the surroundings could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SurroundingsError {
    /// A cgroup refused the executor.
    #[error("move the executor into its cgroup")]
    Cgroup {
        /// Why.
        source: CgroupError,
    },
    /// The namespaces could not be made.
    #[error("make the pod's namespaces")]
    Namespaces {
        /// Why: a limit, a permission.
        source: nix::Error,
    },
    /// Something else.
    #[error("{step}")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Joins the executor's cgroup and makes everything.
pub(super) fn make(launch: &Launch, cgroups: &Cgroups) -> Result<Workplace, SurroundingsError> {
    let own_pid = rustix::process::getpid().as_raw_nonzero().get();
    cgroups
        .join(&launch.cgroups.executor, own_pid)
        .map_err(|source| SurroundingsError::Cgroup { source })?;
    unshare(namespaces(launch)).map_err(|source| SurroundingsError::Namespaces { source })?;
    let step = |step| move |source| SurroundingsError::Step { step, source };
    // Slave, not private: a device that the host unmounts must not stay busy here.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).map_err(|errno| step("separate the pod's mounts")(errno.into()))?;
    if launch.own_network {
        loopback::bring_up().map_err(step("bring up the loopback interface"))?;
    }
    if let Some(name) = &launch.hostname {
        rustix::system::sethostname(name.as_bytes())
            .map_err(|errno| step("set the host name")(errno.into()))?;
    }
    make_workplace(launch).map_err(step("make the executor's workplace"))
}

/// The pod's namespaces that the executor lives in itself. Containers inherit them.
fn namespaces(launch: &Launch) -> CloneFlags {
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC;
    flags.set(CloneFlags::CLONE_NEWNET, launch.own_network);
    flags.set(CloneFlags::CLONE_NEWUTS, launch.hostname.is_some());
    flags
}

fn make_workplace(launch: &Launch) -> io::Result<Workplace> {
    let root = RunDir(launch.run_dir.clone()).containers();
    fs::create_dir_all(&root)?;
    mount_tmpfs(&root, &format!("mode=0700,size={WORKPLACE_BYTES}"))?;
    let workplace = Workplace { root };
    fs::create_dir(workplace.states())?;
    fs::create_dir(workplace.shm())?;
    mount_tmpfs(
        &workplace.shm(),
        &format!("mode=1777,size={}", launch.shm_bytes),
    )?;
    Ok(workplace)
}

fn mount_tmpfs(target: &Path, options: &str) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    Ok(mount("tmpfs", target, "tmpfs", flags, options.as_c_str())?)
}
