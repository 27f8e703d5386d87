//! The write-ahead log: commits leave it alone, checkpoints empty it.

use model::record::Record;
use store::{Durability, WAL_LIMIT_BYTES};

use crate::samples::{backoff, fresh_store, pod_id, version};

#[tokio::test]
async fn a_checkpoint_lets_the_log_begin_again() {
    let (_directory, store) = fresh_store().await;
    let mut last = 0;
    // Rows that are already as told write nothing, so each turn brings new ones.
    while store.wal_size_bytes().unwrap() <= WAL_LIMIT_BYTES {
        let records: Vec<_> = (last + 1..=last + 200)
            .map(|v| Record::PodVersion(version(0, v)))
            .collect();
        store.commit(&records, Durability::Normal).await.unwrap();
        last += 200;
    }
    let checkpoint = store.checkpoint().await.unwrap();
    assert!(
        checkpoint.pages > 0 && checkpoint.pages == checkpoint.copied,
        "{checkpoint:?}"
    );
    let record = Record::Backoff(backoff(0, 1, 1));
    store.commit(&[record], Durability::Normal).await.unwrap();
    assert_eq!(store.wal_size_bytes().unwrap(), WAL_LIMIT_BYTES);
    let next = store.checkpoint().await.unwrap();
    assert!(next.pages < 10, "the log went on where it was: {next:?}");
    let count = store.versions(&pod_id(0)).await.unwrap().len();
    assert_eq!(i64::try_from(count).unwrap(), last);
}

#[tokio::test]
async fn checkpoints_and_reads_go_beside_commits() {
    let (_directory, store) = fresh_store().await;
    for n in 1..50 {
        let records = [Record::PodVersion(version(0, n))];
        let (commit, checkpoint, versions) = tokio::join!(
            store.commit(&records, Durability::Normal),
            store.checkpoint(),
            async { store.versions(&pod_id(0)).await },
        );
        commit.unwrap();
        checkpoint.unwrap();
        let seen = i64::try_from(versions.unwrap().len()).unwrap();
        assert!(seen == n || seen == n - 1, "{seen} of {n}");
    }
}

#[tokio::test]
async fn counts_what_it_commits() {
    let (_directory, store) = fresh_store().await;
    let records = [1, 2].map(|v| Record::PodVersion(version(0, v)));
    for durability in [Durability::Full, Durability::Normal, Durability::Normal] {
        store.commit(&records, durability).await.unwrap();
    }
    store.commit(&[], Durability::Full).await.unwrap();
    let counters = store.counters().await;
    assert_eq!((counters.full_commits, counters.normal_commits), (1, 2));
    assert_eq!(counters.records, 6);
}
