//! Whatever users send is answered by a 4xx that names what is wrong, and leaves nothing behind.

use e2e::{host::Host, needs_root, pods};
use serde_json::{Value, json};

/// Name, body, status, a word of the answer.
fn cases() -> Vec<(&'static str, String, u16, &'static str)> {
    let good = || pods::pod("/bad", &[pods::shell_container("c", "sleep 1000")]);
    let with = |change: fn(&mut Value)| {
        let mut pod = good();
        change(&mut pod);
        pod.to_string()
    };
    let truncated = good().to_string();
    let half = truncated[..truncated.len() / 2].to_owned();
    vec![
        ("truncated", half, 400, "Invalid JSON"),
        ("empty", String::new(), 400, "JSON"),
        ("no object", "[]".to_owned(), 422, "error.expected"),
        ("bytes", "\u{0}\u{1}".to_owned(), 400, "JSON"),
        ("id of wrong type", with(|p| p["id"] = json!(7)), 422, "/id"),
        (
            "id with capitals",
            with(|p| p["id"] = json!("/Bad")),
            422,
            "/id",
        ),
        (
            "id that ends in dots",
            with(|p| p["id"] = json!("/a/..")),
            422,
            "/id",
        ),
        (
            "no containers",
            with(|p| p["containers"] = json!([])),
            422,
            "/containers",
        ),
        (
            "containers missing",
            with(|p| drop(p.as_object_mut().unwrap().remove("containers"))),
            422,
            "/containers",
        ),
        (
            "cpus as text",
            with(|p| p["containers"][0]["resources"]["cpus"] = json!("1")),
            422,
            "/containers(0)/resources/cpus",
        ),
        (
            "negative mem",
            with(|p| p["containers"][0]["resources"]["mem"] = json!(-1)),
            422,
            "/containers(0)/resources/mem",
        ),
        (
            "huge mem",
            with(|p| p["containers"][0]["resources"]["mem"] = json!(1e300)),
            422,
            "/containers(0)/resources/mem",
        ),
        (
            "names twice",
            with(|p| {
                let container = p["containers"][0].clone();
                p["containers"].as_array_mut().unwrap().push(container);
            }),
            422,
            "/containers",
        ),
        (
            "unknown volume",
            with(|p| p["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "x"}])),
            422,
            "/containers(0)/volumeMounts(0)",
        ),
        (
            "volume beside a mount",
            with(|p| {
                p["volumes"] = json!([{"name": "w"}]);
                p["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": "x"}]);
            }),
            422,
            "/containers(0)/volumeMounts(0)",
        ),
        (
            "mount path with dots",
            with(|p| {
                p["volumes"] = json!([{"name": "v"}]);
                p["containers"][0]["volumeMounts"] =
                    json!([{"name": "v", "mountPath": "../../etc"}]);
            }),
            422,
            "mountPath",
        ),
        (
            "instances negative",
            with(|p| p["scaling"]["instances"] = json!(-1)),
            422,
            "/scaling",
        ),
        (
            "network mode",
            with(|p| p["networks"] = json!([{"mode": "tunnel"}])),
            422,
            "/networks(0)/mode",
        ),
    ]
}

#[test]
fn bad_definitions_are_refused_by_name_and_leave_nothing() {
    needs_root!();
    let host = Host::start();
    for (name, body, status, word) in cases() {
        for (method, path) in [("POST", "/v2/pods"), ("PUT", "/v2/pods/bad")] {
            // This panics on a 5xx and on silence.
            let answer = host.request_text(method, path, Some(&body));
            assert_eq!(answer.status, status, "{name} by {method}: {}", answer.body);
            assert!(
                answer.body.contains(word),
                "{name} by {method}: {}",
                answer.body
            );
        }
    }
    assert_eq!(host.request("GET", "/v2/pods", None).json(), json!([]));
    assert!(host.deployments().is_empty());
    host.wait_until_clean();
}

#[test]
fn requests_for_what_is_not_there_are_404() {
    needs_root!();
    let host = Host::start();
    let cases = [
        ("GET", "/v2/pods/none"),
        ("GET", "/v2/pods/none::status"),
        ("GET", "/v2/pods/none::versions"),
        ("GET", "/v2/pods/none::logs?stream=stdout"),
        ("DELETE", "/v2/pods/none"),
        ("GET", "/v2/deployments/none"),
        ("DELETE", "/v2/deployments/none"),
        ("GET", "/v2/nothing"),
    ];
    for (method, path) in cases {
        let answer = host.request(method, path, None);
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
        assert!(
            answer.json()["message"].is_string(),
            "{method} {path}: {}",
            answer.body
        );
    }
}

#[test]
fn the_same_pod_twice_is_told_apart_from_a_running_deployment() {
    needs_root!();
    let host = Host::start();
    let file = host.directory().join("pod.json");
    let pod = pods::pod("/twice", &[pods::shell_container("c", "sleep 1000")]);
    std::fs::write(&file, pod.to_string()).unwrap();
    host.launch(&pod);
    let again = host.monopod(&["pod", "add", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert_eq!(stderr, "Error: A pod with id [/twice] already exists.\n");
}
