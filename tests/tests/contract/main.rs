//! Marathon's contract for pods, check by check, over HTTP against the real daemon.
//!
//! The checks and their numbers are listed in `docs/marathon-compatibility.md`, with those that cannot hold yet.
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

mod definition;
mod deployments;
mod http;
mod life_cycle;
mod neighbours;
mod normalisation;
mod placement;
mod status;

use e2e::{host::Host, http::Answer};
use serde_json::{Value, json};

/// The simplest pod: one container that sleeps, in the host's network.
fn simple(id: &str) -> Value {
    json!({
        "id": id,
        "containers": [sleeper("c")],
        "networks": [{ "mode": "host" }],
    })
}

fn sleeper(name: &str) -> Value {
    json!({
        "name": name,
        "exec": { "command": { "shell": "exec sleep 1000" } },
        "resources": { "cpus": 0.1, "mem": 32 },
        "lifecycle": { "killGracePeriodSeconds": 1 },
    })
}

/// The document with the member that a JSON pointer names set; members on the way are made.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let mut place = &mut document;
    for step in pointer.trim_start_matches('/').split('/') {
        place = match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[step],
        };
    }
    *place = value;
    document
}

/// Several changes at once.
fn with_all(document: Value, changes: &[(&str, Value)]) -> Value {
    changes.iter().fold(document, |document, (pointer, value)| {
        with(document, pointer, value.clone())
    })
}

fn post(host: &Host, pod: &Value) -> Answer {
    host.request("POST", "/v2/pods", Some(pod))
}

fn put(host: &Host, pod: &Value) -> Answer {
    let id = pod["id"].as_str().unwrap();
    host.request("PUT", &format!("/v2/pods{id}"), Some(pod))
}

/// Adds a pod and gives the answer's document.
#[track_caller]
fn accepted(host: &Host, pod: &Value) -> Value {
    let answer = post(host, pod);
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.json()
}

/// Whether the answer is a refusal that says this at this path.
fn tells(answer: &Answer, path: &str, message: &str) -> bool {
    let document = answer.json();
    let details = document["details"].as_array().cloned().unwrap_or_default();
    details.iter().any(|detail| {
        let errors = detail["errors"].as_array().cloned().unwrap_or_default();
        detail["path"].as_str().is_some_and(|found| found == path)
            && errors
                .iter()
                .any(|error| error.as_str().is_some_and(|error| error.contains(message)))
    })
}

/// A pod that is refused with 422, and what is said where.
#[track_caller]
fn refused(host: &Host, pod: &Value, path: &str, message: &str) {
    let answer = post(host, pod);
    assert_eq!(answer.status, 422, "{pod}: {}", answer.body);
    assert!(
        tells(&answer, path, message),
        "{path}: {message} is not in {}",
        answer.body
    );
}

/// The task ids of a pod, by instance.
fn task_ids(host: &Host, id: &str) -> Vec<(String, Vec<String>)> {
    let status = host.status(id);
    let instances = status["instances"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    instances
        .iter()
        .map(|instance| {
            let containers = instance["containers"].as_array().cloned();
            let tasks = containers.unwrap_or_default();
            (
                text(&instance["id"]),
                tasks
                    .iter()
                    .map(|task| text(&task["containerId"]))
                    .collect(),
            )
        })
        .collect()
}

/// How many instances are listed.
fn instance_count(host: &Host, id: &str) -> usize {
    host.status(id)["instances"].as_array().map_or(0, Vec::len)
}
