//! This project's daemon, over its Unix socket.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use e2e::http::{self, Answer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    clock,
    contestant::{Contestant, Kind, Replacement},
    place::Place,
    workload::{self, CONTAINERS, IMAGE, Pod},
};

/// Much more than any number of pods asks for: what is measured is not whether they fit.
const RESOURCES: &str = "cpus:1000;mem:1000000;disk:1000000";

/// How long the daemon may take to answer or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The daemon, running.
#[derive(Debug)]
pub(crate) struct Monopod {
    /// How it is started.
    command: Command,
    daemon: Child,
    socket: PathBuf,
    log: PathBuf,
}

/// The program beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let program = own.with_file_name("monopod");
    anyhow::ensure!(program.exists(), "find {}", program.display());
    Ok(program)
}

impl Monopod {
    /// Starts the daemon; gives how long it took to answer.
    pub(crate) fn start(place: &Place) -> anyhow::Result<(Self, Duration)> {
        let state = place.directory(&place.state, "monopod")?;
        let run = place.directory(&place.run, "monopod")?;
        let log = state.join("daemon.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .context("open the log")?;
        let mut command = Command::new(program()?);
        command
            .arg("--run-dir")
            .arg(&run)
            .arg("daemon")
            .arg("--state-dir")
            .arg(state.join("state"));
        // Many pods are removed at once, each by a deployment of its own.
        let config = state.join("monopod.toml");
        std::fs::write(&config, "[marathon]\nmax_running_deployments = 10000\n")
            .context("write the daemon's configuration")?;
        command.arg("--config").arg(&config);
        command.args(["--listen", "127.0.0.1:0"]);
        command.env("NO_COLOR", "1");
        command.args(["--resources", RESOURCES, "--name-prefix", &place.name]);
        command.args(["--cgroup-parent", &place.cgroups.pods_of(Kind::Monopod)]);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("open the log")?)
            .stderr(output);
        let started = clock::monotonic();
        let daemon = command.spawn().context("start the daemon")?;
        let mut monopod = Self {
            command,
            daemon,
            socket: run.join("monopod.sock"),
            log,
        };
        monopod.wait_until_ready()?;
        let taken = clock::monotonic() - started;
        monopod.import(place)?;
        Ok((monopod, taken))
    }

    /// Ends the daemon by this signal and starts it again; gives how long it took to end, and from its start to its
    /// first answer.
    pub(crate) fn restart(&mut self, signal: Signal) -> anyhow::Result<(Duration, Duration)> {
        let pid = self.service().and_then(Pid::from_raw);
        let asked = clock::monotonic();
        kill_process(pid.context("find the daemon")?, signal).context("end the daemon")?;
        self.daemon.wait().context("see the daemon end")?;
        let started = clock::monotonic();
        self.daemon = self.command.spawn().context("start the daemon again")?;
        self.wait_until_ready()?;
        Ok((started - asked, clock::monotonic() - started))
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = clock::monotonic() + PATIENCE;
        // Not `/ping`, which is answered during recovery, too.
        while !http::request(&self.socket, "GET", "/v2/info", None)
            .is_ok_and(|answer| answer.status == 200)
        {
            let ended = self.daemon.try_wait().context("look at the daemon")?;
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            anyhow::ensure!(
                ended.is_none(),
                "keep the daemon running, it says:\n{}",
                log()
            );
            anyhow::ensure!(
                clock::monotonic() < deadline,
                "reach the daemon, it says:\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn import(&self, place: &Place) -> anyhow::Result<()> {
        let body = json!({"path": workload::archive(place), "name": IMAGE});
        self.request("POST", "/v2/images", Some(&body)).map(drop)
    }

    /// Sends a request that must be granted.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string);
        let answer = http::request(&self.socket, method, path, body.as_deref())
            .with_context(|| format!("reach the daemon for {method} {path}"))?;
        let fine = (200..300).contains(&answer.status);
        anyhow::ensure!(fine, "{method} {path}: {} {}", answer.status, answer.body);
        Ok(answer)
    }

    /// Waits until the deployment no longer runs: every answer but 200 says so.
    fn wait_for_deployment(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/v2/deployments/{id}?wait=30");
        let deadline = clock::monotonic() + PATIENCE;
        while http::request(&self.socket, "GET", &path, None)
            .context("reach the daemon")?
            .status
            == 200
        {
            anyhow::ensure!(clock::monotonic() < deadline, "see the deployment {id} end");
        }
        Ok(())
    }

    fn is_stable(&self, pod: &Pod) -> anyhow::Result<bool> {
        let answer = self.request("GET", &format!("/v2/pods/{}::status", pod.name), None)?;
        Ok(answer.json()["status"] == "STABLE")
    }
}

/// The containers share network (the host's), IPC, UTS and one volume. A killed pod comes back at once.
pub(crate) fn definition(pod: &Pod, containers: usize) -> Value {
    let container = |number: usize| {
        json!({
            "name": format!("c{number}"),
            "image": {"kind": "DOCKER", "id": IMAGE},
            "exec": {"command": {"argv": pod.argv(number)}, "overrideEntrypoint": true},
            "resources": {"cpus": 0.01, "mem": 32},
            "volumeMounts": [{"name": "bench", "mountPath": "/bench"}],
        })
    };
    json!({
        "id": format!("/{}", pod.name),
        "containers": (1..=containers).map(container).collect::<Vec<_>>(),
        "volumes": [{"name": "bench", "host": pod.volume}],
        "networks": [{"mode": "host"}],
        "scheduling": {"backoff": {"backoff": 0, "backoffFactor": 1, "maxLaunchDelay": 0}},
    })
}

impl Contestant for Monopod {
    fn launch(&self, pod: &Pod) -> anyhow::Result<()> {
        self.request("POST", "/v2/pods", Some(&definition(pod, CONTAINERS)))
            .map(drop)
    }

