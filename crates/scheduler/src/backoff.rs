//! Launch back-off of a pod version (marathon: `core/launchqueue/impl/RateLimiter.scala`).

use std::time::Duration;

use model::{
    id::PodId,
    pod::BackoffStrategy,
    record::BackoffRecord,
    resources::{cpus_decimal, milli_from_decimal},
    state::Condition,
    time::Timestamp,
};

/// Whether a run that came to this adds to the delay.
///
/// `Killed` does not by itself; the caller knows whether somebody asked for the kill.
pub(crate) const fn is_counted(condition: Condition) -> bool {
    match condition {
        Condition::Dropped
        | Condition::Error
        | Condition::Failed
        | Condition::Gone
        | Condition::Finished => true,
        Condition::Scheduled
        | Condition::Provisioned
        | Condition::Staging
        | Condition::Starting
        | Condition::Running
        | Condition::Killing
        | Condition::Killed => false,
    }
}

/// When the delay ends.
pub(crate) fn ends(backoff: &BackoffRecord) -> Timestamp {
    backoff
        .reference
        .after(Duration::from_millis(backoff.delay_ms))
}

/// The back-off after one more failure at `now`. `present` is the one before, if there was any.
pub(crate) fn raise(
    present: Option<&BackoffRecord>,
    strategy: &BackoffStrategy,
    (pod, version): (&PodId, Timestamp),
    now: Timestamp,
) -> BackoffRecord {
    let delay_ms = match present.filter(|backoff| !is_forgotten(backoff, strategy, now)) {
        None => strategy.backoff_ms,
        Some(backoff) => {
            milli_from_decimal(cpus_decimal(backoff.delay_ms) * strategy.backoff_factor)
                .unwrap_or(strategy.max_launch_delay_ms)
        }
    };
    BackoffRecord {
        pod: pod.clone(),
        version,
        delay_ms: delay_ms.min(strategy.max_launch_delay_ms),
        reference: now,
    }
}

/// Whether so long nothing failed that the delay starts anew.
pub(crate) fn is_forgotten(
    backoff: &BackoffRecord,
    strategy: &BackoffStrategy,
    now: Timestamp,
) -> bool {
    now.since(backoff.reference) > Duration::from_millis(strategy.max_launch_delay_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(strategy: &BackoffStrategy, failures: &[i64]) -> Vec<u64> {
        let pod = "/p".parse().unwrap();
        let version = Timestamp::from_millis(0);
        let mut backoff = None;
        let raise_at = |backoff: &mut Option<BackoffRecord>, at: &i64| {
            let at = Timestamp::from_millis(*at);
            let raised = raise(backoff.as_ref(), strategy, (&pod, version), at);
            assert_eq!(
                ends(&raised),
                at.after(Duration::from_millis(raised.delay_ms))
            );
            *backoff = Some(raised.clone());
            raised.delay_ms
        };
        failures
            .iter()
            .map(|at| raise_at(&mut backoff, at))
            .collect()
    }

    #[test]
    fn delays_grow_as_in_marathon() {
        let doubling = BackoffStrategy {
            backoff_ms: 10_000,
            backoff_factor: 2.0,
            max_launch_delay_ms: 30_000,
        };
        assert_eq!(
            delays(&doubling, &[0, 1, 2, 3]),
            [10_000, 20_000, 30_000, 30_000]
        );
        let defaults = BackoffStrategy::default();
        assert_eq!(delays(&defaults, &[0, 1, 2, 3]), [1000, 1150, 1322, 1520]);
        assert_eq!(
            delays(&defaults, &[0, 300_000, 600_001]),
            [1000, 1150, 1000]
        );
        assert_eq!(*delays(&defaults, &[0; 60]).last().unwrap(), 300_000);
    }

    #[test]
    fn finished_counts_and_killed_does_not() {
        let counted: Vec<_> = Condition::ALL
            .iter()
            .copied()
            .filter(|condition| is_counted(*condition))
            .collect();
        assert_eq!(
            counted,
            [
                Condition::Finished,
                Condition::Failed,
                Condition::Error,
                Condition::Gone,
                Condition::Dropped
            ]
        );
    }
}
