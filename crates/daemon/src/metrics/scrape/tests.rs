use std::{collections::BTreeSet, time::Duration};

use agent::allocator::Agent;
use model::{resources::Resources, time::Timestamp};

use super::*;

/// What users read.
const PAGE: &str = include_str!("../../../../../docs/metrics.md");

fn scrape() -> Scrape {
    let total = Claim {
        resources: Resources {
            cpus_milli: 1500,
            ..Resources::ZERO
        },
        ..Claim::default()
    };
    Scrape {
        snapshot: Arc::new(Snapshot {
            pods: BTreeMap::new(),
            deployments: Arc::default(),
            accounting: Agent::new(total, Duration::from_secs(1)).accounting(),
        }),
        conditions: vec![Degraded {
            kind: Kind::StoreFailing,
            since: Timestamp::from_millis(0),
            text: String::new(),
        }],
        database_bytes: Some(4096),
        start: Start {
            ready_at: Timestamp::from_millis(0),
            duration: Duration::from_millis(40),
            rebooted: false,
            alive: 3,
            over: 1,
        },
        usage: Box::new(|_, _| None),
    }
}

fn text() -> String {
    let metrics = Metrics::default();
    metrics.answered("/ping", "GET", 200, Duration::from_millis(1));
    metrics.committed(store::Durability::Full, 2, Duration::from_millis(1));
    metrics.expose(&scrape(), Format::Prometheus).unwrap()
}

#[test]
fn the_page_lists_what_is_served() {
    let text = text();
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let listed: BTreeSet<_> = PAGE
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`');
            Some(format!("{name} {}", cells.next()?))
        })
        .collect();
    let listed: BTreeSet<_> = listed.iter().map(String::as_str).collect();
    let missing: Vec<_> = served.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "docs/metrics.md differs: {missing:#?}");
}

#[test]
fn values_stand_where_they_belong() {
    let text = text();
    for line in [
        "monopod_agent_cpus{holder=\"total\"} 1.5",
        "monopod_degraded{condition=\"store_failing\"} 1.0",
        "monopod_degraded{condition=\"state_disk_low\"} 0.0",
        "monopod_recovered_runs{found=\"alive\"} 3.0",
        "monopod_instances{status=\"STABLE\"} 0.0",
        "monopod_restarts_total{reason=\"memory_limit\"} 0",
        "monopod_http_requests_total{route=\"/ping\",method=\"GET\",status=\"200\"} 1",
        "monopod_commit_duration_seconds_count{durability=\"full\"} 1",
        "monopod_database_bytes 4096.0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
}
