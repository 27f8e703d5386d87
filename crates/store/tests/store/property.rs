//! Property: whatever records come, the store holds what a plain model holds, and a turn whose rows do
//! not fit together leaves nothing.

use model::{record::Record, state::TaskState};
use proptest::{collection::vec, prelude::*, sample::select};
use store::{Durability, Store};

use crate::{
    plain::Plain,
    samples::{
        backoff, deployment, fresh, instance, instance_id, pod, pod_id, removed, run, task,
        termination, time, version,
    },
};

/// What one step of a test does.
#[derive(Clone, Debug)]
enum Step {
    Turn(Vec<Record>, Durability),
    Checkpoint,
    /// Closes and opens, or just drops and opens.
    Reopen {
        orderly: bool,
    },
}

fn record() -> impl Strategy<Value = Record> {
    let pods = 0u8..2;
    let versions = 1i64..4;
    prop_oneof![
        3 => (pods.clone(), versions.clone()).prop_map(|(p, v)| Record::PodVersion(version(p, v))),
        1 => (pods.clone(), versions.clone())
            .prop_map(|(p, v)| Record::PodVersionGone { pod: pod_id(p), version: time(v) }),
        3 => (pods.clone(), versions.clone()).prop_map(|(p, v)| Record::Pod(pod(p, v))),
        1 => pods.clone().prop_map(|p| Record::PodGone(pod_id(p))),
        2 => (pods.clone(), 0i64..3).prop_map(|(p, at)| Record::RemovedPod(removed(p, at))),
        1 => pods.clone().prop_map(|p| Record::RemovedPodGone(pod_id(p))),
        4 => (pods.clone(), 0u8..3, versions.clone())
            .prop_map(|(p, i, v)| Record::Instance(instance(p, i, v))),
        2 => (pods.clone(), 0u8..3).prop_map(|(p, i)| Record::InstanceGone(instance_id(p, i))),
        6 => (0u8..3, 0u32..3, select(vec!["a", "b"]), select(TaskState::ALL))
            .prop_map(|(i, n, c, s)| Record::Task(task(run(i, n), c, s))),
        2 => (0u8..3, pods.clone(), versions.clone())
            .prop_map(|(d, p, v)| Record::Deployment(deployment(d, p, v))),
        1 => (0u8..3, pods.clone())
            .prop_map(|(d, p)| Record::DeploymentGone(deployment(d, p, 1).id)),
        2 => (pods.clone(), versions, 0u64..9).prop_map(|(p, v, d)| Record::Backoff(backoff(p, v, d))),
        1 => pods.clone().prop_map(|p| Record::BackoffGone(pod_id(p))),
        2 => (pods, 0u8..3, 0u32..9).prop_map(|(p, i, n)| Record::Termination(termination(p, i, n))),
        3 => (0u8..3, 0u32..3, 0u64..99)
            .prop_map(|(i, n, sequence)| Record::Applied { run: run(i, n), sequence }),
        1 => (0u8..3, 0u32..3).prop_map(|(i, n)| Record::RunForgotten(run(i, n))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let durability = prop_oneof![4 => Just(Durability::Normal), 1 => Just(Durability::Full)];
    prop_oneof![
        12 => (vec(record(), 0..7), durability).prop_map(|(records, d)| Step::Turn(records, d)),
        1 => Just(Step::Checkpoint),
        1 => any::<bool>().prop_map(|orderly| Step::Reopen { orderly }),
    ]
}

/// Rows to which most random records fit.
fn foundation() -> Vec<Record> {
    let mut records = Vec::new();
    for p in 0..2 {
        records.extend((1..4).map(|v| Record::PodVersion(version(p, v))));
        records.push(Record::Pod(pod(p, 1)));
    }
    records.extend((0..3).map(|i| Record::Instance(instance(i % 2, i, 1))));
    records
}

async fn check(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (_directory, path) = fresh();
    let mut store = Store::open(&path).await.unwrap();
    let mut plain = Plain::default();
    let foundation = Step::Turn(foundation(), Durability::Normal);
    let end = Step::Reopen { orderly: true };
    for step in [foundation].into_iter().chain(steps).chain([end]) {
        match step {
            Step::Turn(records, durability) => {
                let mut next = plain.clone();
                records
                    .iter()
                    .cloned()
                    .for_each(|record| next.apply(record));
                let fits = next.is_consistent();
                let result = store.commit(&records, durability).await;
                prop_assert_eq!(result.is_ok(), fits, "{:?}", result);
                if fits {
                    plain = next;
                }
            }
            Step::Checkpoint => {
                let checkpoint = store.checkpoint().await.unwrap();
                prop_assert_eq!(checkpoint.pages, checkpoint.copied);
            }
            Step::Reopen { orderly } => {
                if orderly {
                    store.close().await.unwrap();
                }
                drop(store);
                store = Store::open(&path).await.unwrap();
            }
        }
        prop_assert_eq!(store.load().await.unwrap(), plain.saved());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn holds_what_a_plain_model_holds(steps in vec(step(), 0..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps))?;
    }
}
