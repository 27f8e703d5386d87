//! Every published definition is read, or refused for a reason that is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use model::pod::{self, Feature, PodDefinition, ReadError, Settings};

/// What is expected of a file beyond being read and accepted without remark.
#[derive(Default)]
struct Expected {
    /// Members that mean nothing.
    ignored: &'static [&'static str],
    /// `path: error` of everything wrong, empty if accepted.
    refused: &'static [&'static str],
}

const fn ignored(ignored: &'static [&'static str]) -> Expected {
    Expected {
        ignored,
        refused: &[],
    }
}

const fn refused(refused: &'static [&'static str]) -> Expected {
    Expected {
        ignored: &[],
        refused,
    }
}

/// The newest pages write a name that no Marathon reads.
const NEW_DELAY: Expected = ignored(&["/scheduling/backoff/maxLaunchDelaySeconds"]);
const NO_RESOURCES: Expected = refused(&["/containers(0)/resources: error.path.missing"]);
/// Status documents; the definitions inside have a test of their own.
const NO_DEFINITION: Expected = refused(&["/containers: error.path.missing"]);

fn exceptions() -> BTreeMap<&'static str, Expected> {
    BTreeMap::from([
        ("cli--testdata--good-status", NO_DEFINITION),
        ("ui--fixture--groups-with-pods", NO_DEFINITION),
        ("docs22--examples--complete-pod", NEW_DELAY),
        ("docs22--examples--pod-with-multiple-containers", NEW_DELAY),
        ("docs22--examples--test-pod", NEW_DELAY),
        ("docs22--examples--with-ephemeral-vol", NEW_DELAY),
        ("docs22--using-pods--simplepod2", NEW_DELAY),
        (
            "docs22--use-secrets--developer_pod-with-secrets",
            NO_RESOURCES,
        ),
        ("marathon--secrets--pod-with-secrets", NO_RESOURCES),
        ("marathon--secrets--pod-with-secrets-2", NO_RESOURCES),
        // An interval below the default timeout: Marathon refuses its own example, too.
        (
            "marathon--raml--pod",
            refused(&["/containers(0)/healthCheck/timeoutSeconds: got 20, expected less than 2"]),
        ),
        (
            "marathon--system--private-docker-pod",
            ignored(&["/containers(0)/image/force"]),
        ),
        // Names with capital letters.
        (
            "marathon--system--test-pod",
            refused(&[
                "/containers(0)/name: error.pattern",
                "/containers(1)/name: error.pattern",
            ]),
        ),
    ])
}

fn settings() -> Settings {
    Settings {
        default_network_name: Some("dcos".to_owned()),
        features: BTreeSet::from([Feature::Secrets]),
        ..Settings::default()
    }
}

fn lines(error: &ReadError) -> Vec<String> {
    let violations = error.violations().expect("every file is JSON");
    let lines = violations.iter().flat_map(|violation| {
        let errors = violation.errors.iter();
        errors.map(|error| format!("{}: {error}", violation.path))
    });
    lines.collect()
}

fn check(name: &str, text: &[u8], expected: &Expected) {
    let settings = settings();
    let is_schema = match pod::read(text) {
        Ok(reading) => {
            let definition = pod::normalise(reading.definition, &settings);
            round_trip(name, &definition);
            false
        }
        Err(_) => true,
    };
    match pod::admit(text, &settings) {
        Ok(reading) => {
            assert!(expected.refused.is_empty(), "{name} is accepted");
            assert_eq!(reading.ignored, expected.ignored, "{name}");
        }
        Err(error) => {
            assert_eq!(lines(&error), expected.refused, "{name}");
            let schema = matches!(error, ReadError::Schema { .. });
            assert_eq!(schema, is_schema, "{name}");
        }
    }
}

fn round_trip(name: &str, definition: &PodDefinition) {
    let settings = settings();
    let json = serde_json::to_string(definition).expect("definitions are JSON");
    let stored: PodDefinition = serde_json::from_str(&json).expect("what was written is read");
    assert_eq!(stored, *definition, "{name} from the store");
    let again = pod::read(json.as_bytes()).expect("what was written is read");
    let again_definition = pod::normalise(again.definition, &settings);
    assert_eq!(again_definition, *definition, "{name} read again");
    assert!(again.ignored.is_empty(), "{name}: {:?}", again.ignored);
}

#[test]
fn every_published_file_is_as_expected() {
    let mut exceptions = exceptions();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = exceptions.remove(name).unwrap_or_default();
        check(name, &fs::read(&path).unwrap(), &expected);
        count += 1;
    }
    let unused: Vec<_> = exceptions.keys().collect();
    assert!(unused.is_empty(), "no such files: {unused:?}");
    assert!(count >= 42, "only {count} files");
}

#[test]
fn definitions_inside_status_documents_are_read() {
    let read = |name: &str| -> Value {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published");
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let groups = read("ui--fixture--groups-with-pods.json");
    let pods = groups["pods"].as_array().unwrap().iter();
    let mut specs: Vec<Value> = pods.map(|pod| pod["spec"].clone()).collect();
    specs.push(read("cli--testdata--good-status.json")["spec"].clone());
    assert_eq!(specs.len(), 3);
    for spec in specs {
        let name = spec["id"].to_string();
        // The fixture shows a pod as Marathon 1.4 wrote it.
        let expected = match name.as_str() {
            "\"/podses\"" => refused(&[
                "/containers(0)/endpoints(0)/containerPort: is not allowed when using host-mode networking",
            ]),
            _ => Expected::default(),
        };
        check(&name, spec.to_string().as_bytes(), &expected);
    }
}
