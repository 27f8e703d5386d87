//! The API as it describes itself, and whether an answer is as described.

use std::{collections::BTreeMap, process::Command, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::{binary, http::Answer};

/// What `monopod openapi` prints.
#[derive(Debug)]
pub struct Document {
    /// The document.
    pub json: Value,
    /// Its paths, those first that say more.
    paths: Vec<String>,
    /// By the names of schemas, and by path, method, status and kind of content.
    validators: BTreeMap<String, Validator>,
}

impl Document {
    /// The document of the binary that is tested.
    ///
    /// # Panics
    /// There is none, or one of its schemas is none.
    pub fn of_binary() -> &'static Self {
        static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
            let output = Command::new(binary::monopod()).arg("openapi").output();
            let output = output.unwrap();
            assert!(output.status.success(), "{output:?}");
            Document::new(serde_json::from_slice(&output.stdout).unwrap())
        });
        &DOCUMENT
    }

    fn new(json: Value) -> Self {
        let mut paths: Vec<_> = json["paths"].as_object().unwrap().keys().cloned().collect();
        paths.sort_by_key(|path| std::cmp::Reverse(literal(path).len()));
        let mut validators = BTreeMap::new();
        let names = json["components"]["schemas"].as_object();
        for name in names.into_iter().flat_map(serde_json::Map::keys) {
            let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
            validators.insert(name.clone(), validator(&json, &reference));
        }
        for (pointer, answer) in answers(&json) {
            let content = answer["content"].as_object().cloned().unwrap_or_default();
            for (kind, content) in content {
                let validator = validator(&json, &content["schema"]);
                validators.insert(format!("{pointer} {kind}"), validator);
            }
        }
        Self {
            json,
            paths,
            validators,
        }
    }

    /// Every operation: its path's template and its method in upper case.
    pub fn operations(&self) -> Vec<(&str, String)> {
        let methods = |path: &String| self.json["paths"][path].as_object().cloned().unwrap();
        let of = |path| {
            let names = methods(path).into_iter().map(|(name, _)| name);
            names
                .filter(|name| name != "servers")
                .map(|name| (path.as_str(), name.to_uppercase()))
                .collect::<Vec<_>>()
        };
        self.paths.iter().flat_map(of).collect()
    }

    /// The template that a request's path follows.
    pub fn template(&self, path: &str) -> Option<&str> {
        let path = path.split('?').next().unwrap_or(path);
        let path = path.strip_prefix("/service/marathon").unwrap_or(path);
        let found = self.paths.iter().find(|template| follows(path, template));
        found.map(String::as_str)
    }

    /// Whether the answer to a request is as described. Answers on paths that are not there, and to methods that they
    /// do not have, are only held against the form of errors.
    ///
    /// # Errors
    /// What is not as described.
    pub fn check(&self, method: &str, path: &str, answer: &Answer) -> Result<(), String> {
        let what = format!("{method} {path}: {}", answer.status);
        let operation = self.template(path).and_then(|template| {
            let operation = self.json["paths"][template].get(method.to_lowercase())?;
            Some((template, operation))
        });
        let Some((template, operation)) = operation else {
            // The last two are said before there is a path: heads that are too large.
            let known = method == "HEAD" || [404, 405, 414, 431].contains(&answer.status);
            return known
                .then_some(())
                .ok_or(format!("{what} is not described"));
        };
        let described = operation["responses"].get(answer.status.to_string());
        let described = described.ok_or(format!("{what} is not described"))?;
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let content = described["content"].as_object();
        if method == "HEAD" || answer.body.is_empty() && content.is_none() {
            return Ok(());
        }
        let pointer = format!(
            "{template} {} {} {kind}",
            method.to_lowercase(),
            answer.status
        );
        let validator = self.validators.get(&pointer);
        let validator = validator.ok_or(format!("{what}: {kind:?} is not described"))?;
        let body = match kind.ends_with("json") {
            true => {
                serde_json::from_str(&answer.body).map_err(|error| format!("{what}: {error}"))?
            }
            false => Value::String(answer.body.clone()),
        };
        find_errors(validator, &body).map_err(|errors| format!("{what}: {errors}"))
    }

    /// Whether the value satisfies the schema of that name.
    ///
    /// # Errors
    /// What is not as described.
    pub fn check_schema(&self, name: &str, value: &Value) -> Result<(), String> {
        let validator = self.validators.get(name);
        find_errors(validator.ok_or(format!("no schema {name}"))?, value)
    }
}

/// For a schema that may refer to those of the document.
fn validator(document: &Value, schema: &Value) -> Validator {
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    jsonschema::draft202012::new(&schema).unwrap()
}

fn find_errors(validator: &Validator, value: &Value) -> Result<(), String> {
    let errors = validator.iter_errors(value);
    let errors: Vec<_> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(format!("{}\n{value:#}", errors.join("\n"))),
    }
}

/// Every described answer, by path, method and status.
fn answers(json: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (path, item) in json["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().cloned();
            for (status, answer) in answers.unwrap_or_default() {
                found.push((format!("{path} {method} {status}"), answer));
            }
        }
    }
    found
}

/// What of a template is no parameter.
fn literal(template: &str) -> String {
    let parts = template.split('{');
    parts
        .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest))
        .collect()
}

/// Whether the path follows the template. A parameter is some text without `::`.
fn follows(path: &str, template: &str) -> bool {
    let Some((before, rest)) = template.split_once('{') else {
        return path.trim_end_matches('/') == template.trim_end_matches('/');
    };
    let Some((_, after)) = rest.split_once('}') else {
        return false;
    };
    let Some(rest) = path.strip_prefix(before) else {
        return false;
    };
    let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.filter(|end| !rest[..*end].contains("::"))
        .any(|end| follows(&rest[end..], after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_template_that_says_most() {
        let paths: serde_json::Map<_, _> =
            ["/p", "/p/::s", "/p/{id}", "/p/{id}::s", "/p/{id}::v/{v}"]
                .iter()
                .map(|path| ((*path).to_owned(), json!({})))
                .collect();
        let document = Document::new(json!({ "paths": paths }));
        let cases = [
            ("/p", Some("/p")),
            ("/p/?x=1", Some("/p")),
            ("/p/a/b", Some("/p/{id}")),
            ("/p//a/b/::s?x", Some("/p/{id}::s")),
            ("/p/::s", Some("/p/::s")),
            ("/service/marathon/p/a::v/1", Some("/p/{id}::v/{v}")),
            ("/p/a::x", None),
            ("/q", None),
        ];
        for (path, expected) in cases {
            assert_eq!(document.template(path), expected, "{path}");
        }
    }
}
