//! What is read when somebody scrapes: the snapshot, containers' cgroups, the database's size.

use std::{collections::BTreeMap, fmt, sync::Arc};

use agent::accounting::Accounting;
use model::{
    id::RunId,
    offer::Claim,
    state::{InstanceStatus, TaskState},
};
use prometheus_client::registry::Registry;
use runtime::cgroup::Usage;
use scheduler::{InstanceView, WaitReason, status};

use super::{
    Format, Metrics, process,
    reading::{Label, Reading, Readings, float, size},
};
use crate::{
    conditions::{Degraded, Kind},
    snapshot::Snapshot,
    start::Start,
};

/// Where a scrape takes what is not counted beforehand.
pub(crate) struct Scrape {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) conditions: Vec<Degraded>,
    pub(crate) database_bytes: Option<u64>,
    pub(crate) start: Start,
    /// What a container of a run uses. Reads files: to be called where blocking is allowed.
    pub(crate) usage: UsageReader,
}

/// Says what a container of a run uses; `None` if it has no cgroup any more.
pub(crate) type UsageReader = Box<dyn Fn(RunId, &str) -> Option<Usage> + Send>;

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Everything, as text. Blocks.
    ///
    /// # Errors
    /// The metrics library's; writing to memory does not fail.
    pub(crate) fn expose(&self, scrape: &Scrape, format: Format) -> Result<String, fmt::Error> {
        let mut read = Registry::default();
        read.register_collector(Box::new(Readings(scrape.readings())));
        format.write(&[&self.registry, &read])
    }
}

impl Scrape {
    fn readings(&self) -> Vec<Reading> {
        let mut readings = vec![
            Reading::gauge("monopod_build_info", "The daemon's version; always 1.").by_labels(&[
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("revision", crate::REVISION.unwrap_or_default().to_owned()),
                ("protocol", runtime::launch::PROTOCOL_VERSION.to_string()),
            ]),
        ];
        readings.extend(self.work());
        readings.extend(resources(&self.snapshot.accounting));
        readings.extend(self.daemon());
        readings.extend(self.containers());
        readings.extend(process::readings());
        readings
    }

    /// Pods and what becomes of them.
    fn work(&self) -> [Reading; 5] {
        let instances = || self.snapshot.pods.values().flat_map(|pod| &pod.instances);
        let statuses = InstanceStatus::ALL.iter().map(|status| status.as_str());
        let states = TaskState::ALL.iter().map(|state| state.as_str());
        let tasks = instances().flat_map(|instance| &instance.tasks);
        let waiting = instances().filter_map(|instance| instance.waiting.as_ref());
        [
            Reading::gauge("monopod_pods", "Pods, those being removed included.")
                .is(size(self.snapshot.pods.len())),
            Reading::gauge("monopod_deployments", "Deployments under way.")
                .is(size(self.snapshot.deployments.len())),
            Reading::gauge("monopod_instances", "Instances of pods, by status.").by(
                "status",
                tally(
                    statuses,
                    instances().map(|instance| status::instance_kind(instance).as_str()),
                ),
            ),
            Reading::gauge(
                "monopod_containers",
                "Containers of the instances' latest runs, by task state.",
            )
            .by(
                "state",
                tally(states, tasks.map(|task| task.state.as_str())),
            ),
            Reading::gauge(
                "monopod_waiting_instances",
                "Instances that wait to be launched, by reason: the queue.",
            )
            .by(
                "reason",
                tally(WaitReason::KINDS, waiting.map(WaitReason::kind)),
            ),
        ]
    }

    /// The daemon itself.
    fn daemon(&self) -> [Reading; 4] {
        let mut database = Reading::gauge(
            "monopod_database",
            "Size of the database's file and its log.",
        )
        .bytes();
        database.push(&[], self.database_bytes.map(float));
        let present = |kind: &Kind| {
            let present = self.conditions.iter().any(|found| found.kind == *kind);
            (kind.as_str(), f64::from(u8::from(present)))
        };
        let start = &self.start;
        [
            database,
            Reading::gauge(
                "monopod_degraded",
                "Whether something is wrong, by what; the info verb tells the particulars.",
            )
            .by("condition", Kind::ALL.iter().map(present)),
            Reading::gauge(
                "monopod_recovery_duration",
                "Time from the daemon's start until it was ready, recovery included.",
            )
            .seconds()
            .is(start.duration.as_secs_f64()),
            Reading::gauge(
                "monopod_recovered_runs",
                "Open runs of the database at the daemon's start, by what had become of them.",
            )
            .by(
                "found",
                [("alive", size(start.alive)), ("over", size(start.over))],
            ),
        ]
    }

