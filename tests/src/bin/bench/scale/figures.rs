//! What is measured of many pods, what it should be, and whether it is.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use crate::figures::Summary;

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// Start to first answer, after SIGTERM.
    RestartAsked,
    /// Start to first answer, after SIGKILL.
    RestartKilled,
    /// SIGTERM to the daemon's end.
    Stop,
    /// Every definition.
    List,
    /// Every status.
    Statuses,
    /// Everything, while nothing happens.
    Idle,
    /// The daemon.
    Rss,
    /// The daemon, what is shared counted in proportion.
    Pss,
    /// The daemon, once no pod is left.
    RssAfter,
    /// Each executor.
    ExecutorPss,
    /// Request to first line, the first tenth of the pods.
    FirstLaunches,
    /// The same, the last tenth.
    LastLaunches,
    /// CPU of everything for a launch, the first tenth.
    FirstLaunchesCpu,
    /// The same, the last tenth.
    LastLaunchesCpu,
    /// What the last launches cost, in terms of the first.
    LaunchGrowth,
    /// All pods at once.
    Removal,
}

impl Measure {
    const ALL: [Self; 16] = [
        Self::RestartAsked,
        Self::RestartKilled,
        Self::Stop,
        Self::List,
        Self::Statuses,
        Self::Idle,
        Self::Rss,
        Self::Pss,
        Self::RssAfter,
        Self::ExecutorPss,
        Self::FirstLaunches,
        Self::LastLaunches,
        Self::FirstLaunchesCpu,
        Self::LastLaunchesCpu,
        Self::LaunchGrowth,
        Self::Removal,
    ];

    /// Its name for programs, its name for readers, and what its median should be below.
    const fn about(self) -> (&'static str, &'static str, Option<f64>) {
        match self {
            Self::RestartAsked => (
                "restart_after_sigterm_ms",
                "start to first answer after SIGTERM, ms",
                Some(1000.0),
            ),
            Self::RestartKilled => (
                "restart_after_sigkill_ms",
                "start to first answer after SIGKILL, ms",
                Some(1000.0),
            ),
            Self::Stop => ("stop_ms", "SIGTERM to the daemon's end, ms", None),
            Self::List => ("list_ms", "list of all definitions, ms", Some(50.0)),
            Self::Statuses => ("statuses_ms", "list of all statuses, ms", Some(50.0)),
            Self::Idle => (
                "idle_percent",
                "idle, % of a core, all processes",
                Some(0.5),
            ),
            Self::Rss => ("daemon_rss_mib", "daemon, MiB (RSS)", Some(60.0)),
            Self::Pss => ("daemon_pss_mib", "daemon, MiB (PSS)", None),
            Self::RssAfter => (
                "daemon_rss_after_mib",
                "daemon once all pods are gone, MiB (RSS)",
                None,
            ),
            Self::ExecutorPss => ("executor_pss_kib", "each executor, KiB (PSS)", None),
            Self::FirstLaunches => ("first_launches_ms", "launch, the first of them, ms", None),
            Self::LastLaunches => ("last_launches_ms", "launch, the last of them, ms", None),
            Self::FirstLaunchesCpu => (
                "first_launches_cpu_ms",
                "CPU for a launch, the first of them, ms",
                None,
            ),
            Self::LastLaunchesCpu => (
                "last_launches_cpu_ms",
                "CPU for a launch, the last of them, ms",
                None,
            ),
            Self::LaunchGrowth => (
                "launch_cpu_growth",
                "CPU of the last launches / the first",
                Some(1.3),
            ),
            Self::Removal => ("removal_s", "removal of all pods, s", None),
        }
    }
}

/// Everything that was measured of so many pods.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    pods: usize,
    values: BTreeMap<Measure, Vec<f64>>,
}

impl Scale {
    /// Nothing yet.
    pub(crate) const fn new(pods: usize) -> Self {
        Self {
            pods,
            values: BTreeMap::new(),
        }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, measure: Measure, value: f64) {
        self.values.entry(measure).or_default().push(value);
    }

    /// One line for each figure: minimum / median / maximum, the goal, and whether the median meets it.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "monopod with {} pods of one container, host network\n",
            self.pods
        );
        for measure in Measure::ALL {
            let (_, title, goal) = measure.about();
            let Some(summary) = self.summary(measure) else {
                continue;
            };
            let Summary { min, median, max } = summary;
            let values = if min < max {
                format!("{min:.2} / {median:.2} / {max:.2}")
            } else {
                format!("{median:.2}")
            };
            let verdict = match goal {
                Some(goal) if median < goal => format!("  met: below {goal}"),
                Some(goal) => format!("  MISSED: should be below {goal}"),
                None => String::new(),
            };
            let _ = writeln!(text, "{title:<42}{values:>26}{verdict}");
        }
        text
    }

    /// Every value, and which goals are met.
    pub(crate) fn json(&self) -> Value {
        let mut figures = serde_json::Map::new();
        for measure in Measure::ALL {
            let (key, _, goal) = measure.about();
            let values = self.values.get(&measure);
            let median = self.summary(measure).map(|summary| summary.median);
            let met = goal.zip(median).map(|(goal, median)| median < goal);
            let figure = json!({"values": values, "below": goal, "met": met});
            figures.insert(key.to_owned(), figure);
        }
        json!({"pods": self.pods, "figures": figures})
    }

    fn summary(&self, measure: Measure) -> Option<Summary> {
        Summary::of(self.values.get(&measure)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_met_or_missed_by_the_median() {
        let mut scale = Scale::new(500);
        for value in [10.0, 20.0, 900.0] {
            scale.add(Measure::List, value);
        }
        scale.add(Measure::Idle, 0.5);
        scale.add(Measure::Stop, 1.0);
        let text = scale.table();
        let line = |title: &str| {
            let found = text.lines().find(|line| line.contains(title));
            found.unwrap_or_default().to_owned()
        };
        assert!(
            line("definitions").ends_with("10.00 / 20.00 / 900.00  met: below 50"),
            "{text}"
        );
        assert!(
            line("idle").ends_with("MISSED: should be below 0.5"),
            "{text}"
        );
        assert!(line("SIGTERM to").ends_with("1.00"), "{text}");
        assert!(!text.contains("removal"), "{text}");
        let json = scale.json();
        assert_eq!(json["figures"]["list_ms"]["met"], true);
        assert_eq!(json["figures"]["idle_percent"]["met"], false);
        assert_eq!(json["figures"]["removal_s"]["met"], Value::Null);
    }

    #[test]
    fn every_figure_has_a_name_of_its_own() {
        let mut keys: Vec<_> = Measure::ALL
            .iter()
            .map(|measure| measure.about().0)
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), Measure::ALL.len());
    }
}
