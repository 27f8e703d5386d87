//! A process killed in the middle of its commits loses nothing that it was told is stored.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use model::record::Record;
use store::{Durability, Store};

use crate::samples::{backoff, fresh, run, version};

const DATABASE: &str = "STORE_CRASH_DATABASE";

/// Two rows of one turn, which must go together.
fn turn(number: u64) -> [Record; 3] {
    [
        Record::Applied {
            run: run(1, 1),
            sequence: number,
        },
        Record::PodVersion(version(0, i64::try_from(number % 50).unwrap())),
        Record::Backoff(backoff(0, 1, number)),
    ]
}

/// Which turn the database holds whole; 0 if none.
async fn last_turn(store: &Store) -> u64 {
    let saved = store.load().await.unwrap();
    let applied = saved.applied.first().map_or(0, |(_, sequence)| *sequence);
    let delay = saved.backoffs.first().map_or(0, |backoff| backoff.delay_ms);
    assert_eq!(applied, delay, "a turn was torn");
    applied
}

#[tokio::test]
#[ignore = "is the process that the test below starts and kills"]
async fn commits_until_killed() {
    let path = env::var_os(DATABASE).expect("only the test below runs this");
    let store = Store::open(Path::new(&path)).await.unwrap();
    let mut number = last_turn(&store).await;
    loop {
        number += 1;
        let records = turn(number);
        let checkpoint = async {
            if number.is_multiple_of(8) {
                store.checkpoint().await.unwrap();
            }
        };
        let (result, ()) = tokio::join!(store.commit(&records, Durability::Full), checkpoint);
        result.unwrap();
        println!("acknowledged {number}");
    }
}

/// Lets a child commit until it acknowledged `turns` more, kills it, and returns the last acknowledged.
fn run_and_kill(path: &Path, turns: usize) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "crash::commits_until_killed",
            "--nocapture",
        ])
        .env(DATABASE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.strip_prefix("acknowledged ")?.parse().ok();
    let before = lines
        .by_ref()
        .map(Result::unwrap)
        .filter_map(number)
        .nth(turns);
    child.kill().unwrap();
    child.wait().unwrap();
    let after = lines.map(Result::unwrap).filter_map(number).last();
    after
        .or(before)
        .expect("the child acknowledges its commits")
}

#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged() {
    let (_directory, path) = fresh();
    for turns in [0, 1, 5, 17, 30, 3, 60, 9, 0, 24] {
        let acknowledged = run_and_kill(&path, turns);
        let store = Store::open(&path).await.unwrap();
        let stored = last_turn(&store).await;
        assert!(
            stored == acknowledged || stored == acknowledged + 1,
            "acknowledged {acknowledged}, stored {stored}"
        );
        // Dropped, not closed: the next round finds the log again.
    }
}
