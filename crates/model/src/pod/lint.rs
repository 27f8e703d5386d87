//! Advice on definitions that are accepted.

use super::{Reading, Violation, Violations};

/// Longest id, without its leading slash, from which a host name can be made
/// (marathon: `docs/docs/pods.md`).
const MAX_HOST_PATH: usize = 54;

/// What is legal in a definition but hardly meant: members that mean nothing, containers with nothing to
/// run, ids too long for a host name. Never a reason to refuse.
#[must_use]
pub fn lint(reading: &Reading) -> Vec<Violation> {
    let mut advice = Violations::default();
    for path in &reading.ignored {
        advice.add(path, "is no member of a pod definition and is ignored");
    }
    let definition = &reading.definition;
    advice.require(
        definition.id.host_path().len() <= MAX_HOST_PATH,
        "/id",
        format!("is longer than {MAX_HOST_PATH} characters, too long for a host name"),
    );
    for (index, container) in definition.containers.iter().enumerate() {
        advice.require(
            container.exec.is_some() || container.image.is_some(),
            &format!("/containers({index})"),
            "has neither exec nor image and so nothing to run",
        );
    }
    advice.into_vec()
}
