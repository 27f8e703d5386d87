//! One turn of one contestant: everything, once.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clock::{self, milliseconds},
    commits,
    contestant::{Contestant, Kind, Replacement},
    crun::Crun,
    figures::{Figure, Samples},
    monopod::Monopod,
    options::Options,
    place::{Place, stop_if_ending},
    podman::Podman,
    processes,
    workload::{Alive, CONTAINERS, Pod, Watch},
};

/// What launches leave behind in the background ends within this time, before memory and idleness are looked at.
const CALM: Duration = Duration::from_secs(2);

/// How often a killed payload is waited for in a round.
const REPLACEMENTS: usize = 5;

/// How often list and status are read in a round.
const READS: usize = 10;

/// Launches and removals whose durable writes are counted.
const COUNTED: usize = 3;

/// The payload that is killed.
const KILLED: usize = 2;

/// Does a turn on a thread that then ends, and with it the mount namespace that a contestant may need.
pub(crate) fn in_a_room(
    kind: Kind,
    place: &'static Place,
    options: &Options,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let room = scope.spawn(|| {
            place.cgroups.enter(kind)?;
            let contestant = open(kind, place, samples)?;
            Turn {
                kind,
                place,
                options,
                contestant: contestant.as_ref(),
                samples,
            }
            .take()
            .inspect_err(|_| print_end(contestant.log()))
        });
        room.join().expect("a panic ends the process")
    })
}

fn open(kind: Kind, place: &Place, samples: &mut Samples) -> anyhow::Result<Box<dyn Contestant>> {
    Ok(match kind {
        Kind::Crun => Box::new(Crun::open(place)?),
        Kind::Monopod => {
            let (monopod, taken) = Monopod::start(place)?;
            samples.add(kind, Figure::Start, milliseconds(taken));
            Box::new(monopod)
        }
        Kind::Podman => {
            let (podman, taken) = Podman::start(place)?;
            samples.add(kind, Figure::Start, milliseconds(taken));
            Box::new(podman)
        }
    })
}

/// What the service said last: a failure here has its reason there.
pub(crate) fn print_end(log: Option<&Path>) {
    const LINES: usize = 15;
    let text = log
        .and_then(|log| std::fs::read_to_string(log).ok())
        .unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
        eprintln!("  {line}");
    }
}

struct Turn<'a> {
    kind: Kind,
    place: &'a Place,
    options: &'a Options,
    contestant: &'a dyn Contestant,
    samples: &'a mut Samples,
}

