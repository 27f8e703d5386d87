//! The schema of a pod definition and the reader of definitions let the same texts pass.

mod definitions;

use std::{fs, path::Path};

use definitions::any_definition;
use jsonschema::Validator;
use model::pod;
use proptest::{prelude::*, sample::select, test_runner::FileFailurePersistence};
use serde_json::{Value, json};

fn schema() -> Validator {
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&pod::definition_schema())
        .expect("the schema is one")
}

/// What the schema finds wrong, one finding a line.
fn findings(schema: &Validator, document: &Value) -> String {
    let errors = schema.iter_errors(document);
    let lines: Vec<_> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    lines.join("\n")
}

fn is_read(document: &Value) -> bool {
    pod::read(document.to_string().as_bytes()).is_ok()
}

/// Every published definition, by its file's name.
fn published() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the published definitions") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read(&path).expect("a readable file");
            let document = serde_json::from_slice(&text).expect("JSON");
            let name = path.file_name().expect("a file").to_string_lossy();
            found.push((name.into_owned(), document));
        }
    }
    assert!(found.len() > 30, "only {} files", found.len());
    found
}

/// Pointers to every value in the document.
fn places(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => (0..).map(|n: usize| n.to_string()).zip(items).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, child) in children {
        found.extend(places(child).iter().map(|rest| format!("/{name}{rest}")));
    }
    found
}

/// Takes the value out of the document; whether it was a member of an object.
fn remove(document: &mut Value, pointer: &str) -> bool {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return false;
    };
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
    let name = name.replace("~1", "/").replace("~0", "~");
    parent.is_some_and(|parent| parent.remove(&name).is_some())
}

#[test]
fn published_definitions_satisfy_it_exactly_if_they_are_read() {
    let schema = schema();
    for (name, document) in published() {
        let found = findings(&schema, &document);
        assert_eq!(found.is_empty(), is_read(&document), "{name}: {found}");
    }
}

#[test]
fn without_a_member_that_it_requires_nothing_is_read() {
    let schema = schema();
    let (mut kept, mut required) = (0, 0);
    for (name, document) in published() {
        if !is_read(&document) {
            continue;
        }
        for pointer in places(&document) {
            let mut without = document.clone();
            if !remove(&mut without, &pointer) {
                continue;
            }
            let valid = schema.is_valid(&without);
            assert_eq!(valid, is_read(&without), "{name} without {pointer}");
            *(if valid { &mut kept } else { &mut required }) += 1;
        }
    }
    assert!(kept > 100 && required > 100, "{kept} {required}");
}

#[test]
fn it_is_complete_in_itself_and_names_where_editors_find_it() {
    let document = pod::definition_schema();
    let text = document.to_string();
    assert!(!text.contains("components"), "{text}");
    for reference in text.split("\"$ref\":\"").skip(1) {
        let reference = reference.split('"').next().unwrap_or_default();
        let target = reference
            .strip_prefix('#')
            .and_then(|at| document.pointer(at));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    let mut pod = json!({ "$schema": "pod.json", "id": "/a", "containers": [{ "name": "c", "resources": {} }] });
    assert_eq!(findings(&schema(), &pod), "");
    let reading = pod::read(pod.to_string().as_bytes()).expect("a definition");
    assert_eq!(reading.ignored, Vec::<String>::new());
    pod["$schema"] = json!(7);
    assert!(!schema().is_valid(&pod) && !is_read(&pod));
}

#[test]
fn ids_that_are_none_are_none_in_it() {
    let schema = schema();
    let pod = |id| json!({ "id": id, "containers": [{ "name": "c", "resources": {} }] });
    let cases = [
        ("/a", true),
        ("/a/b.c-d/1/", true),
        ("/../a", true),
        ("/restart/a", true),
        ("a", false),
        ("/", false),
        ("", false),
        ("//a", false),
        ("/A", false),
        ("/-a", false),
        ("/a-", false),
        ("/a..b", false),
        ("/a/restart", false),
        ("/a/tasks/", false),
        ("/versions", false),
        ("/a/..", false),
        ("/a//", false),
        ("/a\n", false),
    ];
    for (id, expected) in cases {
        let pod = pod(id);
        assert_eq!(is_read(&pod), expected, "{id:?} is read");
        assert_eq!(schema.is_valid(&pod), expected, "{id:?} is valid");
    }
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
    fn whatever_can_be_read_satisfies_it(definition in any_definition()) {
        let document = json!(definition);
        prop_assert_eq!(findings(&schema(), &document), "");
    }

    #[test]
    fn a_changed_definition_satisfies_it_exactly_if_it_is_read(
        definition in any_definition(),
        place in any::<prop::sample::Index>(),
        value in select(vec![
            json!(null), json!(true), json!(-1), json!(0), json!(1), json!(0.5), json!(1.5), json!(70_000),
            json!(5_000_000_000_u64), json!(""), json!("x"), json!("Not_A-name"), json!("_"), json!([]), json!([""]),
            json!(["x"]), json!([{}]), json!({}), json!({"x": "y"}), json!({"9": ""}), json!({"secret": ""}),
            json!("2024-05-01T10:00:00Z"), json!("unlimited"), json!({"shell": ""}), json!({"argv": []}),
        ]),
    ) {
        let mut document = json!(definition);
        let places = places(&document);
        let pointer = &places[place.index(places.len())];
        if let Some(found) = document.pointer_mut(pointer) {
            *found = value.clone();
        }
        let found = findings(&schema(), &document);
        let read = pod::read(document.to_string().as_bytes());
        prop_assert_eq!(
            found.is_empty(), read.is_ok(),
            "{} = {}: {} / {:?}", pointer, value, found, read.err()
        );
    }
}
