//! What holds of every definition.

mod definitions;

use std::collections::BTreeSet;

use definitions::any_definition;
use model::pod::{self, Feature, PodDefinition, Scaling, Settings};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

fn any_settings() -> impl Strategy<Value = Settings> {
    (
        proptest::option::of("[a-z]{1,4}"),
        "[a-z]{1,4}|\\*",
        any::<bool>(),
    )
        .prop_map(|(default_network_name, default_role, secrets)| Settings {
            default_network_name,
            default_role,
            features: if secrets {
                BTreeSet::from([Feature::Secrets])
            } else {
                BTreeSet::new()
            },
            ..Settings::default()
        })
}

/// Failing cases are kept beside this file, to be tried first ever after.
fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_store_gives_back_what_it_got(definition in any_definition()) {
        let json = serde_json::to_string(&definition).unwrap();
        let back: PodDefinition = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(back, definition);
    }

    #[test]
    fn what_is_written_can_be_read(definition in any_definition()) {
        let json = serde_json::to_vec(&definition).unwrap();
        let reading = pod::read(&json).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(reading.definition, definition);
        prop_assert_eq!(reading.ignored, Vec::<String>::new());
    }

    #[test]
    fn completing_twice_changes_nothing_more(definition in any_definition(), settings in any_settings()) {
        let once = pod::normalise(definition, &settings);
        prop_assert_eq!(pod::normalise(once.clone(), &settings), once.clone());
        prop_assert!(once.version.is_none() && once.role.is_some());
    }

    #[test]
    fn every_definition_can_be_judged(definition in any_definition(), settings in any_settings()) {
        let violations = pod::validate(&definition, &settings);
        for violation in violations.iter().chain(&pod::unsupported(&definition)) {
            prop_assert!(violation.path.starts_with('/') && !violation.errors.is_empty());
        }
    }

    #[test]
    fn a_text_that_is_admitted_is_admitted_again(text in mangled(), settings in any_settings()) {
        if let Ok(reading) = pod::admit(&text, &settings) {
            let json = serde_json::to_vec(&reading.definition).unwrap();
            let again = pod::admit(&json, &settings).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(again.definition, reading.definition);
        }
    }

    #[test]
    fn only_scaling_and_version_do_not_restart(one in any_definition(), other in any_definition()) {
        let scaled = PodDefinition { scaling: other.scaling, version: other.version, ..one.clone() };
        prop_assert!(one.same_but_for_scaling(&scaled));
        prop_assert_eq!(one.is_same(&scaled), one.scaling == other.scaling);
        let changed = PodDefinition { executor_resources: other.executor_resources, ..one.clone() };
        prop_assert_eq!(one.same_but_for_scaling(&changed), one.executor_resources == other.executor_resources);
        let more = Scaling::Fixed { instances: one.scaling.instances() + 1 };
        let more = PodDefinition { scaling: more, ..one.clone() };
        prop_assert!(!one.is_same(&more));
    }
}

/// A definition in which one byte was replaced: some are no JSON, some no definitions, some still good.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    const GOOD: &[u8] = include_bytes!("published/docs22--examples--complete-pod.json");
    (any::<prop::sample::Index>(), 0x20u8..0x7f).prop_map(|(index, byte)| {
        let mut text = GOOD.to_vec();
        text[index.index(GOOD.len())] = byte;
        text
    })
}
