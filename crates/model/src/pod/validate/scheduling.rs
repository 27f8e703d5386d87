//! Rules of scheduling, constraints and roles (marathon:
//! `src/main/scala/mesosphere/marathon/api/v2/validation/SchedulingValidation.scala`).

use regex::Regex;

use crate::pod::{
    BackoffStrategy, Constraint, ConstraintOperator, PodDefinition, Settings, UpgradeStrategy,
    Violations,
};

/// Checks the pod's scheduling and its roles.
pub(super) fn check(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    let scheduling = &definition.scheduling;
    backoff(&scheduling.backoff, violations);
    upgrade(&scheduling.upgrade, violations);
    for (index, constraint) in scheduling.placement.constraints.iter().enumerate() {
        if let Err(error) = self::constraint(constraint) {
            let path = format!("/scheduling/placement/constraints({index})");
            violations.add(&path, error);
        }
    }
    role(definition, settings, violations);
    accepted_roles(definition, settings, violations);
}

fn backoff(backoff: &BackoffStrategy, violations: &mut Violations) {
    let factor = backoff.backoff_factor;
    violations.require(
        factor >= 0.0 && factor.is_finite(),
        "/scheduling/backoff/backoffFactor",
        format!("got {factor:?}, expected 0.0 or more"),
    );
}

fn upgrade(upgrade: &UpgradeStrategy, violations: &mut Violations) {
    let fractions = [
        ("minimumHealthCapacity", upgrade.minimum_health_capacity),
        ("maximumOverCapacity", upgrade.maximum_over_capacity),
    ];
    for (name, fraction) in fractions {
        violations.require(
            (0.0..=1.0).contains(&fraction),
            &format!("/scheduling/upgrade/{name}"),
            format!("got {fraction:?}, expected between 0.0 and 1.0"),
        );
    }
}

fn constraint(constraint: &Constraint) -> Result<(), &'static str> {
    let value = constraint.value.as_deref();
    let is_int = |text: &str| text.parse::<i32>().is_ok();
    if constraint.field_name.is_empty() {
        return Err("missing field for constraint declaration");
    }
    let (holds, error) = match constraint.operator {
        ConstraintOperator::Cluster => (true, ""),
        ConstraintOperator::Unique => (value.is_none(), "UNIQUE does not accept a value"),
        ConstraintOperator::GroupBy => (
            value.is_none_or(is_int),
            "GROUP BY must define an integer value or else no value at all",
        ),
        ConstraintOperator::MaxPer => (
            value.is_some_and(is_int),
            "MAX_PER requires an integer value",
        ),
        ConstraintOperator::Like | ConstraintOperator::Unlike => match value {
            None => (
                false,
                "LIKE and UNLIKE require a non-empty, regular expression value",
            ),
            Some(pattern) => (
                Regex::new(pattern).is_ok(),
                "is not a valid regular expression",
            ),
        },
        ConstraintOperator::Is => (
            value.is_none_or(is_mesos_literal),
            "IS only supports Mesos text and float values (see \
             http://mesos.apache.org/documentation/latest/attributes-resources/)",
        ),
    };
    if holds { Ok(()) } else { Err(error) }
}

/// `^[a-zA-Z0-9_/.-]*$`
fn is_mesos_literal(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_/.-".contains(&byte))
}

/// The roles a pod may have: the server's, and that of its top-level group.
fn role(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    let Some(role) = &definition.role else { return };
    let mut roles = vec![settings.default_role.as_str()];
    let path = definition.id.as_str().trim_start_matches('/');
    if let Some((group, _)) = path.split_once('/')
        && group != settings.default_role
    {
        roles.push(group);
    }
    violations.require(
        roles.contains(&role.as_str()),
        "/role",
        format!("got {role}, expected one of: [{}]", roles.join(", ")),
    );
}

fn accepted_roles(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    let role = definition.role.as_ref().unwrap_or(&settings.default_role);
    let only = if role == "*" {
        "*".to_owned()
    } else {
        format!("* and {role}")
    };
    let mut accepted = definition
        .scheduling
        .placement
        .accepted_resource_roles
        .iter();
    violations.require(
        accepted.all(|accepted| accepted == "*" || accepted == role),
        "/acceptedResourceRoles",
        format!("acceptedResourceRoles can only contain {only}"),
    );
}