    /// Asks, then waits for the deployment as `monopod pod remove --wait` does.
    fn remove(&self, pod: &Pod) -> anyhow::Result<()> {
        let answer = self.request("DELETE", &format!("/v2/pods/{}?force=true", pod.name), None)?;
        self.wait_for_deployment(answer.deployment().context("find the deployment's id")?)
    }

    fn settle(&self, pod: &Pod) -> anyhow::Result<()> {
        let deadline = clock::monotonic() + PATIENCE;
        loop {
            let deployments = self.request("GET", "/v2/deployments", None)?.json();
            if deployments == json!([]) && self.is_stable(pod)? {
                return Ok(());
            }
            anyhow::ensure!(clock::monotonic() < deadline, "see {} settle", pod.name);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn list(&self) -> anyhow::Result<()> {
        self.request("GET", "/v2/pods", None).map(drop)
    }

    fn status(&self, pod: &Pod) -> anyhow::Result<()> {
        self.request("GET", &format!("/v2/pods/{}::status", pod.name), None)
            .map(drop)
    }

    fn replacement(&self) -> Replacement {
        Replacement::Pod
    }

    fn log(&self) -> Option<&Path> {
        Some(&self.log)
    }

    fn service(&self) -> Option<i32> {
        i32::try_from(self.daemon.id()).ok()
    }
}

impl Drop for Monopod {
    fn drop(&mut self) {
        stop(&mut self.daemon);
    }
}

/// Asks a service to stop; what is left after a while is killed with its cgroup.
pub(crate) fn stop(service: &mut Child) {
    if let Some(pid) = i32::try_from(service.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = clock::monotonic() + PATIENCE;
    while clock::monotonic() < deadline && matches!(service.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = service.kill();
    let _ = service.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_one_that_marathon_would_take() {
        let pod = Pod {
            name: "mpb1-s0".to_owned(),
            volume: "/var/tmp/v".into(),
        };
        let definition = definition(&pod, CONTAINERS);
        assert_eq!(
            definition["containers"].as_array().map(Vec::len),
            Some(CONTAINERS)
        );
        assert_eq!(
            definition["containers"][2]["exec"]["command"]["argv"][2],
            "/bench/mpb1-s0.c3"
        );
        assert_eq!(definition["volumes"][0]["host"], "/var/tmp/v");
    }
}
