//! Reads the member `scheduling` (marathon: `docs/docs/rest-api/public/api/v2/types/pod.raml`).

use super::{
    any_text,
    place::{Members, Place},
};
use crate::{
    pod::{
        BackoffStrategy, Constraint, ConstraintOperator, KillSelection, Placement, RestartPolicy,
        Scheduling, UnreachableStrategy, UpgradeStrategy,
    },
    resources::milli_from_decimal,
};

/// A pod's scheduling. What is absent depends on whether the pod is `resident`, that is, has persistent
/// volumes: only here is it still known to be absent.
pub(super) fn of_pod(pod: &Members<'_>, resident: bool) -> Scheduling {
    pod.optional("scheduling", |place| scheduling(place, resident))
        .unwrap_or_else(|| defaults(resident))
}

fn defaults(resident: bool) -> Scheduling {
    if !resident {
        return Scheduling::default();
    }
    Scheduling {
        upgrade: UpgradeStrategy {
            minimum_health_capacity: 0.5,
            maximum_over_capacity: 0.0,
        },
        unreachable_strategy: UnreachableStrategy::Disabled,
        ..Scheduling::default()
    }
}

fn scheduling(place: &Place<'_>, resident: bool) -> Option<Scheduling> {
    const KILL_SELECTIONS: [(&str, KillSelection); 2] = [
        ("YOUNGEST_FIRST", KillSelection::YoungestFirst),
        ("OLDEST_FIRST", KillSelection::OldestFirst),
    ];
    const RESTART_POLICIES: [(&str, RestartPolicy); 3] = [
        ("ALWAYS", RestartPolicy::Always),
        ("ON_FAILURE", RestartPolicy::OnFailure),
        ("NEVER", RestartPolicy::Never),
    ];
    let absent = defaults(resident);
    place.object(|members| {
        Some(Scheduling {
            backoff: members
                .optional("backoff", backoff)
                .unwrap_or(absent.backoff),
            upgrade: members
                .optional("upgrade", upgrade)
                .unwrap_or(absent.upgrade),
            placement: members
                .optional("placement", placement)
                .unwrap_or(absent.placement),
            kill_selection: members
                .optional("killSelection", |place| place.literal(&KILL_SELECTIONS))
                .unwrap_or(absent.kill_selection),
            unreachable_strategy: members
                .optional("unreachableStrategy", unreachable_strategy)
                .unwrap_or(absent.unreachable_strategy),
            restart_policy: members
                .optional("restartPolicy", |place| place.literal(&RESTART_POLICIES))
                .unwrap_or(absent.restart_policy),
        })
    })
}

fn backoff(place: &Place<'_>) -> Option<BackoffStrategy> {
    let absent = BackoffStrategy::default();
    let seconds = |place: &Place<'_>| place.amount(0.0, milli_from_decimal);
    place.object(|members| {
        Some(BackoffStrategy {
            backoff_ms: members
                .optional("backoff", seconds)
                .unwrap_or(absent.backoff_ms),
            backoff_factor: members
                .optional("backoffFactor", |place| place.decimal(0.0..=f64::MAX))
                .unwrap_or(absent.backoff_factor),
            max_launch_delay_ms: members
                .optional("maxLaunchDelay", seconds)
                .unwrap_or(absent.max_launch_delay_ms),
        })
    })
}

fn upgrade(place: &Place<'_>) -> Option<UpgradeStrategy> {
    let absent = UpgradeStrategy::default();
    let fraction = |place: &Place<'_>| place.decimal(0.0..=1.0);
    place.object(|members| {
        Some(UpgradeStrategy {
            minimum_health_capacity: members
                .optional("minimumHealthCapacity", fraction)
                .unwrap_or(absent.minimum_health_capacity),
            maximum_over_capacity: members
                .optional("maximumOverCapacity", fraction)
                .unwrap_or(absent.maximum_over_capacity),
        })
    })
}

fn placement(place: &Place<'_>) -> Option<Placement> {
    place.object(|members| {
        Some(Placement {
            constraints: constraints(members),
            accepted_resource_roles: members.list("acceptedResourceRoles", any_text),
        })
    })
}

/// A set: what is said twice counts once.
pub(super) fn constraints(members: &Members<'_>) -> Vec<Constraint> {
    let mut constraints = Vec::new();
    for constraint in members.list("constraints", constraint) {
        if !constraints.contains(&constraint) {
            constraints.push(constraint);
        }
    }
    constraints
}

fn constraint(place: &Place<'_>) -> Option<Constraint> {
    const OPERATORS: [(&str, ConstraintOperator); 7] = [
        ("UNIQUE", ConstraintOperator::Unique),
        ("CLUSTER", ConstraintOperator::Cluster),
        ("GROUP_BY", ConstraintOperator::GroupBy),
        ("LIKE", ConstraintOperator::Like),
        ("UNLIKE", ConstraintOperator::Unlike),
        ("MAX_PER", ConstraintOperator::MaxPer),
        ("IS", ConstraintOperator::Is),
    ];
    place.object(|members| {
        let field_name = members.required("fieldName", any_text);
        let operator = members.required("operator", |place| place.literal(&OPERATORS));
        let value = members.optional("value", any_text);
        Some(Constraint {
            field_name: field_name?,
            operator: operator?,
            value,
        })
    })
}

/// Any text disables it, as in Marathon.
fn unreachable_strategy(place: &Place<'_>) -> Option<UnreachableStrategy> {
    if place.as_text().is_some() {
        return Some(UnreachableStrategy::Disabled);
    }
    let seconds = |place: &Place<'_>| place.integer(0..=i64::MAX);
    place.object(|members| {
        let inactive = members.optional("inactiveAfterSeconds", seconds);
        let expunge = members.optional("expungeAfterSeconds", seconds);
        Some(UnreachableStrategy::Enabled {
            inactive_after_seconds: inactive.unwrap_or_default(),
            expunge_after_seconds: expunge.unwrap_or_default(),
        })
    })
}
