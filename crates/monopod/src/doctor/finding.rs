//! What a check found.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Pods run, but not as well as they could, or not all of them.
    Warn,
    /// Pods do not run, or are in danger.
    Fail,
    /// It could not be looked at.
    Unchecked,
}

impl Verdict {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Ok, Self::Warn, Self::Fail, Self::Unchecked];

    /// For people.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Unchecked => "unchecked",
        }
    }
}

/// What a check found and what to do about it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How bad it is.
    pub(super) verdict: Verdict,
    /// What there is.
    pub(super) found: String,
    /// What to do.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found, None)
    }

    pub(super) fn warn(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, Verdict::Warn, found, Some(remedy.into()))
    }

    pub(super) fn fail(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, Verdict::Fail, found, Some(remedy.into()))
    }

    pub(super) fn unchecked(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unchecked, why, None)
    }

    fn new(
        check: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: Option<String>,
    ) -> Self {
        Self {
            check,
            verdict,
            found: found.into(),
            remedy,
        }
    }
}
