//! Random requests, and what each of them may have made of a pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use e2e::{host::Host, kernel::Process, pods, random::Random, weather::Weather};
use serde_json::{Value, json};

/// Pods of the workload.
pub(crate) const IDS: [&str; 4] = ["/chaos/a", "/chaos/b", "/chaos/c", "/d"];

/// A pod that nobody touches.
pub(crate) const BYSTANDER: &str = "/bystander";

/// What could not be removed is tried again with the next look at the disk.
const CONFIG: &str = "[collection]\ndisk_watch_interval_seconds = 1\n";

const FLAGS: [&str; 2] = ["--resources", "cpus:64;mem:65536;disk:65536"];

/// What was asked of a pod, as far as it can be told apart: `None` for no pod.
pub(crate) type Wish = Option<(u64, String)>;

pub(crate) struct Chaos {
    pub(crate) host: Host,
    pub(crate) weather: Weather,
    pub(crate) random: Random,
    /// What each pod may be: one wish, or more where requests were answered by a failure or not at all.
    pub(crate) wishes: BTreeMap<&'static str, BTreeSet<Wish>>,
    pub(crate) bystander: BTreeSet<Process>,
    pub(crate) requests: u32,
    /// How many rounds had which weather.
    pub(crate) tally: BTreeMap<&'static str, u32>,
    /// So much of the log was read.
    pub(crate) log_seen: u64,
}

impl Chaos {
    pub(crate) fn new() -> Self {
        let mut host = Host::prepare(CONFIG, &FLAGS);
        let weather = Weather::new(host.directory());
        weather.clear();
        for (name, value) in weather.environment() {
            host.set_environment(name, value);
        }
        host.start_daemon();
        host.import_probe();
        fs::create_dir(host.directory().join("witness")).unwrap();
        let wish = BTreeSet::from([None]);
        Self {
            host,
            weather,
            random: Random::from_environment("MONOPOD_CHAOS_SEED"),
            wishes: IDS.into_iter().map(|id| (id, wish.clone())).collect(),
            bystander: BTreeSet::new(),
            requests: 0,
            tally: BTreeMap::new(),
            log_seen: 0,
        }
    }

    /// Two containers that note their starts in a file of the host.
    pub(crate) fn definition(&self, id: &str, instances: u64, marker: &str) -> Value {
        let containers = ["x", "y"].map(|name| {
            let mut container = pods::probe_container(name, "append /w/starts , hold");
            container["volumeMounts"] = json!([{"name": "w", "mountPath": "/w"}]);
            container["endpoints"] = json!([{"name": format!("{name}-port"), "hostPort": 0}]);
            container
        });
        let mut pod = pods::pod(id, &containers);
        pod["volumes"] = json!([{"name": "w", "host": self.host.directory().join("witness")}]);
        pod["environment"] = json!({"MARKER": marker});
        pod["scaling"]["instances"] = json!(instances);
        pod
    }

    /// Asks for one random change.
    pub(crate) fn step(&mut self) {
        let id = self.random.pick(&IDS);
        let wish = self.wishes[id].first().cloned().flatten();
        match (wish, self.random.below(10)) {
            (None, _) => self.put(id, "POST", None),
            (Some(_), 0 | 1) => self.delete(id),
            (Some((instances, _)), 2 | 3) => self.put(id, "PUT", Some(instances)),
            (Some((_, marker)), 4 | 5) => self.scale(id, marker),
            (Some(_), 6 | 7) => self.kill_by_request(id),
            (Some(_), _) => self.kill_a_process(),
        }
    }

    fn put(&mut self, id: &'static str, method: &str, instances: Option<u64>) {
        let instances = instances.unwrap_or_else(|| 1 + self.random.below(2));
        let marker = self.random.below(1_000_000).to_string();
        self.change(id, method, instances, marker);
    }

    fn scale(&mut self, id: &'static str, marker: String) {
        let instances = self.random.below(4);
        self.change(id, "PUT", instances, marker);
    }

    fn change(&mut self, id: &'static str, method: &str, instances: u64, marker: String) {
        let body = self.definition(id, instances, &marker);
        let path = match method {
            "POST" => "/v2/pods?force=true".to_owned(),
            _ => format!("/v2/pods{id}?force=true"),
        };
        self.ask(
            method,
            &path,
            Some(&body),
            Some((id, Some((instances, marker)))),
        );
    }

    fn delete(&mut self, id: &'static str) {
        let path = format!("/v2/pods{id}?force=true");
        self.ask("DELETE", &path, None, Some((id, None)));
    }

    fn kill_by_request(&mut self, id: &'static str) {
        let path = format!("/v2/pods{id}::status");
        let Ok(status) = self.host.try_request("GET", &path, None) else {
            return;
        };
        let instance = status.json()["instances"][0]["id"].clone();
        if !instance.is_null() {
            let path = format!("/v2/pods{id}::instances");
            self.ask("DELETE", &path, Some(&json!([instance])), None);
        }
    }

    /// Kills a container or an executor behind the daemon's back.
    fn kill_a_process(&mut self) {
        let mut processes: Vec<Process> = self.host.processes().into_iter().collect();
        processes.retain(|process| process.cgroup.contains('/') && !self.is_bystander(process));
        if !processes.is_empty() {
            let index = self.random.below(processes.len() as u64);
            processes[usize::try_from(index).unwrap()].kill();
        }
    }

    /// Sends a request that makes a wish true, if it does, and notes what the answer means. A failure or no answer may
    /// have changed something, a refusal may not.
    fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        change: Option<(&'static str, Wish)>,
    ) {
        self.requests += 1;
        let answer = self.host.try_request(method, path, body);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let expected = matches!(status, 0 | 200..300 | 400..500 | 503);
        assert!(expected, "{method} {path}: {answer:?}");
        let Some((id, wish)) = change else {
            return;
        };
        let wishes = self.wishes.get_mut(id).unwrap();
        match status {
            200..300 => *wishes = BTreeSet::from([wish]),
            // Where it is not known what is there, a new marker says that it holds; see the checks.
            400..500 => {}
            _ => {
                wishes.insert(wish);
            }
        }
    }

    fn is_bystander(&self, process: &Process) -> bool {
        let run = self.bystander.first().map(Process::run);
        run == Some(process.run())
    }
}
