//! What runs leave on disk goes by age, and sooner as the disk fills.
//!
//! A sandbox may stay for `gc_delay × max(0, 1 − headroom − usage)` after its run's end (mesos:
//! `slave/gc.cpp`, `slave/slave.cpp`): the fuller the disk, the sooner it goes, and with less than the headroom free
//! at once. Volumes and running runs' sandboxes are never touched.
//!
//! [`Collector`] decides; [`work`] acts, on one thread of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use model::id::RunId;
use runtime::containerizer::{Containerizer, Moment, Remains};
use tracing::{info, warn};

use crate::{
    clock,
    conditions::{Conditions, Kind},
    event_loop::chain,
};

/// How long what is left of runs stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long on an empty disk without headroom.
    pub gc_delay: Duration,
    /// The part of the disk that is to stay free, in thousandths.
    pub headroom_permille: u64,
    /// How often the disk is looked at.
    pub watch_interval: Duration,
    /// Ended runs of one instance whose sandboxes may stay, the latest ones.
    pub runs_kept: usize,
}

/// How full a disk is, in thousandths: of its blocks or its inodes, whichever are scarcer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usage(pub u64);

impl Usage {
    /// Looks at the filesystem of `path`.
    ///
    /// # Errors
    /// What `statvfs(3)` says.
    pub fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let blocks = permille(used, used.saturating_add(stat.f_bavail));
        let inodes = permille(stat.f_files.saturating_sub(stat.f_ffree), stat.f_files);
        Ok(Self(blocks.max(inodes)))
    }
}

/// A filesystem without a limit says that it has none at all.
fn permille(used: u64, total: u64) -> u64 {
    used.saturating_mul(1000).checked_div(total).unwrap_or(0)
}

impl Policy {
    /// How long what a run left may stay at this usage.
    pub fn max_age(&self, usage: Usage) -> Duration {
        let part = 1000_u64.saturating_sub(self.headroom_permille.saturating_add(usage.0));
        let millis = self.gc_delay.as_millis() * u128::from(part) / 1000;
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Whether less than the headroom is free.
    pub fn is_low(&self, usage: Usage) -> bool {
        usage.0.saturating_add(self.headroom_permille) >= 1000
    }
}

/// Knows what ended runs left, and decides what of it goes.
#[derive(Debug)]
pub(crate) struct Collector {
    policy: Policy,
    remains: BTreeMap<RunId, Moment>,
    /// Those that could not be removed; tried again at the next look at the disk.
    stuck: BTreeSet<RunId>,
    /// Runs that are over of which something that should have gone at once is still there; tried again likewise.
    unfinished: BTreeSet<RunId>,
}

impl Collector {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            remains: BTreeMap::new(),
            stuck: BTreeSet::new(),
            unfinished: BTreeSet::new(),
        }
    }

    /// Takes over what a run left.
    pub(crate) fn add(&mut self, remains: Remains) {
        self.remains.insert(remains.run, remains.ended);
    }

    /// What is to go now, if anything: first what an instance has too many of, then the oldest.
    pub(crate) fn due(&self, usage: Usage, now: &Moment) -> Option<RunId> {
        self.surplus().or_else(|| {
            let (age, run) = self.oldest(now)?;
            (age >= self.policy.max_age(usage)).then_some(run)
        })
    }

    /// When to look again: when the oldest is due, but no later than the disk is to be looked at.
    pub(crate) fn wait(&self, usage: Usage, now: &Moment) -> Duration {
        let left = self
            .oldest(now)
            .map(|(age, _)| self.policy.max_age(usage).saturating_sub(age));
        left.map_or(self.policy.watch_interval, |left| {
            left.min(self.policy.watch_interval)
        })
    }

    fn surplus(&self) -> Option<RunId> {
        let mut newer: BTreeMap<_, usize> = BTreeMap::new();
        let mut from_latest = self.remains.keys().rev().filter(|run| {
            let seen = newer.entry(run.instance).or_default();
            *seen += 1;
            *seen > self.policy.runs_kept && !self.stuck.contains(run)
        });
        from_latest.next().copied()
    }

    fn oldest(&self, now: &Moment) -> Option<(Duration, RunId)> {
        let movable = self
            .remains
            .iter()
            .filter(|(run, _)| !self.stuck.contains(run));
        let ages = movable.map(|(run, ended)| (ended.age(now), *run));
        ages.max_by_key(|(age, run)| (*age, std::cmp::Reverse(*run)))
    }

    /// How many runs something is left of that should be gone, and one of them.
    fn left_behind(&self) -> Option<(usize, RunId)> {
        let first = self.stuck.first().or(self.unfinished.first())?;
        Some((self.stuck.len() + self.unfinished.len(), *first))
    }

    fn gone(&mut self, run: RunId) {
        self.remains.remove(&run);
    }
}

