//! Measures commits: `cargo run --release -p store --example commit_speed [DIRECTORY]`.
//!
//! A turn is what a launch writes: one instance and three tasks. Times are milliseconds a turn.
#![expect(clippy::print_stdout, reason = "prints its findings")]

use std::{error::Error, path::PathBuf, sync::Arc, time::Instant};

use model::{
    id::{InstanceId, PodId, RunId},
    record::{InstanceRecord, PodRecord, PodVersionRecord, Record, TaskRecord},
    state::{Condition, Goal, TaskState},
    time::Timestamp,
};
use store::{Durability, Store, WAL_LIMIT_BYTES};
use uuid::Uuid;

const TURNS: u32 = 500;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn launch(pod: &PodId, number: u32) -> Vec<Record> {
    // As random ids do, these fall all over the table.
    let uuid =
        Uuid::from_u128(u128::from(number % 50 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 << 60));
    let run = RunId {
        instance: uuid,
        incarnation: number / 50 + 1,
    };
    let mut records = vec![Record::Instance(InstanceRecord {
        id: InstanceId::new(pod, uuid),
        pod: pod.clone(),
        version: NOW,
        incarnation: run.incarnation,
        run_open: true,
        goal: Goal::Running,
        condition: Condition::Provisioned,
        since: NOW,
        active_since: None,
        created_at: NOW,
        host_ports: Vec::new(),
    })];
    records.extend(["db", "web", "log-scraper"].map(|container| {
        Record::Task(TaskRecord {
            run,
            container: container.to_owned(),
            state: TaskState::Staging,
            since: NOW,
            staged_at: NOW,
            started_at: None,
            reason: None,
            message: String::new(),
            exit: None,
            healthy: None,
        })
    }));
    records
}

fn print_times(name: &str, mut times: Vec<f64>) {
    let sum: f64 = times.iter().sum();
    times.sort_by(f64::total_cmp);
    let at = |percent| times[(times.len() - 1) * percent / 100];
    println!(
        "{name:12} {:6.0} commits/s   median {:.3}  p90 {:.3}  p99 {:.3}  max {:.3}",
        1000.0 * f64::from(TURNS) / sum,
        at(50),
        at(90),
        at(99),
        at(100),
    );
}

async fn measure(
    store: &Store,
    pod: &PodId,
    name: &str,
    durability: impl Fn(u32) -> Durability,
) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    let mut checkpoints = Vec::new();
    for number in 0..TURNS {
        let records = launch(pod, number);
        let start = Instant::now();
        store.commit(&records, durability(number)).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        if store.wal_size_bytes()? > WAL_LIMIT_BYTES {
            let start = Instant::now();
            store.checkpoint().await?;
            checkpoints.push(start.elapsed().as_secs_f64() * 1000.0);
        }
    }
    print_times(name, times);
    println!("{:12} checkpoints, ms: {checkpoints:.1?}", "");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1);
    let directory = directory.map_or_else(|| PathBuf::from("."), PathBuf::from);
    let scratch = tempfile::Builder::new()
        .prefix("commit-speed")
        .tempdir_in(directory)?;
    let path = scratch.path().join("monopod.db");
    let start = Instant::now();
    let store = Store::open(&path).await?;
    println!("made in {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);

    let pod = PodId::parse("/shop/web")?;
    let definition = serde_json::json!({
        "id": "/shop/web",
        "containers": [{"name": "c", "resources": {"cpus": 0.1, "mem": 32}}],
    });
    let version = PodVersionRecord {
        pod: pod.clone(),
        version: NOW,
        definition: Arc::new(serde_json::from_value(definition)?),
    };
    let row = PodRecord {
        id: pod.clone(),
        version: NOW,
        last_config_change: NOW,
        removing: false,
    };
    let records = [Record::PodVersion(version), Record::Pod(row)];
    store.commit(&records, Durability::Full).await?;

    for _ in 0..2 {
        measure(&store, &pod, "full", |_| Durability::Full).await?;
        measure(&store, &pod, "normal", |_| Durability::Normal).await?;
        measure(&store, &pod, "alternating", |number| match number % 2 {
            0 => Durability::Full,
            _ => Durability::Normal,
        })
        .await?;
    }

    store.close().await?;
    let start = Instant::now();
    let store = Store::open(&path).await?;
    let opened = start.elapsed();
    let saved = store.load().await?;
    println!(
        "opened in {:.1} ms, {} tasks loaded in {:.1} ms",
        opened.as_secs_f64() * 1000.0,
        saved.tasks.len(),
        (start.elapsed() - opened).as_secs_f64() * 1000.0,
    );
    let memory = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let memory: Vec<_> = memory
        .lines()
        .filter(|line| line.starts_with("Pss"))
        .collect();
    println!("{memory:?}");
    store.close().await?;
    Ok(())
}
