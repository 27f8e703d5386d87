//! The members that say how many instances there are and how they are launched and replaced.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    number,
    schema::{optional_word, word},
};

/// How many instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Scaling {
    /// Always so many.
    Fixed {
        /// 0 or more.
        #[schema(nullable, required = false, maximum = 2147483647, default = 1)]
        instances: u32,
    },
}

impl Default for Scaling {
    fn default() -> Self {
        Self::Fixed { instances: 1 }
    }
}

impl Scaling {
    /// How many instances are wanted.
    pub const fn instances(self) -> u32 {
        match self {
            Self::Fixed { instances } => instances,
        }
    }
}

/// How instances are launched and replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Scheduling {
    /// Delay between launches that fail.
    #[schema(nullable)]
    pub backoff: BackoffStrategy,
    /// How many instances may be missing or surplus during an update.
    #[schema(nullable)]
    pub upgrade: UpgradeStrategy,
    /// Where instances may run.
    #[schema(nullable)]
    pub placement: Placement,
    /// Which instance goes first when there are too many.
    #[schema(schema_with = optional_word::<KillSelection>)]
    pub kill_selection: KillSelection,
    /// What happens to instances that cannot be reached; inert on one host.
    #[schema(nullable)]
    pub unreachable_strategy: UnreachableStrategy,
    /// Whether an instance whose run ended is launched again. Ours, not Marathon's: left out where it is the default.
    #[serde(skip_serializing_if = "RestartPolicy::is_always")]
    #[schema(schema_with = optional_word::<RestartPolicy>)]
    pub restart_policy: RestartPolicy,
}

/// Delay between launches that fail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BackoffStrategy {
    /// First delay: seconds, a decimal number, in JSON; milliseconds in memory.
    #[serde(rename = "backoff", with = "number::seconds")]
    #[schema(nullable, value_type = f64, minimum = 0, default = 1.0)]
    pub backoff_ms: u64,
    /// Each further delay is so many times the one before.
    #[schema(nullable, minimum = 0, default = 1.15)]
    pub backoff_factor: f64,
    /// Longest delay: seconds, a decimal number, in JSON; milliseconds in memory.
    #[serde(rename = "maxLaunchDelay", with = "number::seconds")]
    #[schema(nullable, value_type = f64, minimum = 0, default = 300.0)]
    pub max_launch_delay_ms: u64,
}

impl Default for BackoffStrategy {
    fn default() -> Self {
        Self {
            backoff_ms: 1000,
            backoff_factor: 1.15,
            max_launch_delay_ms: 300_000,
        }
    }
}

/// How many instances may be missing or surplus during an update, as fractions of those wanted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeStrategy {
    /// 0 to 1.
    #[schema(nullable, minimum = 0, maximum = 1)]
    pub minimum_health_capacity: f64,
    /// 0 to 1.
    #[schema(nullable, minimum = 0, maximum = 1)]
    pub maximum_over_capacity: f64,
}

impl Default for UpgradeStrategy {
    fn default() -> Self {
        Self {
            minimum_health_capacity: 1.0,
            maximum_over_capacity: 1.0,
        }
    }
}

/// Where instances may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// All must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable)]
    pub constraints: Vec<Constraint>,
    /// Roles whose resources may be used; all where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(nullable)]
    pub accepted_resource_roles: Vec<String>,
}

/// A placement constraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Constraint {
    /// `hostname` or an agent attribute.
    pub field_name: String,
    /// Operator.
    #[schema(schema_with = word::<ConstraintOperator>)]
    pub operator: ConstraintOperator,
    /// Operand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Operators of constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConstraintOperator {
    /// No two instances on the same value.
    Unique,
    /// All instances on the same value.
    Cluster,
    /// Spread evenly over values.
    GroupBy,
    /// The value matches a regular expression.
    Like,
    /// The value does not match a regular expression.
    Unlike,
    /// At most so many instances on a value.
    MaxPer,
    /// The value is this one.
    Is,
}

/// Which instance goes first when there are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KillSelection {
    /// The one that runs the shortest.
    #[default]
    YoungestFirst,
    /// The one that runs the longest.
    OldestFirst,
}

/// Whether an instance whose run ended is launched again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RestartPolicy {
    /// Whatever it came to: services.
    #[default]
    Always,
    /// Until every container ended with status 0 by itself.
    OnFailure,
    /// Never: what it came to is its result.
    Never,
}

impl RestartPolicy {
    /// Whether it is the default, which is Marathon's only one.
    fn is_always(&self) -> bool {
        *self == Self::Always
    }
}

/// What happens to instances that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UnreachableStrategy {
    /// Replaced and forgotten after these times.
    #[serde(rename_all = "camelCase")]
    Enabled {
        /// Until a replacement is launched.
        inactive_after_seconds: u64,
        /// Until it is forgotten.
        expunge_after_seconds: u64,
    },
    /// Waited for: the text `disabled`.
    #[serde(with = "number::disabled")]
    Disabled,
}

impl Default for UnreachableStrategy {
    fn default() -> Self {
        Self::Enabled {
            inactive_after_seconds: 0,
            expunge_after_seconds: 0,
        }
    }
}
