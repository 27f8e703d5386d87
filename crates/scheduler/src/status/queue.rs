//! The launch queue: which pods wait, and at which stage their last offer failed.

use model::{
    offer::Claim,
    state::Goal,
    status::{
        OfferRange, OfferResource, ProcessedOffersSummary, QueueDelay, QueueItem, RejectCount,
        UnusedOffer, UnusedOfferOffer,
    },
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
        last_unused_offers: None,
        pod: view.definition.clone(),
    })
}

/// The offer that did not serve the pod the last time: this host's free resources, and the stage at which it failed.
pub fn unused_offers(view: &PodView, free: &Claim, now: Timestamp) -> Vec<UnusedOffer> {
    let waiting = view
        .instances
        .iter()
        .filter_map(|instance| instance.waiting.as_ref());
    let reason = waiting.clone().find_map(WaitReason::reject_reason);
    let Some(reason) = reason else {
        return Vec::new();
    };
    let resources = model::status::ResourceStatus::from(free.resources);
    let scalar = |name: &str, value: f64| OfferResource {
        name: name.to_owned(),
        role: "*".to_owned(),
        scalar: Some(value),
        ranges: None,
    };
    let range = |&(begin, end): &(u16, u16)| OfferRange { begin, end };
    let ports = OfferResource {
        name: "ports".to_owned(),
        role: "*".to_owned(),
        scalar: None,
        ranges: Some(free.ports.ranges().iter().map(range).collect()),
    };
    let offer = UnusedOfferOffer {
        id: format!("{}-O0", view.agent.id),
        hostname: view.agent.hostname.clone(),
        agent_id: view.agent.id.clone(),
        resources: vec![
            scalar("cpus", resources.cpus),
            scalar("mem", resources.mem),
            scalar("disk", resources.disk),
            ports,
        ],
        attributes: Vec::new(),
    };
    vec![UnusedOffer {
        offer,
        reason: vec![reason.to_owned()],
        timestamp: now,
    }]
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
