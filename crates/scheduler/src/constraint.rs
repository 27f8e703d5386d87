//! Placement constraints, matched against this host (marathon: `src/main/scala/mesosphere/mesos/Constraints.scala`).

use model::{
    offer::AgentInfo,
    pod::{Constraint, ConstraintOperator},
};
use regex::Regex;

use crate::wait_reason::WaitReason;

/// Checks all constraints; `placed` tells how many instances of the same pod hold a place on this host.
///
/// On one host every placed instance has the same value of every field, so spreading (`GROUP_BY`) and
/// clustering without a value always hold once the field exists.
///
/// # Errors
/// The first constraint that does not hold.
pub(crate) fn check(
    constraints: &[Constraint],
    agent: &AgentInfo,
    placed: usize,
) -> Result<(), WaitReason> {
    constraints
        .iter()
        .try_for_each(|constraint| check_one(constraint, agent, placed))
}

fn check_one(constraint: &Constraint, agent: &AgentInfo, placed: usize) -> Result<(), WaitReason> {
    let Some(found) = field(constraint, agent) else {
        return match constraint.operator {
            ConstraintOperator::Unlike => Ok(()),
            ConstraintOperator::Unique
            | ConstraintOperator::Cluster
            | ConstraintOperator::GroupBy
            | ConstraintOperator::Like
            | ConstraintOperator::MaxPer
            | ConstraintOperator::Is => Err(unplaceable(constraint, None)),
        };
    };
    let value = constraint.value.as_deref();
    let holds = match constraint.operator {
        ConstraintOperator::Unique => return crowded(constraint, 1, placed),
        ConstraintOperator::MaxPer => {
            let allowed = value
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0);
            return crowded(constraint, allowed, placed);
        }
        ConstraintOperator::GroupBy => true,
        ConstraintOperator::Cluster => value.is_none_or(|value| value.is_empty() || value == found),
        ConstraintOperator::Like => matches_whole(value, found),
        ConstraintOperator::Unlike => !matches_whole(value, found),
        ConstraintOperator::Is => value.is_some_and(|value| is_same_value(value, found)),
    };
    if holds {
        Ok(())
    } else {
        Err(unplaceable(constraint, Some(found)))
    }
}

fn field<'a>(constraint: &Constraint, agent: &'a AgentInfo) -> Option<&'a str> {
    match constraint.field_name.as_str() {
        "hostname" | "@hostname" => Some(&agent.hostname),
        name => agent.attributes.get(name).map(String::as_str),
    }
}

fn crowded(constraint: &Constraint, allowed: u32, placed: usize) -> Result<(), WaitReason> {
    if usize::try_from(allowed).is_ok_and(|allowed| placed < allowed) {
        return Ok(());
    }
    Err(WaitReason::Crowded {
        constraint: text(constraint),
        allowed,
    })
}

fn unplaceable(constraint: &Constraint, found: Option<&str>) -> WaitReason {
    let name = &constraint.field_name;
    let found = found.map_or_else(
        || format!("the agent has no attribute {name}"),
        |found| format!("{name} is {found}"),
    );
    WaitReason::Unplaceable {
        constraint: text(constraint),
        found,
    }
}

fn text(constraint: &Constraint) -> String {
    let operator = match constraint.operator {
        ConstraintOperator::Unique => "UNIQUE",
        ConstraintOperator::Cluster => "CLUSTER",
        ConstraintOperator::GroupBy => "GROUP_BY",
        ConstraintOperator::Like => "LIKE",
        ConstraintOperator::Unlike => "UNLIKE",
        ConstraintOperator::MaxPer => "MAX_PER",
        ConstraintOperator::Is => "IS",
    };
    let value = constraint.value.as_deref().unwrap_or_default();
    format!("{} {operator} {value}", constraint.field_name)
        .trim_end()
        .to_owned()
}

/// Whether the expression matches all of `found`; one that cannot be compiled matches nothing.
fn matches_whole(expression: Option<&str>, found: &str) -> bool {
    expression
        .and_then(|expression| Regex::new(&format!("^(?:{expression})$")).ok())
        .is_some_and(|regex| regex.is_match(found))
}

/// Equal as text, or both numbers and equal in thousandths.
fn is_same_value(wanted: &str, found: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    wanted == found
        || matches!((number(wanted), number(found)), (Some(a), Some(b)) if (a - b).abs() < 0.0005)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_hold_as_in_marathon() {
        use ConstraintOperator as Op;
        let agent = AgentInfo {
            id: "a".to_owned(),
            hostname: "node1".to_owned(),
            attributes: [
                ("rack".to_owned(), "r1".to_owned()),
                ("size".to_owned(), "2.5".to_owned()),
            ]
            .into(),
        };
        let cases = [
            ("hostname", Op::Unique, None, 0, true),
            ("hostname", Op::Unique, None, 1, false),
            ("@hostname", Op::MaxPer, Some("2"), 1, true),
            ("hostname", Op::MaxPer, Some("2"), 2, false),
            ("hostname", Op::Cluster, Some("node1"), 3, true),
            ("hostname", Op::Cluster, Some("node2"), 0, false),
            ("rack", Op::Cluster, None, 3, true),
            ("rack", Op::GroupBy, Some("3"), 9, true),
            ("rack", Op::Like, Some("r[0-9]"), 0, true),
            ("rack", Op::Like, Some("r"), 0, false),
            ("rack", Op::Unlike, Some("r[0-9]"), 0, false),
            ("rack", Op::Unlike, Some("x|r"), 0, true),
            ("rack", Op::Is, Some("r1"), 0, true),
            ("size", Op::Is, Some("2.500"), 0, true),
            ("size", Op::Is, Some("2.6"), 0, false),
            ("zone", Op::Unlike, Some("z"), 0, true),
            ("zone", Op::Unique, None, 0, false),
            ("rack", Op::Like, Some("("), 0, false),
        ];
        for (name, operator, value, placed, holds) in cases {
            let constraint = Constraint {
                field_name: name.to_owned(),
                operator,
                value: value.map(str::to_owned),
            };
            let checked = check(std::slice::from_ref(&constraint), &agent, placed);
            assert_eq!(
                checked.is_ok(),
                holds,
                "{constraint:?} with {placed} placed"
            );
        }
    }

    #[test]
    fn failures_name_constraint_and_host() {
        let agent = AgentInfo {
            id: String::new(),
            hostname: "node1".to_owned(),
            attributes: [].into(),
        };
        let constraint = |field: &str, operator, value: &str| Constraint {
            field_name: field.to_owned(),
            operator,
            value: Some(value.to_owned()),
        };
        let like = constraint("hostname", ConstraintOperator::Like, "db.*");
        assert_eq!(
            check(&[like], &agent, 0).unwrap_err().to_string(),
            "constraint hostname LIKE db.* does not hold here: hostname is node1; it can never fit"
        );
        let max = constraint("hostname", ConstraintOperator::MaxPer, "2");
        assert_eq!(
            check(&[max], &agent, 2).unwrap_err().to_string(),
            "constraint hostname MAX_PER 2 allows 2 instances on this host"
        );
    }
}
