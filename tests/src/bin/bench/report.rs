//! The table for people and the values for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::{
    contestant::Kind,
    figures::{Figure, Samples, Summary},
    machine::Machine,
    options::Options,
};

/// What stands where nothing was measured.
const NONE: &str = "-";

/// One line for each figure: minimum / median / maximum, and how many times monopod's median others have.
pub(crate) fn table(machine: &Machine, samples: &Samples, options: &Options) -> String {
    let kinds: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| samples.has(*kind))
        .collect();
    let mut rows = vec![heading(&kinds)];
    for figure in Figure::ALL {
        let row = row(figure, &kinds, samples, options);
        if row.iter().skip(1).any(|cell| cell != NONE) {
            rows.push(row);
        }
    }
    let mut text = about(machine, options);
    text.push('\n');
    write_aligned(&mut text, &rows);
    text.push_str(
        "\nA cell is min / median / max over all rounds; x is the median divided by monopod's. Killed payloads:\n\
         monopod replaces the whole pod, podman restarts that container only, crun does nothing. Removal: monopod\n\
         and podman send SIGTERM, which the payload obeys at once, crun sends SIGKILL. CPU is that of everything\n\
         in the contestant's cgroup: service, helpers, payloads and the kernel's work for them.\n",
    );
    for (kind, why) in samples.missing() {
        let _ = writeln!(text, "WITHOUT {kind}: {why}");
    }
    text
}

fn about(machine: &Machine, options: &Options) -> String {
    let mut text = format!(
        "{} cores ({}), kernel {}; {} rounds, {} pods of 3 containers, host network\n",
        machine.cores, machine.processor, machine.kernel, options.rounds, options.pods
    );
    if let Some(load) = Summary::of(&machine.loads) {
        let _ = writeln!(text, "load average at the start of a turn: {}", cell(load));
    }
    for version in machine.versions.values() {
        let _ = writeln!(text, "{version}");
    }
    text
}

fn heading(kinds: &[Kind]) -> Vec<String> {
    let mut row = vec![String::new()];
    for kind in kinds {
        row.push(kind.to_string());
        if *kind != Kind::Monopod {
            row.push("x".to_owned());
        }
    }
    row
}

fn row(figure: Figure, kinds: &[Kind], samples: &Samples, options: &Options) -> Vec<String> {
    let ours = Summary::of(samples.values(Kind::Monopod, figure));
    let mut row = vec![figure.title(options.pods, options.parallel)];
    for kind in kinds {
        let summary = Summary::of(samples.values(*kind, figure));
        row.push(summary.map_or(NONE.to_owned(), cell));
        if *kind != Kind::Monopod {
            let ratio = summary.zip(ours).filter(|(_, ours)| ours.median > 0.0);
            row.push(ratio.map_or(NONE.to_owned(), |(theirs, ours)| {
                number(theirs.median / ours.median)
            }));
        }
    }
    row
}

fn cell(summary: Summary) -> String {
    let Summary { min, median, max } = summary;
    format!("{} / {} / {}", number(min), number(median), number(max))
}

/// Three digits are enough.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn write_aligned(text: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].len())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// Every value.
pub(crate) fn json(machine: &Machine, samples: &Samples, options: &Options) -> Value {
    let contestants = Kind::ALL
        .into_iter()
        .filter(|kind| samples.has(*kind))
        .map(|kind| {
            let figures = Figure::ALL
                .into_iter()
                .map(|figure| (figure.key().to_owned(), json!(samples.values(kind, figure))));
            let version = machine.versions.get(&kind);
            let value = json!({"version": version, "values": figures.collect::<Map<_, _>>()});
            (kind.to_string(), value)
        });
    let missing = samples
        .missing()
        .iter()
        .map(|(kind, why)| json!({"name": kind.to_string(), "why": why}));
    json!({
        "machine": {
            "cores": machine.cores,
            "processor": machine.processor,
            "kernel": machine.kernel,
            "loads": machine.loads,
        },
        "options": {
            "rounds": options.rounds,
            "pods": options.pods,
            "parallel": options.parallel,
            "single": options.single,
            "idleSeconds": options.idle,
        },
        "contestants": contestants.collect::<Map<_, _>>(),
        "missing": missing.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn ratios_are_of_medians_and_what_is_missing_is_said() {
        let mut samples = Samples::default();
        for value in [10.0, 20.0, 90.0] {
            samples.add(Kind::Monopod, Figure::Launch, value);
            samples.add(Kind::Crun, Figure::Launch, value * 2.0);
        }
        samples.add(Kind::Crun, Figure::Status, 3.0);
        samples.miss(Kind::Podman, "not here".to_owned());
        let options = Options::parse_from(["bench"]);
        let text = table(&Machine::look(), &samples, &options);
        let line = |start: &str| {
            let found = text
                .lines()
                .find(|line| line.starts_with(start))
                .unwrap_or_default();
            found
                .split("  ")
                .filter(|cell| !cell.is_empty())
                .map(str::trim)
                .skip(1)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            line("request to"),
            ["10.0 / 20.0 / 90.0", "20.0 / 40.0 / 180", "2.00"]
        );
        assert_eq!(line("status of"), ["-", "3.00 / 3.00 / 3.00", "-"]);
        assert!(text.contains("WITHOUT podman: not here"), "{text}");
        assert!(
            !text.contains("removal to all gone"),
            "figures without values are left out: {text}"
        );
    }
}
