//! What is measured, and the values so far.

use std::collections::BTreeMap;

use crate::contestant::Kind;

/// A figure of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    /// Start of the service to its first answer.
    Start,
    /// Request to the last of three first lines.
    Launch,
    /// Request to the last payload gone and the call returned.
    Removal,
    /// One payload killed to what replaces it running.
    Replacement,
    /// Pods one after another.
    Sequential,
    /// Pods several requests at a time.
    Parallel,
    /// The list of all pods.
    List,
    /// The status of one pod.
    Status,
    /// What stands for each pod beside its payload.
    PodMemory,
    /// The service without pods.
    ServiceMemoryEmpty,
    /// The service with all pods.
    ServiceMemoryFull,
    /// Everything, while nothing happens.
    IdleCpu,
    /// Everything, for a launch.
    LaunchCpu,
    /// Everything, for a removal.
    RemovalCpu,
    /// Durable writes of the service for a launch.
    LaunchSyncs,
    /// Durable writes of the service for a removal.
    RemovalSyncs,
}

impl Figure {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 16] = [
        Self::Launch,
        Self::Removal,
        Self::Replacement,
        Self::Sequential,
        Self::Parallel,
        Self::List,
        Self::Status,
        Self::LaunchCpu,
        Self::RemovalCpu,
        Self::IdleCpu,
        Self::PodMemory,
        Self::ServiceMemoryEmpty,
        Self::ServiceMemoryFull,
        Self::Start,
        Self::LaunchSyncs,
        Self::RemovalSyncs,
    ];

    /// Its name for readers; `pods` stand at once, `parallel` requests are under way.
    pub(crate) fn title(self, pods: usize, parallel: usize) -> String {
        match self {
            Self::Start => "service: start to first answer, ms".to_owned(),
            Self::Launch => "request to 3 containers running, ms".to_owned(),
            Self::Removal => "removal to all gone, ms".to_owned(),
            Self::Replacement => "payload killed to replacement running, ms".to_owned(),
            Self::Sequential => format!("{pods} pods one after another, pods/s"),
            Self::Parallel => format!("{pods} pods, {parallel} at a time, s"),
            Self::List => format!("list of {pods} pods, ms"),
            Self::Status => format!("status of one of {pods} pods, ms"),
            Self::PodMemory => "memory per pod beside the payload, KiB (PSS)".to_owned(),
            Self::ServiceMemoryEmpty => "service without pods, KiB (PSS)".to_owned(),
            Self::ServiceMemoryFull => format!("service with {pods} pods, KiB (PSS)"),
            Self::IdleCpu => format!("idle with {pods} pods, % of a core"),
            Self::LaunchCpu => "CPU for a launch, ms".to_owned(),
            Self::RemovalCpu => "CPU for a removal, ms".to_owned(),
            Self::LaunchSyncs => "durable writes of the service per launch".to_owned(),
            Self::RemovalSyncs => "durable writes of the service per removal".to_owned(),
        }
    }

    /// Its name for programs.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Start => "service_start_ms",
            Self::Launch => "launch_ms",
            Self::Removal => "removal_ms",
            Self::Replacement => "replacement_ms",
            Self::Sequential => "sequential_pods_per_second",
            Self::Parallel => "parallel_seconds",
            Self::List => "list_ms",
            Self::Status => "status_ms",
            Self::PodMemory => "pod_memory_pss_kib",
            Self::ServiceMemoryEmpty => "service_memory_empty_pss_kib",
            Self::ServiceMemoryFull => "service_memory_full_pss_kib",
            Self::IdleCpu => "idle_cpu_percent",
            Self::LaunchCpu => "launch_cpu_ms",
            Self::RemovalCpu => "removal_cpu_ms",
            Self::LaunchSyncs => "launch_syncs",
            Self::RemovalSyncs => "removal_syncs",
        }
    }
}

/// Minimum, median and maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The smallest value.
    pub(crate) min: f64,
    /// The middle value; of two, their mean.
    pub(crate) median: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Summary {
    /// Of at least one value.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { min, median, max })
    }
}

/// Every value of every figure, and who has none and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    values: BTreeMap<(Kind, Figure), Vec<f64>>,
    missing: Vec<(Kind, String)>,
}

impl Samples {
    /// Adds a value.
    pub(crate) fn add(&mut self, kind: Kind, figure: Figure, value: f64) {
        self.values.entry((kind, figure)).or_default().push(value);
    }

    /// Notes loudly that a contestant is out, and why.
    pub(crate) fn miss(&mut self, kind: Kind, why: String) {
        eprintln!("bench: WITHOUT {kind}: {why}");
        self.missing.push((kind, why));
    }

    /// The values of a figure, in the order of measurement.
    pub(crate) fn values(&self, kind: Kind, figure: Figure) -> &[f64] {
        self.values.get(&(kind, figure)).map_or(&[], Vec::as_slice)
    }

    /// Whether a contestant has any value.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.values.keys().any(|(other, _)| *other == kind)
    }

    /// Who is out, and why, in one text.
    pub(crate) fn missing_text(&self) -> String {
        let texts: Vec<_> = self
            .missing
            .iter()
            .map(|(kind, why)| format!("{kind}: {why}"))
            .collect();
        texts.join("; ")
    }

    /// Who is out, and why.
    pub(crate) fn missing(&self) -> &[(Kind, String)] {
        &self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_odd_even_and_no_values() {
        let summary = |min, median, max| Some(Summary { min, median, max });
        let cases: [(&[f64], Option<Summary>); 4] = [
            (&[], None),
            (&[4.0], summary(4.0, 4.0, 4.0)),
            (&[3.0, 1.0, 2.0], summary(1.0, 2.0, 3.0)),
            (&[4.0, 1.0, 3.0, 2.0], summary(1.0, 2.5, 4.0)),
        ];
        for (values, expected) in cases {
            assert_eq!(Summary::of(values), expected, "{values:?}");
        }
    }

    #[test]
    fn every_figure_is_in_the_table_once() {
        let mut keys: Vec<_> = Figure::ALL.iter().map(|figure| figure.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), Figure::ALL.len());
    }
}
