//! The schema of a pod definition: what [`super::read()`] lets pass, as far as a schema can say it.
//!
//! Names, types and defaults come from the definition's own types; here is what they cannot say, since they hold a
//! definition that was read already: patterns, least amounts, unions. `null` counts as absence. Rules between members ([`super::validate()`]) are not in it.

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{Command, Limit, PersistentVolume, PodDefinition, UnreachableStrategy};

/// The JSON Schema (draft 2020-12) of a pod definition, complete in itself, for editors and whoever checks files.
pub fn definition_schema() -> Value {
    let mut defs = Vec::new();
    PodDefinition::schemas(&mut defs);
    let defs: serde_json::Map<_, _> = defs
        .into_iter()
        .map(|(name, schema)| (name, json!(schema)))
        .collect();
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pod definition of monopod",
    });
    let members = document.as_object_mut().expect("an object, just above");
    if let Value::Object(root) = json!(PodDefinition::schema()) {
        members.extend(root);
    }
    members.insert("$defs".to_owned(), defs.into());
    // Editors find the schema by it.
    members["properties"]["$schema"] = json!({ "type": ["string", "null"] });
    point_to_defs(&mut document);
    document
}

/// Lets references that OpenAPI's components hold lead to `$defs`.
fn point_to_defs(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                *reference = reference.replace("#/components/schemas/", "#/$defs/");
            }
            members.values_mut().for_each(point_to_defs);
        }
        Value::Array(items) => items.iter_mut().for_each(point_to_defs),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// One of the words of `T`, whatever their case.
pub(super) fn word<T: PartialSchema>() -> RefOr<Schema> {
    written(spelled::<T>())
}

/// As [`word`], or absent.
pub(super) fn optional_word<T: PartialSchema>() -> RefOr<Schema> {
    let mut schema = spelled::<T>();
    if let Some(Value::Array(ways)) = schema.get_mut("anyOf") {
        ways.push(json!({ "type": "null" }));
    }
    written(schema)
}

/// The words as they are usually written come first, so that editors offer these.
fn spelled<T: PartialSchema>() -> Value {
    let plain = json!(T::schema());
    let words: Vec<_> = plain["enum"].as_array().into_iter().flatten().collect();
    let patterns: Vec<_> = words
        .iter()
        .filter_map(|word| word.as_str().map(any_case))
        .collect();
    json!({
        "description": plain["description"],
        "anyOf": [
            { "type": "string", "enum": words },
            { "type": "string", "pattern": format!("^({})$", patterns.join("|")) },
        ],
    })
}

/// A pattern of the word; it has letters, `_` and `/`.
fn any_case(word: &str) -> String {
    let letter = |c: char| match c.is_ascii_alphabetic() {
        true => format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase()),
        false => c.to_string(),
    };
    word.chars().map(letter).collect()
}

/// A schema that no type says.
fn written(schema: Value) -> RefOr<Schema> {
    serde_json::from_value(schema).expect("a constant, tried by every test that makes the schema")
}

macro_rules! text {
    ($(#[$meta:meta])* $name:ident { $($rule:tt)* }) => {
        $(#[$meta])*
        #[derive(ToSchema)]
        #[schema($($rule)*)]
        #[expect(dead_code, reason = "says what a text may be, and holds none")]
        pub(super) struct $name(String);
    };
}

text! {
    /// Lower case letters, digits and `-`, which may not be at an end.
    Name { min_length = 1, max_length = 63, pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" }
}

text! {
    /// Lower case letters, digits, `-` and `_`, the last two not at an end.
    NetworkName { min_length = 1, max_length = 63, pattern = "^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$" }
}

text! {
    /// A variable's name: letters, digits and `_`, not beginning with a digit.
    VariableName { pattern = "^[a-zA-Z_][a-zA-Z0-9_]{0,253}$" }
}

text! {
    /// A path or a reference.
    PathText { min_length = 1, max_length = 1024 }
}

text! {
    /// Anything but nothing.
    FilledText { min_length = 1 }
}

/// What a container needs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "says what amounts may be, and holds none")]
pub(super) struct ContainerResources {
    /// Cpus.
    #[schema(nullable, required = false, minimum = 0.001, default = 1.0)]
    cpus: f64,
    /// MiB of memory.
    #[schema(nullable, required = false, minimum = 0.001, default = 128.0)]
    mem: f64,
    /// MiB of disk.
    #[schema(nullable, required = false, minimum = 0, default = 0.0)]
    disk: f64,
    /// GPUs.
    #[schema(
        nullable,
        required = false,
        minimum = 0,
        maximum = 2147483647,
        default = 0
    )]
    gpus: u32,
}

/// What the executor needs beside the containers.
#[derive(ToSchema)]
#[schema(as = ExecutorResources)]
#[expect(dead_code, reason = "says what amounts may be, and holds none")]
pub(super) struct ExecutorAmounts {
    /// Cpus.
    #[schema(nullable, required = false, minimum = 0.1, default = 0.1)]
    cpus: f64,
    /// MiB of memory.
    #[schema(nullable, required = false, minimum = 32, default = 32.0)]
    mem: f64,
    /// MiB of disk.
    #[schema(nullable, required = false, minimum = 10, default = 10.0)]
    disk: f64,
}

/// A volume of the pod: a directory that lives as long as the run, unless one of the other members is there.
#[derive(ToSchema)]
#[schema(as = Volume)]
#[expect(dead_code, reason = "says what a volume may be, and holds none")]
pub(super) struct VolumeMembers {
    /// Unique in the pod.
    #[schema(value_type = Name)]
    name: String,
    /// Bound to the instance, survives its relaunches.
    persistent: Option<PersistentVolume>,
    /// A file with the value of this key of the pod's `secrets`.
    #[schema(value_type = Option<FilledText>)]
    secret: Option<String>,
    /// A path of the host; relative ones are below the instance's sandbox.
    #[schema(value_type = Option<FilledText>)]
    host: Option<String>,
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        written(json!({
            "description": "The most that may be used: an amount in the unit of the request, or no limit.",
            "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "pattern": format!("^{}$", any_case("unlimited")), "examples": ["unlimited"] },
            ],
        }))
    }
}

impl ToSchema for Limit {}

impl PartialSchema for Command {
    fn schema() -> RefOr<Schema> {
        let shell =
            json!({ "description": "Run by `/bin/sh -c`.", "type": "string", "minLength": 1 });
        let argv = json!({
            "description": "An argument vector.", "type": "array", "minItems": 1, "items": { "type": "string" },
        });
        written(json!({
            "description": "A command: of two that read the shell's.",
            "anyOf": [
                { "type": "object", "required": ["shell"], "properties": { "shell": shell } },
                { "type": "object", "required": ["argv"], "properties": { "argv": argv } },
            ],
        }))
    }
}

impl ToSchema for Command {}

impl PartialSchema for UnreachableStrategy {
    fn schema() -> RefOr<Schema> {
        let seconds = |description| json!({ "description": description, "type": ["integer", "null"], "minimum": 0, "default": 0 });
        written(json!({
            "description": "What happens to instances that cannot be reached; inert on one host.",
            "anyOf": [
                { "type": "object", "properties": {
                    "inactiveAfterSeconds": seconds("Until a replacement is launched."),
                    "expungeAfterSeconds": seconds("Until it is forgotten."),
                } },
                { "description": "Waited for: `disabled`, which any text reads as.", "type": "string" },
            ],
        }))
    }
}

impl ToSchema for UnreachableStrategy {}
