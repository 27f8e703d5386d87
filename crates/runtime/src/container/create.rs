//! Creating a container, in a forked child that ends right afterwards.
//!
//! The child changes itself in ways that cannot be undone (descriptors, dumpable, OOM score, directory) and
//! libcontainer leaks descriptors and zombies when it fails: all of that ends with the child. The container's
//! first process becomes a child of the executor (`as_sibling`).

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use libcontainer::{
    container::builder::ContainerBuilder, error::LibcontainerError, oci_spec::runtime::Spec,
    syscall::syscall::SyscallType,
};
use rustix::{
    fs::{Gid, Mode, OFlags, ResolveFlags, Uid, chown, fchown, mkdirat, open, openat2},
    process::{Signal, set_parent_process_death_signal},
};

use super::{
    payload::Payload,
    recorder::Recorder,
    report::{Report, Reporter, chain},
};
use crate::{
    image::LayeredRoot,
    launch::{ContainerLaunch, Launch},
    rootfs::{self, RootfsError},
    spec::{self, HardLimits, ProcessUser, SpecInput},
    sys::{descriptors, fork::leave, keyring, seccomp::Filter},
    user::{self, UserError},
};

/// Where containers are prepared: a tmpfs in the executor's own mount namespace.
#[derive(Clone, Debug)]
pub(crate) struct Workplace {
    /// The tmpfs.
    pub(crate) root: PathBuf,
}

impl Workplace {
    /// libcontainer's state of all containers.
    pub(crate) fn states(&self) -> PathBuf {
        self.root.join("state")
    }

    /// libcontainer's state of one container.
    pub(crate) fn state(&self, container: &str) -> PathBuf {
        self.states().join(container)
    }

    /// Shared memory of the pod's containers.
    pub(crate) fn shm(&self) -> PathBuf {
        self.root.join("shm")
    }

    /// The OCI bundle of one container.
    fn bundle(&self, container: &str) -> PathBuf {
        self.root.join("bundle").join(container)
    }
}

/// The descriptors of a creation; the child closes all others.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    pub(crate) status: OwnedFd,
    pub(crate) report: OwnedFd,
    /// The executor's pidfd.
    pub(crate) executor: OwnedFd,
}

/// What is to be created.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) launch: &'a Launch,
    pub(crate) container: &'a ContainerLaunch,
    pub(crate) workplace: &'a Workplace,
    pub(crate) filter: Option<Filter>,
    pub(crate) hard_limits: HardLimits,
    pub(crate) cgroup_view: bool,
}

/// Why a container was not created.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error("close inherited descriptors")]
    Descriptors { source: io::Error },
    #[error("mount the root filesystem")]
    Rootfs { source: RootfsError },
    #[error("know who the container runs as")]
    User { source: UserError },
    #[error("make {path}")]
    Make { path: PathBuf, source: io::Error },
    #[error("give {path} to the container's user")]
    Own { path: PathBuf, source: io::Error },
    #[error("write the container's specification {path}")]
    Bundle {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("create the container")]
    Libcontainer { source: LibcontainerError },
}

/// The whole life of the child.
pub(crate) fn run(order: &Order<'_>, ends: Ends) -> ! {
    // The container's first process asks for the same once its credentials are set.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let reporter = Reporter::new(ends.report);
    let streams = Streams {
        stdout: ends.stdout,
        stderr: ends.stderr,
    };
    let kept = [
        streams.stdout.as_raw_fd(),
        streams.stderr.as_raw_fd(),
        ends.status.as_raw_fd(),
        ends.executor.as_raw_fd(),
        reporter.number(),
    ];
    let created = descriptors::close_all_but(&kept)
        .map_err(|source| CreateError::Descriptors { source })
        .and_then(|()| create(order, streams, ends.status, ends.executor, &reporter));
    match created {
        Ok(pid) => {
            reporter.tell(Report::Created { pid });
            leave(0)
        }
        Err(error) => {
            reporter.tell(Report::Failed {
                message: format!("failed to {}", chain(&error)),
            });
            leave(1)
        }
    }
}

