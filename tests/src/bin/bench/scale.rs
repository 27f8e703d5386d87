//! Many pods at once, by monopod alone: what grows with their number, and what may not.

mod figures;

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::Value;

use self::figures::Measure;
pub(crate) use self::figures::Scale;
use crate::{
    clock::{self, milliseconds},
    contestant::{Contestant as _, Kind},
    monopod::{self, Monopod},
    options::Options,
    place::{Place, stop_if_ending},
    processes,
    round::{print_end, timed},
    workload::{Alive, Pod, Watch},
};

/// Containers of each pod.
const CONTAINERS: usize = 1;

/// At the beginning and at the end so many launches are looked at apart: a tenth of all, no more than this.
const APART: usize = 50;

/// What launches and restarts leave behind in the background ends within this time.
const CALM: Duration = Duration::from_secs(3);

/// How long idleness is looked at.
const IDLE: Duration = Duration::from_secs(10);

/// How often lists are read.
const READS: usize = 10;

/// How long all pods may take to be as they should.
const PATIENCE: Duration = Duration::from_secs(120);

/// Launches so many pods, looks, restarts the daemon by a request and by force, and removes them all at once.
pub(crate) fn measure(place: &'static Place, options: &Options) -> anyhow::Result<Scale> {
    std::thread::scope(|scope| {
        let room = scope.spawn(|| {
            place.cgroups.enter(Kind::Monopod)?;
            let (mut monopod, _) = Monopod::start(place)?;
            let log = monopod.log().map(std::path::Path::to_owned);
            let mut crowd = Crowd {
                place,
                monopod: &mut monopod,
                pods: Vec::new(),
                scale: Scale::new(options.scale),
            };
            crowd
                .go_through(options.scale)
                .with_context(|| format!("hold {} pods", options.scale))
                .inspect_err(|_| print_end(log.as_deref()))?;
            Ok(crowd.scale)
        });
        room.join().expect("a panic ends the process")
    })
}

struct Crowd<'a> {
    place: &'static Place,
    monopod: &'a mut Monopod,
    pods: Vec<Pod>,
    scale: Scale,
}

