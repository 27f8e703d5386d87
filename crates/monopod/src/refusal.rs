//! What the daemon's error answers say, as text for a person.

use serde::Deserialize;
use serde_json::Value;

/// An answer of 400 and more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// What it says, perhaps in several lines.
    pub(crate) text: String,
    /// The daemon is not ready yet; nothing was changed.
    pub(crate) is_recovering: bool,
}

/// Marathon's error bodies, all shapes at once.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    message: Option<String>,
    reason: Option<String>,
    details: Value,
    errors: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// One member that breaks rules.
#[derive(Deserialize)]
struct Violation {
    path: String,
    errors: Vec<String>,
}

impl Refusal {
    /// Reads the answer to `request` (method and path).
    pub(crate) fn read(request: &str, status: u16, body: &[u8]) -> Self {
        let body = serde_json::from_slice::<Body>(body).unwrap_or_default();
        let is_recovering = status == 503 && body.reason.as_deref() == Some("recovering");
        let text = body.text();
        let text = text.unwrap_or_else(|| format!("{request} was answered with HTTP {status}"));
        Self {
            status,
            text,
            is_recovering,
        }
    }
}

impl Body {
    fn text(self) -> Option<String> {
        let errors: Vec<_> = self
            .errors
            .into_iter()
            .map(|failure| failure.error)
            .collect();
        let message = self
            .message
            .or_else(|| (!errors.is_empty()).then(|| errors.join("; ")))?;
        Some(match self.details {
            Value::String(details) if !details.is_empty() => format!("{message}: {details}"),
            Value::Array(details) if !details.is_empty() => {
                let mut lines = vec![message];
                lines.extend(details.into_iter().flat_map(violation_lines));
                lines.join("\n")
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => message,
        })
    }
}

/// One line per broken rule: `path: message`.
fn violation_lines(detail: Value) -> Vec<String> {
    match Violation::deserialize(&detail) {
        Ok(violation) => violation
            .errors
            .iter()
            .map(|error| format!("{}: {error}", violation.path))
            .collect(),
        Err(_) => vec![detail.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> String {
        Refusal::read("POST /v2/pods", status, body.as_bytes()).to_string()
    }

    #[test]
    fn every_violation_has_a_line() {
        let body = r#"{"message":"Object is not valid","details":[
            {"path":"/containers(0)/name","errors":["must not be empty","is too short"]},
            {"path":"/","errors":["is not good"]}]}"#;
        insta::assert_snapshot!(read(422, body), @r"
        Object is not valid
        /containers(0)/name: must not be empty
        /containers(0)/name: is too short
        /: is not good
        ");
    }

    #[test]
    fn other_bodies_give_their_message() {
        let cases = [
            (
                400,
                r#"{"message":"Invalid JSON","details":"line 3"}"#,
                "Invalid JSON: line 3",
            ),
            (
                404,
                r#"{"message":"Pod '/x' does not exist","details":[]}"#,
                "Pod '/x' does not exist",
            ),
            (
                409,
                r#"{"message":"A pod with id [/x] already exists."}"#,
                "A pod with id [/x] already exists.",
            ),
            (500, r#"{"errors":[{"error":"a"},{"error":"b"}]}"#, "a; b"),
            (502, "<html>", "POST /v2/pods was answered with HTTP 502"),
            (500, "{}", "POST /v2/pods was answered with HTTP 500"),
        ];
        for (status, body, expected) in cases {
            assert_eq!(read(status, body), expected, "{body}");
        }
    }
}