impl Turn<'_> {
    fn take(mut self) -> anyhow::Result<()> {
        self.warm_up().context("warm up")?;
        self.single_pods()
            .context("launch and remove single pods")?;
        self.replacements()
            .context("see a killed payload replaced")?;
        self.many_pods().context("hold many pods")?;
        self.parallel().context("take many requests at a time")?;
        self.durable_writes();
        Ok(())
    }

    /// The first pod finds caches cold and infrastructure images missing.
    fn warm_up(&self) -> anyhow::Result<()> {
        let pod = Pod::new(self.place, "warm")?;
        self.launch(&pod)?;
        self.remove(&pod).map(drop)
    }

    fn single_pods(&mut self) -> anyhow::Result<()> {
        for number in 0..self.options.single {
            let pod = Pod::new(self.place, &format!("s{number}"))?;
            let launch = self.launch(&pod)?;
            self.contestant.settle(&pod)?;
            let removal = self.remove(&pod)?;
            self.add(Figure::Launch, milliseconds(launch));
            self.add(Figure::Removal, milliseconds(removal));
        }
        Ok(())
    }

    fn replacements(&mut self) -> anyhow::Result<()> {
        let replaced: &[usize] = match self.contestant.replacement() {
            Replacement::Pod => &[1, 2, 3],
            Replacement::Container => &[KILLED],
            Replacement::Nothing => return Ok(()),
        };
        let pod = Pod::new(self.place, "killed")?;
        self.launch(&pod)?;
        for times in 2..REPLACEMENTS + 2 {
            self.contestant.settle(&pod)?;
            let pid = self.payload(&pod, KILLED)?;
            let watch = Watch::begin(&pod)?;
            let asked = clock::monotonic();
            kill_process(pid, Signal::KILL).context("kill a payload")?;
            let running = watch.wait(replaced, times)?;
            self.add(
                Figure::Replacement,
                milliseconds(running.saturating_sub(asked)),
            );
        }
        self.contestant.settle(&pod)?;
        self.remove(&pod).map(drop)
    }

    /// The process of one payload of a pod.
    fn payload(&self, pod: &Pod, container: usize) -> anyhow::Result<Pid> {
        let file = format!("/bench/{}.c{container}", pod.name);
        let payloads = processes::payloads(&self.place.name)
            .remove(&pod.name)
            .unwrap_or_default();
        let found = payloads.into_iter().find(|pid| {
            let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments
                .split(|byte| *byte == 0)
                .any(|argument| argument == file.as_bytes())
        });
        found
            .and_then(Pid::from_raw)
            .with_context(|| format!("find the payload of {file}"))
    }

    fn many_pods(&mut self) -> anyhow::Result<()> {
        std::thread::sleep(CALM);
        self.service_memory(Figure::ServiceMemoryEmpty)?;
        let pods = self.pods("q")?;
        let (began, spent) = (clock::monotonic(), self.spent_ms()?);
        for pod in &pods {
            self.launch(pod)?;
        }
        let (taken, count) = (clock::monotonic() - began, self.count());
        self.add(Figure::Sequential, count / taken.as_secs_f64());
        // Part of a launch happens after the payloads run.
        std::thread::sleep(CALM);
        let launched = self.spent_ms()?;
        self.add(Figure::LaunchCpu, (launched - spent) / count);
        self.service_memory(Figure::ServiceMemoryFull)?;
        self.pod_memory()?;
        self.reads(&pods[pods.len() / 2])?;
        self.idleness()?;
        let spent = self.spent_ms()?;
        self.remove_at_once(&pods)?;
        std::thread::sleep(CALM);
        let removed = self.spent_ms()?;
        self.add(Figure::RemovalCpu, (removed - spent) / count);
        Ok(())
    }

    fn service_memory(&mut self, figure: Figure) -> anyhow::Result<()> {
        if let Some(service) = self.contestant.service() {
            self.add(figure, processes::pss_kib(service)?);
        }
        Ok(())
    }

    /// Whatever is neither payload nor service: executors, or monitors and infrastructure containers.
    fn pod_memory(&mut self) -> anyhow::Result<()> {
        let payloads: BTreeSet<i32> = processes::payloads(&self.place.name)
            .into_values()
            .flatten()
            .collect();
        let mut standing = self.place.cgroups.processes(self.kind);
        standing.retain(|pid| !payloads.contains(pid) && Some(*pid) != self.contestant.service());
        let memory = standing.iter().map(|pid| processes::pss_kib(*pid));
        let memory = memory.collect::<anyhow::Result<Vec<_>>>()?;
        if memory.len() == self.options.pods {
            memory
                .into_iter()
                .for_each(|each| self.add(Figure::PodMemory, each));
        } else {
            self.add(
                Figure::PodMemory,
                memory.iter().fold(0.0, |sum, each| sum + each) / self.count(),
            );
        }
        Ok(())
    }

    fn reads(&mut self, pod: &Pod) -> anyhow::Result<()> {
        let contestant = self.contestant;
        for _ in 0..READS {
            let list = timed(|| contestant.list())?;
            let status = timed(|| contestant.status(pod))?;
            self.add(Figure::List, milliseconds(list));
            self.add(Figure::Status, milliseconds(status));
        }
        Ok(())
    }

    fn idleness(&mut self) -> anyhow::Result<()> {
        std::thread::sleep(CALM);
        let (began, spent) = (clock::monotonic(), self.spent_ms()?);
        std::thread::sleep(self.options.idle());
        let (taken, spent) = (clock::monotonic() - began, self.spent_ms()? - spent);
        self.add(
            Figure::IdleCpu,
            100.0 * spent.max(0.0) / milliseconds(taken),
        );
        Ok(())
    }

    fn parallel(&mut self) -> anyhow::Result<()> {
        let pods = self.pods("p")?;
        let taken = timed(|| self.each(&pods, |pod| self.launch(pod).map(drop)))?;
        self.add(Figure::Parallel, taken.as_secs_f64());
        self.remove_at_once(&pods)
    }

    /// Leaves the figure out where it cannot be had.
    fn durable_writes(&mut self) {
        if self.kind != Kind::Monopod {
            return;
        }
        if let Err(error) = self.count_durable_writes() {
            eprintln!("bench: durable writes are NOT counted: {error:#}");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of calls")]
    fn count_durable_writes(&mut self) -> anyhow::Result<()> {
        let service = self.contestant.service().context("find the service")?;
        for number in 0..COUNTED {
            let pod = Pod::new(self.place, &format!("d{number}"))?;
            let launch = || {
                self.launch(&pod)?;
                self.contestant.settle(&pod)
            };
            let launched = commits::count(service, &self.place.state, launch)?;
            let removed =
                commits::count(service, &self.place.state, || self.remove(&pod).map(drop))?;
            self.add(Figure::LaunchSyncs, launched as f64);
            self.add(Figure::RemovalSyncs, removed as f64);
        }
        Ok(())
    }

    /// Launches a pod; gives the time from the request to its last first line.
    fn launch(&self, pod: &Pod) -> anyhow::Result<Duration> {
        stop_if_ending();
        let watch = Watch::begin(pod)?;
        let asked = clock::monotonic();
        self.contestant.launch(pod)?;
        let containers: Vec<_> = (1..=CONTAINERS).collect();
        Ok(watch.wait(&containers, 1)?.saturating_sub(asked))
    }

    /// Removes a pod; gives the time from the request until its payloads are gone and the call has returned.
    fn remove(&self, pod: &Pod) -> anyhow::Result<Duration> {
        let payloads = processes::payloads(&self.place.name)
            .remove(&pod.name)
            .unwrap_or_default();
        self.remove_payloads(pod, &payloads)
    }

    fn remove_payloads(&self, pod: &Pod, payloads: &[i32]) -> anyhow::Result<Duration> {
        stop_if_ending();
        let alive = Alive::hold(payloads, CONTAINERS)?;
        std::thread::scope(|scope| {
            let gone = scope.spawn(|| alive.wait_until_gone());
            let asked = clock::monotonic();
            self.contestant.remove(pod)?;
            let returned = clock::monotonic();
            let gone = gone.join().expect("a panic ends the process")?;
            Ok(gone.max(returned) - asked)
        })
    }

    fn remove_at_once(&self, pods: &[Pod]) -> anyhow::Result<()> {
        let payloads = processes::payloads(&self.place.name);
        self.each(pods, |pod| {
            let own = payloads.get(&pod.name).map_or(&[][..], Vec::as_slice);
            self.remove_payloads(pod, own).map(drop)
        })
    }

    /// Does something with each pod, several at a time; gives the first error after all have ended.
    fn each(
        &self,
        pods: &[Pod],
        work: impl Fn(&Pod) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.options.parallel {
                scope.spawn(|| {
                    while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(error) = work(pod) {
                            failed
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error);
                        }
                    }
                });
            }
        });
        failed
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .map_or(Ok(()), Err)
    }

    fn pods(&self, letter: &str) -> anyhow::Result<Vec<Pod>> {
        (0..self.options.pods)
            .map(|number| Pod::new(self.place, &format!("{letter}{number}")))
            .collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer pods than 2^52")]
    fn count(&self) -> f64 {
        self.options.pods as f64
    }

    fn spent_ms(&self) -> anyhow::Result<f64> {
        self.place.cgroups.spent_ms(self.kind)
    }

    fn add(&mut self, figure: Figure, value: f64) {
        self.samples.add(self.kind, figure, value);
    }
}

pub(crate) fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let began = clock::monotonic();
    work()?;
    Ok(clock::monotonic() - began)
}
