//! The launch queue: which pods wait, and at which stage their last offer failed.

use model::{
    state::Goal,
    status::{ProcessedOffersSummary, QueueDelay, QueueItem, RejectCount},
    time::Timestamp,
};

use super::role;
use crate::{PodView, REJECT_REASONS, WaitReason, backoff};

/// The pod's entry in the launch queue; none if no instance of it waits.
///
/// Its counts are those of one attempt at one offer, which is what the waiting reasons were worked out with.
pub fn queue_item(view: &PodView, now: Timestamp) -> Option<QueueItem> {
    let waiting: Vec<_> = view
        .instances
        .iter()
        .filter(|instance| {
            let record = &instance.record;
            record.goal == Goal::Running && !record.run_open && !instance.is_over()
        })
        .collect();
    let since = waiting.iter().map(|instance| instance.record.since).min()?;
    let left = view.backoff.as_ref().map_or(0, |present| {
        u64::try_from(backoff::ends(present).since(now).as_millis()).unwrap_or(u64::MAX)
    });
    let reason = waiting.iter().find_map(|instance| {
        instance
            .waiting
            .as_ref()
            .and_then(WaitReason::reject_reason)
    });
    let unused = u32::from(reason.is_some());
    let counts = reject_counts(reason);
    Some(QueueItem {
        count: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
        role: role(&view.definition),
        since,
        delay: QueueDelay {
            time_left_seconds: left.div_ceil(1000),
            overdue: left == 0,
        },
        processed_offers_summary: ProcessedOffersSummary {
            processed_offers_count: unused,
            unused_offers_count: unused,
            last_unused_offer_at: reason.map(|_| now),
            last_used_offer_at: None,
            reject_summary_last_offers: counts.clone(),
            reject_summary_launch_attempt: counts,
        },
        pod: view.definition.clone(),
    })
}

/// One offer sifted through all stages until it fails at `reason`.
fn reject_counts(reason: Option<&'static str>) -> Vec<RejectCount> {
    let mut processed = u32::from(reason.is_some());
    let count = |name: &&str| {
        let declined = if reason == Some(*name) { processed } else { 0 };
        let count = RejectCount {
            reason: (*name).to_owned(),
            declined,
            processed,
        };
        processed -= declined;
        count
    };
    REJECT_REASONS.iter().map(count).collect()
}
