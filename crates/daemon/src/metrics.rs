//! What `/metrics` tells (`docs/metrics.md` lists it).
//!
//! Counters and histograms are kept here and cost an atomic addition each; everything else is read when somebody
//! scrapes: from the snapshot, from cgroup files, from `/proc`.

mod exposition;
mod process;
mod reading;
mod recorder;
mod runs;
mod scrape;

use std::{borrow::Cow, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Metric, Registry, Unit},
};
use store::Durability;

pub(crate) use self::{exposition::Format, recorder::Recorder, scrape::Scrape};

/// From 5 ms, since a launch takes some 20 ms, to a minute, since images are unpacked before.
const LAUNCH_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// For turns and commits: from a tenth of a millisecond to what a failing disk needs.
const TURN_SECONDS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0,
];

/// For requests; those that wait for a deployment take longer than any bucket.
const REQUEST_SECONDS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];

/// Up to as many messages as a turn takes at most.
const MESSAGES: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 128.0, 256.0];

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Counted = Family<Labels<1>, Counter>;
type Timed<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Everything that is counted while the daemon works.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    launches: Counter,
    launch_duration: Histogram,
    launch_failures: Counted,
    runs_ended: Counted,
    restarts: Counted,
    offers: Counted,
    turn_duration: Histogram,
    turn_messages: Histogram,
    commit_duration: Timed<1>,
    commit_failures: Counted,
    commit_records: Counter,
    requests: Family<Labels<3>, Counter>,
    request_duration: Timed<2>,
    /// Executors that are followed now.
    pub(crate) executors: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let mut into = Registering(&mut registry);
        let ends = |into: &mut Registering<'_>, name, help| {
            into.counted(name, help, "reason", runs::RUN_ENDS)
        };
        Self {
            launches: into.add("launches", "Runs launched"),
            launch_duration: into.timed(
                "launch_duration",
                "Time from the decision to launch a run until its instance is STABLE",
                Histogram::new(LAUNCH_SECONDS),
            ),
            launch_failures: ends(
                &mut into,
                "launch_failures",
                "Runs that ended, unasked and not by success, before their instance was STABLE, by reason",
            ),
            runs_ended: ends(&mut into, "runs_ended", "Runs that ended, by reason"),
            restarts: ends(
                &mut into,
                "restarts",
                "Runs launched in place of one that ended, by the reason of that end",
            ),
            offers: into.counted(
                "offers",
                "Offers that the agent made, by what the scheduler did with them",
                "answer",
                &["accepted", "declined"],
            ),
            turn_duration: into.timed(
                "turn_duration",
                "Time that a turn of the loop took, its commit included",
                Histogram::new(TURN_SECONDS),
            ),
            turn_messages: into.register(
                "turn_messages",
                "Requests and observations that a turn of the loop took up",
                Histogram::new(MESSAGES),
            ),
            commit_duration: into.timed(
                "commit_duration",
                "Time that a commit to the database took, by durability (full survives a power cut)",
                Timed::new_with_constructor(turn_histogram),
            ),
            commit_failures: into.counted(
                "commit_failures",
                "Turns that could not be stored and were discarded, by durability",
                "durability",
                &["full", "normal"],
            ),
            commit_records: into.add("commit_records", "Changes written to the database"),
            requests: into.add(
                "http_requests",
                "HTTP requests answered, by route, method and status",
            ),
            request_duration: into.timed(
                "http_request_duration",
                "Time until a request was answered, by route and method",
                Timed::new_with_constructor(request_histogram),
            ),
            executors: into.add("executors", "Executors alive"),
            registry,
        }
    }
}

fn turn_histogram() -> Histogram {
    Histogram::new(TURN_SECONDS)
}

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_SECONDS)
}

/// Registers metrics under monopod's name.
struct Registering<'a>(&'a mut Registry);

impl Registering<'_> {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.register(name, help, M::default())
    }

    fn register<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0
            .register(format!("monopod_{name}"), help, metric.clone());
        metric
    }

    fn timed<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        let name = format!("monopod_{name}");
        self.0
            .register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    /// Counters for every value of a label, all there from the start: what never happened is 0, not absent.
    fn counted(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[&'static str],
    ) -> Counted {
        let family = Counted::default();
        for value in values {
            let _ = family.get_or_create(&[(label, (*value).into())]);
        }
        self.register(name, help, family)
    }
}

impl Metrics {
    /// Counts an answered request. `route` and `method` come from small sets, whatever was asked for.
    pub(crate) fn answered(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        took: Duration,
    ) {
        let labels: Labels<2> = [("route", route.into()), ("method", method.into())];
        self.request_duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        let [route, method] = labels;
        let status = ("status", status.to_string().into());
        self.requests.get_or_create(&[route, method, status]).inc();
    }

    fn committed(&self, durability: Durability, records: usize, took: Duration) {
        self.commit_duration
            .get_or_create(&[("durability", durability_word(durability).into())])
            .observe(took.as_secs_f64());
        self.commit_records.inc_by(records as u64);
    }
}

fn count(family: &Counted, label: &'static str, value: &'static str) {
    family.get_or_create(&[(label, value.into())]).inc();
}

const fn durability_word(durability: Durability) -> &'static str {
    match durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    }
}