/// What is told to the collecting thread.
#[derive(Debug)]
pub(crate) enum Leftover {
    /// A run whose end is stored: its run directory and writable layers go at once, its sandbox is taken over.
    Run(RunId),
    /// Sandboxes of earlier runs that were found at start.
    Found(Vec<Remains>),
}

/// Removes leftovers one after the other, in the order in which they came, and collects what is due, until
/// the daemon ends. What is still there then, the next start finds.
pub(crate) fn work(
    containerizer: &Containerizer,
    policy: Policy,
    conditions: &Conditions,
    leftovers: &Receiver<Leftover>,
) {
    let mut collector = Collector::new(policy);
    if let Err(error) = containerizer.empty_trash() {
        warn!(
            error = chain(&error),
            "failed to remove what was being collected"
        );
    }
    let mut look_at = Instant::now();
    let mut try_again_at = look_at + policy.watch_interval;
    loop {
        let wait = look_at.saturating_duration_since(Instant::now());
        match leftovers.recv_timeout(wait) {
            Ok(Leftover::Found(found)) => found.into_iter().for_each(|one| collector.add(one)),
            Ok(Leftover::Run(run)) => conclude(containerizer, &mut collector, run),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= try_again_at {
            collector.stuck.clear();
            for run in std::mem::take(&mut collector.unfinished) {
                conclude(containerizer, &mut collector, run);
            }
            try_again_at = Instant::now() + policy.watch_interval;
        }
        let next = Instant::now() + collect(containerizer, conditions, &mut collector);
        look_at = next.min(try_again_at);
    }
}

/// Ends what is left of a run, and takes its sandbox over. What fails is tried again later.
fn conclude(containerizer: &Containerizer, collector: &mut Collector, run: RunId) {
    if let Err(error) = containerizer.destroy(run) {
        let error = chain(&error);
        warn!(run.id = %run, error, "failed to remove what a run left; tried again later");
        collector.unfinished.insert(run);
        return;
    }
    let marked = Moment::now(clock::now()).and_then(|ended| {
        containerizer.mark_ended(run, &ended)?;
        Ok(ended)
    });
    match marked {
        Ok(ended) => collector.add(Remains { run, ended }),
        Err(error) => {
            warn!(run.id = %run, %error, "failed to note when a run ended; tried again later");
            collector.unfinished.insert(run);
        }
    }
}

/// Collects what is due; says after which time to look again.
fn collect(
    containerizer: &Containerizer,
    conditions: &Conditions,
    collector: &mut Collector,
) -> Duration {
    let state_dir = &containerizer.layout().state_dir;
    loop {
        // Looked at each time: what was removed made room.
        let looked = Usage::of(state_dir).and_then(|usage| Ok((usage, Moment::now(clock::now())?)));
        let (usage, now) = match looked {
            Ok(seen) => seen,
            Err(error) => {
                warn!(%error, "failed to look at the disk of the state directory");
                return collector.policy.watch_interval;
            }
        };
        let Some(run) = collector.due(usage, &now) else {
            tell(containerizer, conditions, collector, usage);
            return collector.wait(usage, &now);
        };
        match containerizer.collect(run) {
            Ok(()) => {
                info!(run.id = %run, disk.permille = usage.0, "collected the sandbox of a run that is over");
                collector.gone(run);
            }
            Err(error) => {
                warn!(run.id = %run, error = chain(&error), "failed to collect a sandbox; tried again later");
                collector.stuck.insert(run);
            }
        }
    }
}

/// Says what is wrong with the disks, or no longer wrong.
fn tell(
    containerizer: &Containerizer,
    conditions: &Conditions,
    collector: &Collector,
    state: Usage,
) {
    let layout = containerizer.layout();
    let run = Usage::of(&layout.run_dir).unwrap_or(Usage(0));
    let disks = [
        (
            Kind::StateDiskLow,
            &layout.state_dir,
            state,
            "sandboxes of ended runs are removed at once; at 100 % nothing new can be stored",
        ),
        (
            Kind::RunDiskLow,
            &layout.run_dir,
            run,
            "at 100 % no pod can be launched",
        ),
    ];
    for (kind, path, usage, consequence) in disks {
        if collector.policy.is_low(usage) {
            let (whole, tenth) = (usage.0 / 10, usage.0 % 10);
            let path = path.display();
            let text =
                format!("the disk of {path} is {whole}.{tenth} % full: {consequence}; make room");
            conditions.raise(kind, text, clock::now());
        } else {
            conditions.clear(kind);
        }
    }
    if let Some((count, run)) = collector.left_behind() {
        let text = format!(
            "what {count} runs left cannot be removed, that of run {run} among them; the log says why"
        );
        conditions.raise(Kind::CollectionFailing, text, clock::now());
    } else {
        conditions.clear(Kind::CollectionFailing);
    }
}

#[cfg(test)]
mod tests {
    use model::time::Timestamp;
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    const POLICY: Policy = Policy {
        gc_delay: Duration::from_secs(100 * 3600),
        headroom_permille: 100,
        watch_interval: Duration::from_secs(60),
        runs_kept: 2,
    };

    fn at_hour(hour: u64) -> Moment {
        Moment {
            wall: Timestamp::from_millis(0),
            boot: Uuid::from_u128(1),
            since_boot_ms: hour * 3_600_000,
        }
    }

    fn run(instance: u128, incarnation: u32) -> RunId {
        RunId {
            instance: Uuid::from_u128(instance),
            incarnation,
        }
    }

    fn collector(remains: &[(RunId, u64)]) -> Collector {
        let mut collector = Collector::new(POLICY);
        for (run, hour) in remains {
            let (run, ended) = (*run, at_hour(*hour));
            collector.add(Remains { run, ended });
        }
        collector
    }

    #[test]
    fn the_fuller_the_disk_the_sooner_all_goes() {
        for (usage, hours) in [(0, 90), (500, 40), (899, 0), (900, 0), (1000, 0)] {
            let age = POLICY.max_age(Usage(usage));
            assert_eq!(age.as_secs() / 3600, hours, "usage {usage}");
        }
        let low = [0, 899, 900, 1000].map(|usage| POLICY.is_low(Usage(usage)));
        assert_eq!(low, [false, false, true, true]);
    }

    #[test]
    fn the_oldest_goes_first_once_it_is_due() {
        let mut collector = collector(&[(run(1, 1), 20), (run(2, 1), 10), (run(3, 1), 30)]);
        let cases = [
            (0, 99, None),
            (0, 100, Some(run(2, 1))),
            (500, 49, None),
            (500, 50, Some(run(2, 1))),
            (950, 30, Some(run(2, 1))),
        ];
        for (usage, hour, expected) in cases {
            assert_eq!(
                collector.due(Usage(usage), &at_hour(hour)),
                expected,
                "{usage} {hour}"
            );
        }
        collector.gone(run(2, 1));
        assert_eq!(collector.due(Usage(500), &at_hour(60)), Some(run(1, 1)));
        // One that does not go does not keep others.
        collector.stuck.insert(run(1, 1));
        assert_eq!(collector.due(Usage(500), &at_hour(70)), Some(run(3, 1)));
    }

    #[test]
    fn of_one_instance_only_the_latest_runs_stay() {
        let mut collector = collector(&[(run(1, 1), 1), (run(1, 2), 2), (run(2, 1), 1)]);
        assert_eq!(collector.due(Usage(0), &at_hour(3)), None);
        collector.add(Remains {
            run: run(1, 10),
            ended: at_hour(3),
        });
        assert_eq!(collector.due(Usage(0), &at_hour(3)), Some(run(1, 1)));
        collector.gone(run(1, 1));
        assert_eq!(collector.due(Usage(0), &at_hour(3)), None);
    }

    #[test]
    fn waits_no_longer_than_until_something_is_due() {
        let empty = collector(&[]);
        assert_eq!(empty.wait(Usage(0), &at_hour(0)), POLICY.watch_interval);
        let one = collector(&[(run(1, 1), 0)]);
        assert_eq!(one.wait(Usage(0), &at_hour(1)), POLICY.watch_interval);
        let mut now = at_hour(90);
        now.since_boot_ms -= 5000;
        assert_eq!(one.wait(Usage(0), &now), Duration::from_secs(5));
        assert!(one.policy.max_age(Usage(0)) == 90 * HOUR);
    }

    #[test]
    fn a_real_disk_has_a_usage() {
        let usage = Usage::of(Path::new("/")).unwrap();
        assert!(usage <= Usage(1000), "{usage:?}");
        assert!(Usage::of(Path::new("/proc/self/nonesuch")).is_err());
    }
}
