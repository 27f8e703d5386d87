//! What must be true after each round.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    time::{Duration, Instant},
};

use e2e::{
    host::{SOON, is_settled},
    kernel::Process,
    wait_for,
};
use serde_json::Value;

use crate::workload::{BYSTANDER, Chaos, IDS, Wish};

/// What is wrong with this host whatever the weather.
const NOT_OURS: [&str; 2] = ["state_disk_low", "run_disk_low"];

impl Chaos {
    /// What must be true at once.
    pub(crate) fn check(&mut self, round: u64) {
        self.check_conditions();
        self.check_wishes();
        assert_eq!(
            self.bystander_processes(),
            self.bystander,
            "round {round}: a running container was touched"
        );
        self.check_one_executor_a_run();
        self.check_log();
    }

    /// What was wrong is over, without help.
    fn check_conditions(&self) {
        let mut last = Value::Null;
        wait_for("conditions to be over", SOON, || {
            let info = self
                .host
                .try_request("GET", "/v2/info?monopod=true", None)
                .ok()?
                .json();
            let conditions = info["monopod"]["conditions"].as_array()?.clone();
            let ours = |condition: &&Value| {
                let kind = condition["kind"].as_str().unwrap_or_default();
                !NOT_OURS.contains(&kind)
            };
            let first = conditions.iter().find(ours);
            if let Some(first) = first.filter(|first| **first != last) {
                last = first.clone();
                eprintln!("  {last}");
            }
            first.is_none().then_some(())
        });
    }

    /// Every acknowledged request holds, and none that was refused.
    fn check_wishes(&mut self) {
        for id in IDS {
            let answer = self.host.request("GET", &format!("/v2/pods{id}"), None);
            let found: Wish = (answer.status == 200).then(|| {
                let pod = answer.json();
                let instances = pod["scaling"]["instances"].as_u64().unwrap();
                let marker = pod["environment"]["MARKER"].as_str().unwrap();
                (instances, marker.to_owned())
            });
            let allowed = &self.wishes[id];
            assert!(
                allowed.contains(&found),
                "{id} is {found:?}, asked was {allowed:?}"
            );
            self.wishes.insert(id, BTreeSet::from([found]));
        }
    }

    fn check_log(&mut self) {
        let mut log = File::open(self.host.directory().join("daemon.log")).unwrap();
        log.seek(SeekFrom::Start(self.log_seen)).unwrap();
        let mut text = Vec::new();
        self.log_seen += log.read_to_end(&mut text).unwrap() as u64;
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("panicked at"), "{text}");
    }

    /// The uuids of a pod's instances.
    fn uuids(&self, id: &str) -> BTreeSet<String> {
        let path = format!("/v2/pods{id}::status");
        let answer = self.host.try_request("GET", &path, None);
        let status = answer.map(|answer| answer.json()).unwrap_or_default();
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        let uuid = |instance: &Value| {
            let (_, uuid) = instance["id"].as_str()?.rsplit_once(".instance-")?;
            Some(uuid.to_owned())
        };
        instances.iter().filter_map(uuid).collect()
    }

    /// Takes note of the pod that nobody touches.
    pub(crate) fn note_bystander(&mut self) {
        self.bystander = self.bystander_processes();
        assert!(self.bystander.len() >= 2, "{:?}", self.bystander);
    }

    fn bystander_processes(&self) -> BTreeSet<Process> {
        let uuids = self.uuids(BYSTANDER);
        assert_eq!(uuids.len(), 1);
        let mut processes = self.host.processes();
        processes.retain(|process| uuids.iter().any(|uuid| process.run().starts_with(uuid)));
        processes
    }

    /// The state is what was asked, and there is nothing beside it.
    pub(crate) fn check_settled(&self) {
        let mut known = self.uuids(BYSTANDER);
        let mut wanted = 1;
        for id in IDS {
            match self.wishes[id].first().cloned().flatten() {
                None => wait_for(&format!("{id} is gone"), SOON, || {
                    self.host.status(id).is_null().then_some(())
                }),
                Some((instances, _)) => {
                    self.wait_until_settled(id);
                    wanted += instances;
                    known.extend(self.uuids(id));
                }
            }
        }
        assert_eq!(known.len() as u64, wanted);
        self.wait_for_nothing_else(wanted);
        self.check_one_executor_a_run();
    }

    /// Beside the runs that go on nothing is left, of earlier runs of the same instances neither.
    fn wait_for_nothing_else(&self, wanted: u64) {
        let deadline = Instant::now() + SOON;
        loop {
            let executors = self.host.executors();
            let runs = executors.iter().map(|one| one.run().to_owned()).collect();
            let left = self.host.leftovers(&runs);
            if left.is_empty() && executors.len() as u64 == wanted {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{wanted} runs are wanted, there are {runs:?}; left over: {left:#?}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn wait_until_settled(&self, id: &str) {
        wait_for(&format!("{id} is as asked"), SOON, || {
            let settled = is_settled(&self.host.status(id)) && self.host.deployments().is_empty();
            settled.then_some(())
        });
    }

    pub(crate) fn check_one_executor_a_run(&self) {
        let executors = self.host.executors();
        let runs: BTreeSet<_> = executors.iter().map(Process::run).collect();
        assert_eq!(
            runs.len(),
            executors.len(),
            "two executors for one run: {executors:?}"
        );
        let starts =
            fs::read_to_string(self.host.directory().join("witness/starts")).unwrap_or_default();
        let tasks: Vec<_> = starts
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        let distinct: BTreeSet<_> = tasks.iter().collect();
        assert_eq!(
            distinct.len(),
            tasks.len(),
            "a task was started twice:\n{starts}"
        );
    }
}
