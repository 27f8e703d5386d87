//! Podman's REST service, in a view of the host where its stores and its state are this run's own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use e2e::http;
use rustix::{
    mount::{MountFlags, mount, mount_bind},
    process::{Resource, getrlimit},
};
use serde_json::{Value, json};

use crate::{
    clock,
    contestant::{Contestant, Kind, Replacement},
    crun::own_mounts,
    monopod::stop,
    place::Place,
    workload::{self, CONTAINERS, IMAGE, Pod},
};

/// The service's socket, in its own `/run`.
const SOCKET: &str = "/run/podman.sock";

/// Version 4's paths, which later versions have too.
const API: &str = "/v4.0.0/libpod";

/// Processes that a container may have: podman refuses more than it has left to itself after lowering its own.
const PROCESSES: u64 = 16_384;

/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The service, running.
#[derive(Debug)]
pub(crate) struct Podman {
    service: Child,
    log: PathBuf,
    cgroup: String,
}

impl Podman {
    /// Starts the service in a mount namespace of the calling thread's own; gives how long it took to answer.
    pub(crate) fn start(place: &Place) -> anyhow::Result<(Self, Duration)> {
        own_mounts(place)?;
        let state = place.directory(&place.state, "podman")?;
        let run = place.directory(&place.run, "podman")?;
        own_directories(&state, &run)?;
        let config = state.join("containers.conf");
        fs::write(&config, containers_conf(&state)).context("write containers.conf")?;
        load_image(&config, &workload::archive(place))?;
        let log = state.join("service.log");
        let output = File::create(&log).context("open the log")?;
        let _ = fs::remove_file(SOCKET);
        let mut command = podman(&config);
        command
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{SOCKET}"));
        command
            .stdout(output.try_clone().context("open the log")?)
            .stderr(output);
        let started = clock::monotonic();
        let service = command.spawn().context("start the service")?;
        let cgroup = format!("/{}", place.cgroups.pods_of(Kind::Podman));
        let mut podman = Self {
            service,
            log,
            cgroup,
        };
        podman.wait_until_ready()?;
        Ok((podman, clock::monotonic() - started))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = clock::monotonic() + PATIENCE;
        while !http::request(Path::new(SOCKET), "GET", "/_ping", None)
            .is_ok_and(|answer| answer.status == 200)
        {
            let ended = self.service.try_wait().context("look at the service")?;
            anyhow::ensure!(ended.is_none(), "keep the service running: {ended:?}");
            anyhow::ensure!(clock::monotonic() < deadline, "reach the service");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<()> {
        let body = body.map(Value::to_string);
        let answer = http::request(
            Path::new(SOCKET),
            method,
            &format!("{API}{path}"),
            body.as_deref(),
        )
        .with_context(|| format!("reach the service for {method} {path}"))?;
        let fine = (200..300).contains(&answer.status);
        anyhow::ensure!(fine, "{method} {path}: {} {}", answer.status, answer.body);
        Ok(())
    }
}

/// Puts this run's directories where podman keeps its state: `/run`, its stores, its shared memory.
fn own_directories(state: &Path, run: &Path) -> anyhow::Result<()> {
    let make = |name: &str| -> anyhow::Result<PathBuf> {
        let directory = state.join(name);
        fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(directory)
    };
    mount_bind(run, "/run").context("replace /run")?;
    mount("none", "/dev/shm", "tmpfs", MountFlags::empty(), None).context("replace /dev/shm")?;
    let (upper, work, store) = (make("varlib/upper")?, make("varlib/work")?, make("store")?);
    let options = format!(
        "lowerdir=/var/lib,upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    let options = std::ffi::CString::new(options).context("name the layers")?;
    mount(
        "overlay",
        "/var/lib",
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .context("cover /var/lib")?;
    // An overlay cannot be the upper layer of another one.
    fs::create_dir_all("/var/lib/containers").context("make /var/lib/containers")?;
    mount_bind(&store, "/var/lib/containers").context("replace /var/lib/containers")
}

/// Limits are what this process itself may give: podman's own defaults may be more.
fn containers_conf(state: &Path) -> String {
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(1 << 20);
    let (files, processes) = (hard(Resource::Nofile), hard(Resource::Nproc).min(PROCESSES));
    format!(
        "[containers]\n\
         default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
         [engine]\n\
         cgroup_manager = \"cgroupfs\"\n\
         events_logger = \"file\"\n\
         runtime = \"crun\"\n\
         [network]\n\
         network_config_dir = \"{}\"\n",
        state.join("networks").display()
    )
}

fn podman(config: &Path) -> Command {
    let mut command = Command::new("podman");
    command
        .env("CONTAINERS_CONF", config)
        .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
    command.stdin(Stdio::null());
    command
}

fn load_image(config: &Path, archive: &Path) -> anyhow::Result<()> {
    let exists = podman(config)
        .args(["image", "exists", IMAGE])
        .status()
        .context("start podman")?;
    if exists.success() {
        return Ok(());
    }
    let output = podman(config)
        .args(["load", "--quiet", "--input"])
        .arg(archive)
        .output();
    let output = output.context("start podman")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "load the image: {complaint}");
    Ok(())
}

impl Contestant for Podman {
    /// One request for the pod, one for each container, one to start them.
    fn launch(&self, pod: &Pod) -> anyhow::Result<()> {
        let name = &pod.name;
        let body = json!({"name": name, "netns": {"nsmode": "host"}, "cgroup_parent": self.cgroup});
        self.request("POST", "/pods/create", Some(&body))?;
        for number in 1..=CONTAINERS {
            let body = json!({
                "name": format!("{name}-c{number}"),
                "image": IMAGE,
                "pod": name,
                "command": pod.argv(number),
                "restart_policy": "always",
                "mounts": [{"destination": "/bench", "type": "bind", "source": pod.volume, "options": ["rbind"]}],
            });
            self.request("POST", "/containers/create", Some(&body))?;
        }
        self.request("POST", &format!("/pods/{name}/start"), None)
    }

    fn remove(&self, pod: &Pod) -> anyhow::Result<()> {
        self.request(
            "DELETE",
            &format!("/pods/{}?force=true&timeout=5", pod.name),
            None,
        )
    }

    fn settle(&self, _: &Pod) -> anyhow::Result<()> {
        Ok(())
    }

    fn list(&self) -> anyhow::Result<()> {
        self.request("GET", "/pods/json", None)
    }

    fn status(&self, pod: &Pod) -> anyhow::Result<()> {
        self.request("GET", &format!("/pods/{}/json", pod.name), None)
    }

    fn replacement(&self) -> Replacement {
        Replacement::Container
    }

    fn log(&self) -> Option<&Path> {
        Some(&self.log)
    }

    fn service(&self) -> Option<i32> {
        i32::try_from(self.service.id()).ok()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        stop(&mut self.service);
    }
}
