//! The rules that a well-formed definition must obey, with Marathon's paths and texts
//! (marathon: `src/main/scala/mesosphere/marathon/api/v2/validation/PodsValidation.scala`).
//!
//! All are checked; ranges and patterns that belong to the schema are checked when the text is read. Rules
//! of our own: no `..` in paths, no NUL bytes in what reaches the kernel, container users not empty,
//! amounts whose sum can be counted, `check` obeys what `healthCheck` obeys.
//!
//! Left for when they run: the rules of pods with persistent volumes, on adding (unreachable strategy,
//! over-capacity, role) and on updating (volumes, resources and host ports may not change). That no other
//! pod, app or group has the id is for whoever knows them.

mod container;
mod environment;

mod network;
mod path;
mod scheduling;
mod volume;

use std::collections::BTreeSet;

use super::{Feature, LinuxInfo, PodDefinition, Settings, Violations};

const SECRETS_OFF: &str = "Feature secrets is not enabled. Enable with --enable_features secrets)";

/// Checks a definition, best a completed one (see [`super::normalise`]); empty means valid.
#[must_use]
pub fn validate(definition: &PodDefinition, settings: &Settings) -> Violations {
    let mut violations = Violations::default();
    user(definition.user.as_deref(), "", &mut violations);
    environment::check(definition, settings, &mut violations);
    secrets(definition, settings, &mut violations);
    volume::check(definition, settings, &mut violations);
    container::check(definition, settings, &mut violations);
    network::check(definition, settings, &mut violations);
    scheduling::check(definition, settings, &mut violations);
    linux_info(definition.linux_info.as_ref(), &mut violations);
    violations.require(
        definition.instance_resources().is_some(),
        "/",
        "resources of all containers together are too large to be counted",
    );
    violations
}

fn user(user: Option<&str>, parent: &str, violations: &mut Violations) {
    let Some(user) = user else { return };
    let path = format!("{parent}/user");
    violations.require(!user.is_empty(), &path, "must not be empty");
    no_nul(user, &path, violations);
}

fn secrets(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    if definition.secrets.is_empty() {
        return;
    }
    if !settings.features.contains(&Feature::Secrets) {
        violations.add("/secrets", "must be empty");
        violations.add("/secrets", SECRETS_OFF);
    }
    let unnamed = definition.secrets.contains_key("");
    violations.require(!unnamed, "/secrets", "must not be empty");
}

fn linux_info(linux_info: Option<&LinuxInfo>, violations: &mut Violations) {
    let Some(linux_info) = linux_info else { return };
    violations.require(
        linux_info.seccomp.is_none(),
        "/linuxInfo/seccomp",
        "Seccomp configuration on executor level is not supported",
    );
    container::ipc_info(linux_info, "/linuxInfo", violations);
}

/// Texts that end at the first NUL byte wherever the kernel reads them may have none.
fn no_nul(text: &str, path: &str, violations: &mut Violations) {
    violations.require(
        !text.contains('\0'),
        path,
        "must not contain a NUL character",
    );
}

/// Whether no item comes twice.
fn all_differ<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}