struct Streams {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

fn create(
    order: &Order<'_>,
    streams: Streams,
    status: OwnedFd,
    executor: OwnedFd,
    reporter: &Reporter,
) -> Result<i32, CreateError> {
    // A kernel without keyrings has nothing to leak; the executor's own is empty too.
    let _ = keyring::join_new_session();
    // This process is new: nobody else can have set one.
    let _ = tracing::subscriber::set_global_default(Recorder(reporter.clone()));
    let container = order.container;
    let bundle = order.workplace.bundle(&container.name);
    let rootfs = bundle.join("rootfs");
    make_directories(&rootfs)?;
    rootfs::mount(&container.rootfs, &rootfs, &mount_points(container))
        .map_err(|source| CreateError::Rootfs { source })?;
    let user = resolve_user(container, &rootfs)?;
    give_to_user(container, &streams, &user)?;
    if container.create_cwd {
        make_inside(&rootfs, &container.cwd)?;
    }
    let (spec, environment) = specification(order, &rootfs, &user);
    let path = bundle.join("config.json");
    write_spec(&spec, &path)?;
    let payload = Payload {
        argv: container.argv.clone(),
        environment,
        filter: order.filter.clone(),
        executor: Arc::new(executor),
        status: Arc::new(status.into()),
        reporter: reporter.clone(),
    };
    build(order, &bundle, streams, payload).map_err(|source| CreateError::Libcontainer { source })
}

fn build(
    order: &Order<'_>,
    bundle: &Path,
    streams: Streams,
    payload: Payload,
) -> Result<i32, LibcontainerError> {
    let null = File::open("/dev/null").map_err(LibcontainerError::OtherIO)?;
    let id = order.container.name.clone();
    let container = ContainerBuilder::new(id, SyscallType::default())
        .with_root_path(order.workplace.states())?
        .with_stdin(null)
        .with_stdout(streams.stdout)
        .with_stderr(streams.stderr)
        .with_executor(payload)
        .as_init(bundle)
        .with_systemd(false)
        .with_detach(true)
        .as_sibling(true)
        .build()?;
    Ok(container.pid().map_or(0, nix::unistd::Pid::as_raw))
}

/// The specification with a minimal environment, and the whole environment, which may hold secrets.
fn specification(order: &Order<'_>, rootfs: &Path, user: &ProcessUser) -> (Spec, Vec<String>) {
    let mut spec = spec::build(&SpecInput {
        launch: order.launch,
        container: order.container,
        rootfs,
        shm: &order.workplace.shm(),
        user,
        hard_limits: order.hard_limits,
        cgroup_view: order.cgroup_view,
    });
    let mut environment = Vec::new();
    if let Some(process) = spec.process_mut() {
        environment = process.env().clone().unwrap_or_default();
        let needed = |entry: &&String| entry.starts_with("HOME=") || entry.starts_with("PATH=");
        let minimal = environment.iter().filter(needed).cloned().collect();
        process.set_env(Some(minimal));
    }
    (spec, environment)
}

fn write_spec(spec: &Spec, path: &Path) -> Result<(), CreateError> {
    let file = File::create(path).map_err(|source| CreateError::Make {
        path: path.to_owned(),
        source,
    })?;
    serde_json::to_writer(io::BufWriter::new(file), spec).map_err(|source| CreateError::Bundle {
        path: path.to_owned(),
        source,
    })
}

fn mount_points(container: &ContainerLaunch) -> Vec<PathBuf> {
    let volumes = container
        .mounts
        .iter()
        .map(|mount| mount.destination.clone());
    std::iter::once(container.sandbox_mount.clone())
        .chain(volumes)
        .collect()
}

fn resolve_user(container: &ContainerLaunch, rootfs: &Path) -> Result<ProcessUser, CreateError> {
    let root = LayeredRoot::open(&[rootfs.to_owned()]).map_err(|source| CreateError::User {
        source: source.into(),
    })?;
    let text = container.user.as_deref().unwrap_or_default();
    let user = user::resolve_in(text, &root).map_err(|source| CreateError::User { source })?;
    Ok(ProcessUser {
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids,
        home: user.home,
    })
}

/// The sandbox belongs to the user who runs in it, and so do its streams, which `/dev/stdout` opens anew.
fn give_to_user(
    container: &ContainerLaunch,
    streams: &Streams,
    user: &ProcessUser,
) -> Result<(), CreateError> {
    if user.uid == 0 {
        return Ok(());
    }
    let (uid, gid) = (Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)));
    let failed = |source: rustix::io::Errno| CreateError::Own {
        path: container.sandbox.clone(),
        source: source.into(),
    };
    chown(&container.sandbox, uid, gid).map_err(failed)?;
    for stream in [&streams.stdout, &streams.stderr] {
        fchown(stream.as_fd(), uid, gid).map_err(failed)?;
    }
    Ok(())
}

fn make_directories(path: &Path) -> Result<(), CreateError> {
    std::fs::create_dir_all(path).map_err(|source| CreateError::Make {
        path: path.to_owned(),
        source,
    })
}

/// Makes a directory and its parents inside a root filesystem; symbolic links cannot lead out of it.
fn make_inside(rootfs: &Path, path: &Path) -> Result<(), CreateError> {
    let failed = |source: rustix::io::Errno| CreateError::Make {
        path: path.to_owned(),
        source: source.into(),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(rootfs, flags, Mode::empty()).map_err(failed)?;
    let mut parent = root.try_clone().map_err(|source| CreateError::Make {
        path: path.to_owned(),
        source,
    })?;
    let mut reached = PathBuf::new();
    for part in path.strip_prefix("/").unwrap_or(path) {
        reached.push(part);
        let next = || openat2(&root, &reached, flags, Mode::empty(), ResolveFlags::IN_ROOT);
        parent = match next() {
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(&parent, part, Mode::from_raw_mode(0o755)).map_err(failed)?;
                next().map_err(failed)?
            }
            other => other.map_err(failed)?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_inside_whatever_links_say() {
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("relative")).unwrap();
        std::fs::create_dir(root.join("outside")).unwrap();
        make_inside(&root, Path::new("/a/b/c")).unwrap();
        assert!(root.join("a/b/c").is_dir());
        make_inside(&root, Path::new("/relative/d")).unwrap();
        assert!(root.join("outside/d").is_dir());
        assert!(make_inside(&root, Path::new("/absolute/e")).is_err());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }
}
