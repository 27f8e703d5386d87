//! Rules of environments (marathon:
//! `src/main/scala/mesosphere/marathon/api/v2/validation/EnvVarValidation.scala`).

use std::collections::BTreeMap;

use crate::pod::{EnvironmentValue, Feature, PodDefinition, Settings, Violations};

/// Checks the pod's environment and those of its containers.
pub(super) fn check(definition: &PodDefinition, settings: &Settings, violations: &mut Violations) {
    let containers = definition.containers.iter().enumerate();
    let containers = containers
        .map(|(index, container)| (format!("/containers({index})"), &container.environment));
    let pod = (String::new(), &definition.environment);
    for (parent, environment) in std::iter::once(pod).chain(containers) {
        let path = format!("{parent}/environment");
        feature(environment, &path, settings, violations);
        for (name, value) in environment {
            let path = format!("{path}/{name}");
            self::value(value, &path, definition, violations);
        }
    }
}

fn feature(
    environment: &BTreeMap<String, EnvironmentValue>,
    path: &str,
    settings: &Settings,
    violations: &mut Violations,
) {
    let is_secret = |value: &EnvironmentValue| matches!(value, EnvironmentValue::Secret { .. });
    violations.require(
        settings.features.contains(&Feature::Secrets) || !environment.values().any(is_secret),
        path,
        "use of secret-references in the environment requires the secrets feature to be enabled",
    );
}

fn value(
    value: &EnvironmentValue,
    path: &str,
    definition: &PodDefinition,
    violations: &mut Violations,
) {
    match value {
        EnvironmentValue::Text(text) => super::no_nul(text, path, violations),
        EnvironmentValue::Secret { secret } => violations.require(
            definition.secrets.contains_key(secret),
            &format!("{path}/secret"),
            "references an undefined secret",
        ),
    }
}
