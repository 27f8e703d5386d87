//! What is wrong with a definition, member by member, in the shape in which Marathon answers it.

use std::{collections::BTreeMap, fmt};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use utoipa::ToSchema;

/// One member and everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// The member: `/containers(0)/environment/PATH`; `/` is the whole definition.
    pub path: String,
    /// Marathon's codes or texts, at least one.
    pub errors: Vec<String>,
}

/// Violations grouped by path, in the order in which the paths were first met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    list: Vec<Violation>,
    /// Where in the list each path is: documents with very many faults are told fast, too.
    index: BTreeMap<String, usize>,
}

impl Violations {
    /// Adds one error at `path`; an error said before is not said again.
    pub fn add(&mut self, path: &str, error: impl Into<String>) {
        let error = error.into();
        match self.index.get(path) {
            Some(index) => {
                let errors = &mut self.list[*index].errors;
                if !errors.contains(&error) {
                    errors.push(error);
                }
            }
            None => {
                self.index.insert(path.to_owned(), self.list.len());
                self.list.push(Violation {
                    path: path.to_owned(),
                    errors: vec![error],
                });
            }
        }
    }

    /// Adds `error` at `path` unless `holds`.
    pub(super) fn require(&mut self, holds: bool, path: &str, error: impl Into<String>) {
        if !holds {
            self.add(path, error);
        }
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        for violation in other.list {
            for error in violation.errors {
                self.add(&violation.path, error);
            }
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The violations in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.list.iter()
    }

    /// The violations in order.
    pub fn into_vec(self) -> Vec<Violation> {
        self.list
    }
}

impl Serialize for Violations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Violations {
    /// `/user: must not be empty; /networks: Bridge networks may not have names`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.list.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}{}: {}",
                violation.path,
                violation.errors.join(", ")
            )?;
        }
        Ok(())
    }
}

/// Why a text is refused as a pod definition. Serialised, it is the body of Marathon's answer
/// (marathon: `src/main/scala/mesosphere/marathon/api/MarathonExceptionMapper.scala`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no text.
    #[error("read the pod definition: it is empty")]
    Empty {
        /// What the parser says.
        details: String,
    },
    /// The text is not JSON.
    #[error("read the pod definition as JSON: {details}")]
    Syntax {
        /// What the parser says, with line and column.
        details: String,
    },
    /// Members are missing, or have a wrong type or range.
    #[error("read the pod definition: {violations}")]
    Schema {
        /// Everything wrong, as Marathon's error codes.
        violations: Violations,
    },
    /// The members are well formed but break rules.
    #[error("accept the pod definition: {violations}")]
    Rules {
        /// Everything wrong, as sentences.
        violations: Violations,
    },
}

impl ReadError {
    /// The HTTP status with which Marathon answers it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Empty { .. } | Self::Syntax { .. } => 400,
            Self::Schema { .. } | Self::Rules { .. } => 422,
        }
    }

    /// The `message` member of Marathon's answer.
    pub const fn message(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "Please specify data in JSON format",
            Self::Syntax { .. } | Self::Schema { .. } => "Invalid JSON",
            Self::Rules { .. } => "Object is not valid",
        }
    }

    /// What is wrong with which member; `None` where no member could be read.
    pub const fn violations(&self) -> Option<&Violations> {
        match self {
            Self::Empty { .. } | Self::Syntax { .. } => None,
            Self::Schema { violations } | Self::Rules { violations } => Some(violations),
        }
    }
}

impl Serialize for ReadError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(Some(2))?;
        body.serialize_entry("message", self.message())?;
        match self {
            Self::Empty { details } | Self::Syntax { details } => {
                body.serialize_entry("details", details)?;
            }
            Self::Schema { violations } | Self::Rules { violations } => {
                body.serialize_entry("details", violations)?;
            }
        }
        body.end()
    }
}
