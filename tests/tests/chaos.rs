//! The daemon is killed at random moments of a random workload, again and again. Whatever it acknowledged must
//! hold, nothing that runs may notice, and nothing may be left over.
//!
//! `MONOPOD_CHAOS_ROUNDS` is how often it is killed (20), `MONOPOD_CHAOS_SEED` repeats a run's decisions; what the
//! kernel makes of them varies.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use e2e::{
    host::{Host, SOON, is_settled},
    kernel::Process,
    needs_root, pods, wait_for,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Pods of the workload.
const IDS: [&str; 4] = ["/chaos/a", "/chaos/b", "/chaos/c", "/d"];
/// A pod that nobody touches.
const BYSTANDER: &str = "/bystander";
/// The daemon is killed so many milliseconds after its start at the latest.
const LONGEST_LIFE_MS: u64 = 700;

/// Numbers that look random (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn seed() -> Random {
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let seed = setting(
        "MONOPOD_CHAOS_SEED",
        u64::from(time.subsec_nanos()) + time.as_secs(),
    );
    eprintln!("MONOPOD_CHAOS_SEED={seed}");
    Random(seed.max(1))
}

/// What was asked of a pod, as far as it can be told apart: `None` for no pod.
type Wish = Option<(u64, String)>;

struct Chaos {
    host: Host,
    random: Random,
    /// What each pod may be: one wish, or two where the answer to the last request was lost.
    wishes: BTreeMap<&'static str, Vec<Wish>>,
    requests: u32,
}

impl Chaos {
    fn new() -> Self {
        let host = Host::start();
        host.import_probe();
        fs::create_dir(host.directory().join("witness")).unwrap();
        let wishes = IDS.iter().map(|id| (*id, vec![None])).collect();
        Self {
            host,
            random: seed(),
            wishes,
            requests: 0,
        }
    }