impl Crowd<'_> {
    fn go_through(&mut self, count: usize) -> anyhow::Result<()> {
        self.warm_up().context("warm up")?;
        self.launches(count).context("launch them")?;
        sleep(CALM);
        self.memory()?;
        self.reads().context("read lists")?;
        self.idleness()?;
        self.restart(Signal::TERM, Measure::RestartAsked)?;
        self.restart(Signal::KILL, Measure::RestartKilled)?;
        self.removal().context("remove them")
    }

    fn warm_up(&mut self) -> anyhow::Result<()> {
        let pod = Pod::new(self.place, "warm")?;
        self.launch(&pod)?;
        self.remove_all(&[pod])
    }

    /// One after another; the first and the last of them apart.
    fn launches(&mut self, count: usize) -> anyhow::Result<()> {
        let apart = (count / 10).clamp(1, APART);
        eprintln!("scale: launches {count} pods");
        let (took, spent) = self.launch_more(apart)?;
        self.scale.add(Measure::FirstLaunches, took);
        self.scale.add(Measure::FirstLaunchesCpu, spent);
        self.launch_more(count.saturating_sub(2 * apart))?;
        let (took_last, spent_last) = self.launch_more(apart)?;
        self.scale.add(Measure::LastLaunches, took_last);
        self.scale.add(Measure::LastLaunchesCpu, spent_last);
        self.scale.add(Measure::LaunchGrowth, spent_last / spent);
        Ok(())
    }

    /// Milliseconds and milliseconds of CPU for each.
    #[expect(clippy::cast_precision_loss, reason = "far fewer pods than 2^52")]
    fn launch_more(&mut self, count: usize) -> anyhow::Result<(f64, f64)> {
        let mut took = Duration::ZERO;
        let spent = self.spent_ms()?;
        for _ in 0..count {
            let pod = Pod::new(self.place, &format!("n{}", self.pods.len()))?;
            took += self.launch(&pod)?;
            self.pods.push(pod);
        }
        // Part of a launch happens after the payload runs.
        sleep(CALM);
        let (count, spent) = (count.max(1) as f64, self.spent_ms()? - spent);
        Ok((milliseconds(took) / count, spent / count))
    }

    fn launch(&self, pod: &Pod) -> anyhow::Result<Duration> {
        stop_if_ending();
        let watch = Watch::begin(pod)?;
        let definition = monopod::definition(pod, CONTAINERS);
        let asked = clock::monotonic();
        self.monopod
            .request("POST", "/v2/pods", Some(&definition))?;
        let containers: Vec<_> = (1..=CONTAINERS).collect();
        Ok(watch.wait(&containers, 1)?.saturating_sub(asked))
    }

    fn memory(&mut self) -> anyhow::Result<()> {
        let daemon = self.monopod.service().context("find the daemon")?;
        self.scale
            .add(Measure::Rss, processes::rss_kib(daemon)? / 1024.0);
        self.scale
            .add(Measure::Pss, processes::pss_kib(daemon)? / 1024.0);
        let payloads: BTreeSet<i32> = self.payloads().into_iter().collect();
        let standing = self.place.cgroups.processes(Kind::Monopod);
        for pid in standing {
            if pid != daemon && !payloads.contains(&pid) {
                self.scale
                    .add(Measure::ExecutorPss, processes::pss_kib(pid)?);
            }
        }
        Ok(())
    }

    fn reads(&mut self) -> anyhow::Result<()> {
        for _ in 0..READS {
            let list = timed(|| self.monopod.list())?;
            let statuses = timed(|| self.statuses().map(drop))?;
            self.scale.add(Measure::List, milliseconds(list));
            self.scale.add(Measure::Statuses, milliseconds(statuses));
        }
        Ok(())
    }

    fn statuses(&self) -> anyhow::Result<String> {
        let answer = self.monopod.request("GET", "/v2/pods/::status", None)?;
        Ok(answer.body)
    }

    fn idleness(&mut self) -> anyhow::Result<()> {
        sleep(CALM);
        let (began, spent) = (clock::monotonic(), self.spent_ms()?);
        sleep(IDLE);
        let (took, spent) = (clock::monotonic() - began, self.spent_ms()? - spent);
        let percent = 100.0 * spent.max(0.0) / milliseconds(took);
        self.scale.add(Measure::Idle, percent);
        Ok(())
    }

    /// No payload may notice.
    fn restart(&mut self, signal: Signal, measure: Measure) -> anyhow::Result<()> {
        eprintln!("scale: restarts the daemon by {signal:?}");
        let before: BTreeSet<i32> = self.payloads().into_iter().collect();
        let (ended, ready) = self.monopod.restart(signal)?;
        self.scale.add(measure, milliseconds(ready));
        if signal == Signal::TERM {
            self.scale.add(Measure::Stop, milliseconds(ended));
        }
        let began = clock::monotonic();
        while self.stable()? != self.pods.len() {
            let waited = clock::monotonic() - began;
            anyhow::ensure!(waited < PATIENCE, "see all pods stable after {signal:?}");
            sleep(Duration::from_millis(50));
        }
        sleep(CALM);
        let after: BTreeSet<i32> = self.payloads().into_iter().collect();
        anyhow::ensure!(before == after, "leave payloads alone: some are others");
        Ok(())
    }

    fn stable(&self) -> anyhow::Result<usize> {
        let statuses: Value = serde_json::from_str(&self.statuses()?).context("read statuses")?;
        let statuses = statuses.as_array().context("find statuses")?;
        let stable = statuses.iter().filter(|pod| pod["status"] == "STABLE");
        Ok(stable.count())
    }

    fn removal(&mut self) -> anyhow::Result<()> {
        eprintln!("scale: removes all pods");
        let pods = std::mem::take(&mut self.pods);
        let took = timed(|| self.remove_all(&pods))?;
        self.scale.add(Measure::Removal, took.as_secs_f64());
        sleep(CALM);
        let daemon = self.monopod.service().context("find the daemon")?;
        self.scale
            .add(Measure::RssAfter, processes::rss_kib(daemon)? / 1024.0);
        Ok(())
    }

    /// All requests first; over when no payload and no pod is left.
    fn remove_all(&self, pods: &[Pod]) -> anyhow::Result<()> {
        let alive = Alive::hold(&self.payloads(), pods.len() * CONTAINERS)?;
        for pod in pods {
            stop_if_ending();
            let path = format!("/v2/pods/{}?force=true", pod.name);
            self.monopod.request("DELETE", &path, None)?;
        }
        alive.wait_until_gone()?;
        let began = clock::monotonic();
        while self.statuses()? != "[]" {
            let waited = clock::monotonic() - began;
            anyhow::ensure!(waited < PATIENCE, "see all pods gone");
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn payloads(&self) -> Vec<i32> {
        let payloads = processes::payloads(&self.place.name);
        payloads.into_values().flatten().collect()
    }

    fn spent_ms(&self) -> anyhow::Result<f64> {
        self.place.cgroups.spent_ms(Kind::Monopod)
    }
}