    /// What each container with a cgroup uses.
    fn containers(&self) -> Vec<Reading> {
        let mut readings: Vec<_> = CONTAINER.iter().map(|(make, _)| make()).collect();
        let instances = self.snapshot.pods.iter().flat_map(|(pod, view)| {
            let open = view.instances.iter().filter(|view| view.record.run_open);
            open.map(move |instance| (pod, instance))
        });
        for (pod, instance) in instances {
            for (container, usage) in self.usages(instance) {
                let labels: [Label; 3] = [
                    ("pod", pod.to_string()),
                    ("instance", instance.record.id.to_string()),
                    ("container", container.to_owned()),
                ];
                for (reading, (_, value)) in readings.iter_mut().zip(&CONTAINER) {
                    reading.push(&labels, value(&usage));
                }
            }
        }
        readings
    }

    fn usages<'a>(
        &'a self,
        instance: &'a InstanceView,
    ) -> impl Iterator<Item = (&'a str, Usage)> + 'a {
        let run = RunId {
            instance: instance.record.id.uuid,
            incarnation: instance.record.incarnation,
        };
        let running = instance
            .tasks
            .iter()
            .filter(|task| !task.state.is_terminal());
        running.filter_map(move |task| {
            let usage = (self.usage)(run, &task.container)?;
            Some((task.container.as_str(), usage))
        })
    }
}

/// A metric of containers, and where its value is.
type ContainerMetric = (fn() -> Reading, fn(&Usage) -> Option<f64>);

const CONTAINER: [ContainerMetric; 9] = [
    (
        || {
            Reading::counter(
                "monopod_container_cpu",
                "Cpu time that the container spent.",
            )
            .seconds()
        },
        |usage| usage.cpu_usec.map(micros),
    ),
    (
        || {
            Reading::counter(
                "monopod_container_cpu_throttled",
                "Time for which its quota held the container back.",
            )
            .seconds()
        },
        |usage| usage.throttled_usec.map(micros),
    ),
    (
        || {
            Reading::gauge(
                "monopod_container_memory",
                "Memory charged to the container, page cache included.",
            )
            .bytes()
        },
        |usage| usage.memory_bytes.map(float),
    ),
    (
        || {
            Reading::gauge(
                "monopod_container_memory_peak",
                "The most memory that was ever charged to the container.",
            )
            .bytes()
        },
        |usage| usage.memory_peak_bytes.map(float),
    ),
    (
        || {
            Reading::gauge(
                "monopod_container_memory_limit",
                "Memory that may be charged to the container; absent without a limit.",
            )
            .bytes()
        },
        |usage| usage.memory_limit_bytes.map(float),
    ),
    (
        || {
            Reading::counter(
                "monopod_container_oom_kills",
                "Processes of the container that were killed for lack of memory.",
            )
        },
        |usage| usage.oom_kills.map(float),
    ),
    (
        || {
            Reading::counter(
                "monopod_container_throttled_periods",
                "Quota periods in which the container was held back.",
            )
        },
        |usage| usage.throttled_periods.map(float),
    ),
    (
        || {
            Reading::gauge(
                "monopod_container_pids",
                "Processes and threads of the container.",
            )
        },
        |usage| usage.pids.map(float),
    ),
    (
        || {
            Reading::gauge(
                "monopod_container_pids_limit",
                "Processes and threads that the container may have.",
            )
        },
        |usage| usage.pids_limit.map(float),
    ),
];

/// What the agent has, by who holds it.
fn resources(books: &Accounting) -> [Reading; 5] {
    let holders = [
        ("total", &books.total),
        ("used", &books.used),
        ("free", &books.free),
        ("over_committed", &books.over_committed),
    ];
    let by = |reading: Reading, value: fn(&Claim) -> f64| {
        reading.by(
            "holder",
            holders.map(|(holder, claim)| (holder, value(claim))),
        )
    };
    [
        by(
            Reading::gauge("monopod_agent_cpus", "Cpus of the agent, by holder."),
            |claim| float(claim.resources.cpus_milli) / 1000.0,
        ),
        by(
            Reading::gauge("monopod_agent_memory", "Memory of the agent, by holder.").bytes(),
            |claim| float(claim.resources.mem_bytes),
        ),
        by(
            Reading::gauge("monopod_agent_disk", "Disk of the agent, by holder.").bytes(),
            |claim| float(claim.resources.disk_bytes),
        ),
        by(
            Reading::gauge("monopod_agent_gpus", "Gpus of the agent, by holder."),
            |claim| float(claim.resources.gpus),
        ),
        by(
            Reading::gauge("monopod_agent_ports", "Host ports of the agent, by holder."),
            |claim| claim.ports.iter().count() as f64,
        ),
    ]
}

fn micros(value: u64) -> f64 {
    float(value) / 1e6
}

/// How often each of `all` was found; those never found are 0, not absent.
fn tally<'a>(
    all: impl IntoIterator<Item = &'static str>,
    found: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, f64> {
    let mut counts: BTreeMap<&str, f64> = all.into_iter().map(|name| (name, 0.0)).collect();
    for name in found {
        *counts.entry(name).or_default() += 1.0;
    }
    counts
}

#[cfg(test)]
mod tests;