    /// Two containers that note their starts in a file of the host.
    fn definition(&self, id: &str, instances: u64, marker: &str) -> Value {
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

    /// Asks for one random change; `false` once the daemon is gone.
    fn step(&mut self) -> bool {
        let id = self.random.pick(&IDS);
        let wish = self.wishes[id][0].clone();
        match (wish, self.random.below(10)) {
            (None, _) => self.put(id, "POST", None),
            (Some(_), 0 | 1) => self.delete(id),
            (Some((instances, _)), 2 | 3) => self.put(id, "PUT", Some(instances)),
            (Some((_, marker)), 4 | 5) => self.scale(id, &marker),
            (Some(_), 6 | 7) => self.kill_by_request(id),
            (Some(_), _) => self.kill_a_process(),
        }
    }

    fn put(&mut self, id: &'static str, method: &str, instances: Option<u64>) -> bool {
        let instances = instances.unwrap_or_else(|| 1 + self.random.below(2));
        let marker = self.random.below(1_000_000).to_string();
        self.change(id, method, instances, marker)
    }

    fn scale(&mut self, id: &'static str, marker: &str) -> bool {
        let instances = self.random.below(4);
        self.change(id, "PUT", instances, marker.to_owned())
    }

    fn change(&mut self, id: &'static str, method: &str, instances: u64, marker: String) -> bool {
        let body = self.definition(id, instances, &marker);
        let path = match method {
            "POST" => "/v2/pods?force=true".to_owned(),
            _ => format!("/v2/pods{id}?force=true"),
        };
        self.ask(id, method, &path, Some(&body), Some((instances, marker)))
    }

    fn delete(&mut self, id: &'static str) -> bool {
        self.ask(
            id,
            "DELETE",
            &format!("/v2/pods{id}?force=true"),
            None,
            None,
        )
    }

    fn kill_by_request(&mut self, id: &'static str) -> bool {
        let Ok(status) = self
            .host
            .try_request("GET", &format!("/v2/pods{id}::status"), None)
        else {
            return false;
        };
        let instance = status.json()["instances"][0]["id"].clone();
        let wish = self.wishes[id][0].clone();
        let path = format!("/v2/pods{id}::instances");
        instance.is_null() || self.ask(id, "DELETE", &path, Some(&json!([instance])), wish)
    }

    /// Kills a container or an executor behind the daemon's back.
    fn kill_a_process(&mut self) -> bool {
        let bystander = self.uuids(BYSTANDER);
        let mut processes: Vec<Process> = self.host.processes().into_iter().collect();
        processes.retain(|process| {
            process.cgroup.contains('/')
                && !bystander.iter().any(|uuid| process.run().starts_with(uuid))
        });
        if !processes.is_empty() && !bystander.is_empty() {
            let index = self.random.below(processes.len() as u64);
            processes[usize::try_from(index).unwrap()].kill();
        }
        true
    }

    /// Sends the request that makes `wish` true, and notes what that means.
    fn ask(
        &mut self,
        id: &'static str,
        method: &str,
        path: &str,
        body: Option<&Value>,
        wish: Wish,
    ) -> bool {
        self.requests += 1;
        match self.host.try_request(method, path, body) {
            // A pod being removed may still be in the way of one of its name: refused is unchanged.
            Ok(answer) if (400..500).contains(&answer.status) => true,
            Ok(answer) => {
                assert!(answer.status < 300, "{method} {path}: {answer:?}");
                self.wishes.insert(id, vec![wish]);
                true
            }
            Err(_) => {
                let before = self.wishes[id][0].clone();
                self.wishes.insert(id, vec![before, wish]);
                false
            }
        }
    }

    /// Works until the daemon is killed, at a random moment.
    fn work_until_killed(&mut self) {
        let pid = self.host.daemon_pid().and_then(Pid::from_raw).unwrap();
        let life = Duration::from_millis(self.random.below(LONGEST_LIFE_MS));
        let killer = std::thread::spawn(move || {
            std::thread::sleep(life);
            kill_process(pid, Signal::KILL).unwrap();
        });
        while self.step() && !killer.is_finished() {}
        killer.join().unwrap();
        self.host.kill_daemon();
    }

    /// Every acknowledged request holds.
    fn check_wishes(&mut self) {
        for id in IDS {
            let answer = self.host.request("GET", &format!("/v2/pods{id}"), None);
            let found: Wish = (answer.status == 200).then(|| {
                let pod = answer.json();
                let instances = pod["scaling"]["instances"].as_u64().unwrap();
                (
                    instances,
                    pod["environment"]["MARKER"].as_str().unwrap().to_owned(),
                )
            });
            let allowed = &self.wishes[id];
            assert!(
                allowed.contains(&found),
                "{id} is {found:?}, asked was {allowed:?}"
            );
            self.wishes.insert(id, vec![found]);
        }
    }

    /// The uuids of a pod's instances.
    fn uuids(&self, id: &str) -> BTreeSet<String> {
        let answer = self
            .host
            .try_request("GET", &format!("/v2/pods{id}::status"), None);
        let status = answer.map(|answer| answer.json()).unwrap_or_default();
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        let uuid = |instance: &Value| {
            Some(
                instance["id"]
                    .as_str()?
                    .rsplit_once(".instance-")?
                    .1
                    .to_owned(),
            )
        };
        instances.iter().filter_map(uuid).collect()
    }

    fn bystander_processes(&self) -> BTreeSet<Process> {
        let uuids = self.uuids(BYSTANDER);
        assert_eq!(uuids.len(), 1);
        let mut processes = self.host.processes();
        processes.retain(|process| uuids.iter().any(|uuid| process.run().starts_with(uuid)));
        processes
    }

    /// The state is what was asked, and there is nothing beside it.
    fn check_settled(&self) {
        let mut known = self.uuids(BYSTANDER);
        let mut wanted = 1;
        for id in IDS {
            match &self.wishes[id][0] {
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
        let what = "nothing is left over of what is not wanted";
        wait_for(what, SOON, || {
            let left = self.host.leftovers(&known);
            let executors = self.host.executors().len() as u64;
            (left.is_empty() && executors == wanted).then_some(())
        });
        self.check_one_executor_a_run();
    }

    fn wait_until_settled(&self, id: &str) {
        wait_for(&format!("{id} is as asked"), SOON, || {
            let settled = is_settled(&self.host.status(id)) && self.host.deployments().is_empty();
            settled.then_some(())
        });
    }

    fn check_one_executor_a_run(&self) {
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

#[test]
fn what_was_acknowledged_holds_however_the_daemon_dies() {
    needs_root!();
    let mut chaos = Chaos::new();
    chaos
        .host
        .launch(&pods::pod(BYSTANDER, &[pods::probe_container("c", "hold")]));
    let bystander = chaos.bystander_processes();
    assert!(bystander.len() >= 2, "{bystander:?}");
    let rounds = setting("MONOPOD_CHAOS_ROUNDS", 20);
    for round in 1..=rounds {
        chaos.work_until_killed();
        chaos.host.start_daemon();
        chaos.check_wishes();
        assert_eq!(
            chaos.bystander_processes(),
            bystander,
            "round {round}: a running container was touched"
        );
        chaos.check_one_executor_a_run();
        if round % 5 == 0 || round == rounds {
            chaos.check_settled();
        }
    }
    eprintln!("{rounds} rounds, {} requests", chaos.requests);
    for id in IDS.into_iter().chain([BYSTANDER]) {
        chaos
            .host
            .request("DELETE", &format!("/v2/pods{id}?force=true"), None);
    }
    chaos.host.wait_until_clean();
    let info = chaos.host.request("GET", "/v2/info", None).json();
    let (total, free) = (&info["monopod"]["total"], &info["monopod"]["free"]);
    assert!(
        total["ports"]
            .as_str()
            .is_some_and(|ports| ports.starts_with("[31000")),
        "{info}"
    );
    assert_eq!(
        free, total,
        "everything that was held is free again, ports too"
    );
}

#[test]
fn a_daemon_killed_between_spawning_and_hearing_launches_no_second_executor() {
    needs_root!();
    let mut chaos = Chaos::new();
    for round in 0..setting("MONOPOD_CHAOS_ROUNDS", 20) {
        let id = IDS[0];
        chaos.host.add(&chaos.definition(id, 1, &round.to_string()));
        let delay = Duration::from_micros(chaos.random.below(30_000));
        // From before the executor exists until after it has been heard.
        if round % 3 != 0 {
            wait_for("an executor", SOON, || {
                (!chaos.host.executors().is_empty()).then_some(())
            });
        }
        std::thread::sleep(delay);
        chaos.host.kill_daemon();
        chaos.host.start_daemon();
        chaos.wait_until_settled(id);
        chaos.check_one_executor_a_run();
        assert_eq!(chaos.host.executors().len(), 1, "round {round}");
        chaos.host.remove(id);
    }
    chaos.host.wait_until_clean();
}
