//! What differs between two definitions, member by member.

use std::fmt;

use serde_json::Value;

/// One member that differs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// Where it is, such as `containers[web].resources.cpus`.
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Everything that differs, in the order of the members; the version is no difference.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found.retain(|change| change.path != "version");
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let added = right.keys().filter(|name| !left.contains_key(*name));
            for name in left.keys().chain(added) {
                compare(&member(path, name), left.get(name), right.get(name), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right)))
            if are_named(left) && are_named(right) =>
        {
            let added = right
                .iter()
                .filter(|item| find(left, name_of(item)).is_none());
            for item in left.iter().chain(added) {
                let name = name_of(item);
                let path = format!("{path}[{}]", name.unwrap_or_default());
                compare(&path, find(left, name), find(right, name), found);
            }
        }
        (before, after) => found.push(Change {
            path: path.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn member(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Containers, volumes, endpoints and the like are known by their names, wherever they stand.
fn are_named(items: &[Value]) -> bool {
    let mut names: Vec<_> = items.iter().filter_map(name_of).collect();
    names.sort_unstable();
    names.dedup();
    names.len() == items.len()
}

fn name_of(item: &Value) -> Option<&str> {
    item.get("name")?.as_str()
}

fn find<'a>(items: &'a [Value], name: Option<&str>) -> Option<&'a Value> {
    items.iter().find(|item| name_of(item) == name)
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {path}: {after}"),
            (Some(before), None) => write!(f, "- {path}: {before}"),
            (Some(before), Some(after)) => write!(f, "~ {path}: {before} -> {after}"),
            (None, None) => write!(f, "  {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_told_by_path_and_named_items_by_name() {
        let before = json!({
            "id": "/a", "version": "1", "labels": {"x": "1"}, "containers": [
                {"name": "web", "resources": {"cpus": 0.1}, "exec": {"command": {"argv": ["a", "b"]}}},
                {"name": "old"}]
        });
        let after = json!({
            "id": "/a", "version": "2", "environment": {"E": "v"}, "containers": [
                {"name": "new"},
                {"name": "web", "resources": {"cpus": 0.2}, "exec": {"command": {"argv": ["a"]}}}]
        });
        let told: Vec<_> = changes(&before, &after)
            .iter()
            .map(ToString::to_string)
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        - labels: {"x":"1"}
        ~ containers[web].resources.cpus: 0.1 -> 0.2
        ~ containers[web].exec.command.argv: ["a","b"] -> ["a"]
        - containers[old]: {"name":"old"}
        + containers[new]: {"name":"new"}
        + environment: {"E":"v"}
        "#);
        assert_eq!(changes(&before, &before), []);
    }
}
