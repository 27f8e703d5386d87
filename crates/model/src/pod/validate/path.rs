//! Paths that lead out of where they should.

use crate::pod::Violations;

/// Refuses NUL characters and components `..`, whether the path is absolute or relative: what is
/// mounted is where its path says, wherever links and working directories lead.
pub(super) fn check(text: &str, path: &str, violations: &mut Violations) {
    super::no_nul(text, path, violations);
    violations.require(
        text.split('/').all(|component| component != ".."),
        path,
        "must not contain '..' as a path component",
    );
}
