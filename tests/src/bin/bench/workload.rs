//! The pod that everybody launches, and how it is seen to run and to be gone.

use std::{
    fs,
    mem::MaybeUninit,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify,
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{clock, place::Place};

/// Containers in a pod.
pub(crate) const CONTAINERS: usize = 3;

/// Name of the image with the payload.
pub(crate) const IMAGE: &str = "localhost/monopod-bench:1";

/// Longer than any contestant takes for one pod.
const PATIENCE: Duration = Duration::from_secs(30);

/// One pod: its name and the directory of its shared volume, which is `/bench` in each container.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// Unique on this host.
    pub(crate) name: String,
    /// On the host.
    pub(crate) volume: PathBuf,
}

impl Pod {
    /// A pod with an empty volume.
    pub(crate) fn new(place: &Place, name: &str) -> anyhow::Result<Self> {
        let name = format!("{}-{name}", place.name);
        let volume = place.state.join("volumes").join(&name);
        if volume.exists() {
            fs::remove_dir_all(&volume).with_context(|| format!("empty {}", volume.display()))?;
        }
        fs::create_dir_all(&volume).with_context(|| format!("make {}", volume.display()))?;
        Ok(Self { name, volume })
    }

    /// The payload of a container, counted from 1: appends the time to its file, then holds until SIGTERM.
    pub(crate) fn argv(&self, container: usize) -> Vec<String> {
        let file = format!("/bench/{}.c{container}", self.name);
        ["/probe", "append", &file, ",", "hold"]
            .map(str::to_owned)
            .to_vec()
    }

    fn file(&self, container: usize) -> PathBuf {
        self.volume.join(format!("{}.c{container}", self.name))
    }

    /// The times at which a container's payload started, complete lines only.
    fn starts(&self, container: usize) -> Vec<Duration> {
        let text = fs::read_to_string(self.file(container)).unwrap_or_default();
        let complete = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let times = complete.filter_map(|line| line.trim_end().rsplit(' ').next()?.parse().ok());
        times.map(Duration::from_nanos).collect()
    }
}

/// Sees payloads start. Made before the request, so that nothing is missed.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    pod: &'a Pod,
    inotify: OwnedFd,
}

impl<'a> Watch<'a> {
    /// Begins to watch the pod's volume.
    pub(crate) fn begin(pod: &'a Pod) -> anyhow::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context("begin to watch")?;
        let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CLOSE_WRITE;
        inotify::add_watch(&inotify, &pod.volume, events)
            .with_context(|| format!("watch {}", pod.volume.display()))?;
        Ok(Self { pod, inotify })
    }

    /// Waits until each container of `containers` has started so many times; gives the last start's time.
    pub(crate) fn wait(&self, containers: &[usize], times: usize) -> anyhow::Result<Duration> {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            let starts = containers
                .iter()
                .map(|container| self.pod.starts(*container).get(times - 1).copied());
            if let Some(all) = starts.collect::<Option<Vec<_>>>() {
                return all
                    .into_iter()
                    .max()
                    .context("watch at least one container");
            }
            let now = clock::monotonic();
            anyhow::ensure!(
                now < deadline,
                "see {} run within {PATIENCE:?}",
                self.pod.name
            );
            let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
            poll_until(&mut fds, deadline - now)?;
            self.drain();
        }
    }

    fn drain(&self) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        while reader.next().is_ok() {}
    }
}

/// Handles on a pod's payloads, taken before they are asked to go.
#[derive(Debug)]
pub(crate) struct Alive(Vec<OwnedFd>);

impl Alive {
    /// Takes hold of every payload of pods with so many containers.
    pub(crate) fn hold(pids: &[i32], containers: usize) -> anyhow::Result<Self> {
        anyhow::ensure!(
            pids.len() == containers,
            "find {containers} payloads, there are {}",
            pids.len()
        );
        let open = |pid: &i32| {
            let pid = Pid::from_raw(*pid).context("use a process id")?;
            pidfd_open(pid, PidfdFlags::empty()).context("take hold of a payload")
        };
        pids.iter()
            .map(open)
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Waits until all are gone; gives the time at which that was seen.
    pub(crate) fn wait_until_gone(self) -> anyhow::Result<Duration> {
        let deadline = clock::monotonic() + PATIENCE;
        let mut left = self.0;
        while !left.is_empty() {
            let now = clock::monotonic();
            anyhow::ensure!(now < deadline, "see payloads go within {PATIENCE:?}");
            let gone: Vec<bool> = {
                let mut fds: Vec<_> = left
                    .iter()
                    .map(|fd| PollFd::new(fd, PollFlags::IN))
                    .collect();
                poll_until(&mut fds, deadline - now)?;
                fds.iter().map(|fd| !fd.revents().is_empty()).collect()
            };
            let mut gone = gone.into_iter();
            left.retain(|_| !gone.next().unwrap_or(false));
        }
        Ok(clock::monotonic())
    }
}

fn poll_until(fds: &mut [PollFd<'_>], limit: Duration) -> anyhow::Result<()> {
    let limit = Timespec::try_from(limit).context("express a time limit")?;
    match poll(fds, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("wait"),
    }
}

/// The image that everybody runs, as an archive; made once.
pub(crate) fn archive(place: &Place) -> PathBuf {
    let path = place.state.join("image.tar");
    if path.exists() {
        path
    } else {
        e2e::image::docker_archive(&place.state, IMAGE, e2e::image::Says::default())
    }
}

/// The image's only layer, unpacked; made once.
pub(crate) fn rootfs(place: &Place) -> anyhow::Result<PathBuf> {
    let rootfs = place.state.join("rootfs");
    if !rootfs.exists() {
        unpack(&archive(place), &rootfs).context("unpack the image")?;
    }
    Ok(rootfs)
}

fn unpack(archive: &Path, rootfs: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(fs::File::open(archive)?);
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.path()?.ends_with("layer.tar") {
            fs::create_dir_all(rootfs)?;
            tar::Archive::new(entry).unpack(rootfs)?;
            return Ok(());
        }
    }
    anyhow::bail!("find the layer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_read_from_complete_lines() {
        let directory = tempfile::tempdir().unwrap();
        let pod = Pod {
            name: "p".to_owned(),
            volume: directory.path().to_owned(),
        };
        assert_eq!(pod.starts(1), []);
        fs::write(pod.file(1), "task 1 1000\n- 1 2000\n- 1 30").unwrap();
        assert_eq!(pod.starts(1), [1000, 2000].map(Duration::from_nanos));
    }

    #[test]
    fn a_watch_ends_with_the_last_container_and_gives_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let pod = Pod {
            name: "p".to_owned(),
            volume: directory.path().to_owned(),
        };
        let watch = Watch::begin(&pod).unwrap();
        let last = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| watch.wait(&[1, 2], 1));
            fs::write(pod.file(1), "- 1 5\n").unwrap();
            fs::write(pod.file(2), "- 1 9\n").unwrap();
            waiting.join().unwrap()
        });
        assert_eq!(last.unwrap(), Duration::from_nanos(9));
    }
}
