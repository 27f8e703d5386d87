//! Which instances go first when there are too many (marathon: `core/deployment/ScalingProposition.scala`).

use model::{pod::KillSelection, state::Condition, time::Timestamp};
use uuid::Uuid;

use crate::instance::Instance;

/// Instances in the order in which they are given up: waiting ones and those that ended failed, those that are not
/// ready, then by `selection`. Last those that ended well: of so many runs as are wanted these are done.
///
/// Marathon gives up waiting instances last and does not look at health; both is corrected here.
pub(crate) fn in_order<'a>(
    instances: impl Iterator<Item = &'a Instance>,
    selection: KillSelection,
) -> Vec<Uuid> {
    let mut keyed: Vec<_> = instances
        .map(|instance| (key(instance, selection), instance.uuid()))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, uuid)| uuid).collect()
}

/// Class, then age in the sense of the selection.
fn key(instance: &Instance, selection: KillSelection) -> (u8, i64) {
    let class = if instance.is_over() && instance.has_succeeded() {
        5
    } else if !instance.record.run_open {
        0
    } else if !instance.is_ready() {
        match instance.record.condition {
            Condition::Starting => 2,
            Condition::Running => 3,
            Condition::Scheduled
            | Condition::Provisioned
            | Condition::Staging
            | Condition::Killing
            | Condition::Finished
            | Condition::Failed
            | Condition::Killed
            | Condition::Error
            | Condition::Gone
            | Condition::Dropped => 1,
        }
    } else {
        4
    };
    let since: Timestamp = instance
        .record
        .active_since
        .unwrap_or(instance.record.since);
    let age = match selection {
        KillSelection::YoungestFirst => -since.as_millis(),
        KillSelection::OldestFirst => since.as_millis(),
    };
    (class, age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    #[test]
    fn waiting_then_unready_then_by_age() {
        // uuid, condition, run open, active since
        let instances = [
            instance(1, Condition::Running, true, Some(10)),
            instance(2, Condition::Running, true, Some(20)),
            instance(3, Condition::Scheduled, false, None),
            instance(4, Condition::Starting, true, None),
            instance(5, Condition::Staging, true, None),
            instance(6, Condition::Failed, true, Some(5)),
        ];
        let order = |selection| {
            in_order(instances.iter(), selection)
                .into_iter()
                .map(|uuid| uuid.as_u128())
                .collect::<Vec<_>>()
        };
        assert_eq!(order(KillSelection::YoungestFirst), [3, 6, 5, 4, 2, 1]);
        assert_eq!(order(KillSelection::OldestFirst), [3, 5, 6, 4, 1, 2]);
    }
}
