//! The API is as it describes itself. Every other test holds the answers that it gets against the description, too
//! (`Host::request`).

use e2e::{binary, host::Host, needs_root, openapi::Document, pods, wait_for};
use serde_json::{Value, json};

use super::examples;

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A path of the template, in which names are those of things that are not there.
fn path_of(template: &str) -> String {
    let version = "2024-05-01T10:00:00.000Z";
    template
        .replace(
            "{id}::versions/{version}",
            &format!("none::versions/{version}"),
        )
        .replace(
            "/deployments/{id}",
            "/deployments/00000000-0000-0000-0000-000000000000",
        )
        .replace(
            "{instance}",
            "none.instance-00000000-0000-0000-0000-000000000000",
        )
        .replace("{id}", "none")
        .replace("{name}", "none")
}

#[test]
fn what_is_described_is_there_and_nothing_else_is() {
    needs_root!();
    let host = Host::start();
    let document = Document::of_binary();
    let operations = document.operations();
    for (template, _) in &operations {
        let path = path_of(template);
        for method in METHODS {
            let answer = host.request(method, &path, None);
            let described = operations.contains(&(*template, method.to_owned()));
            // The stream says 405 to whoever does not ask for a stream.
            let refused = answer.status == 405 && *template != "/v2/events";
            assert!(
                !(described && refused),
                "{method} {path} is described: {answer:?}"
            );
            assert!(
                described || answer.status == 405,
                "{method} {path} is not described: {answer:?}"
            );
            if answer.status == 405 {
                let allowed = answer.header("allow").unwrap_or_default();
                assert!(!allowed.is_empty(), "{method} {path} tells no methods");
                let names = |name: &str| allowed.contains(&name.to_lowercase());
                assert!(described || !names(method), "{method} {path}: {allowed}");
            }
            let nothing = answer.body.contains("There is nothing at");
            assert!(
                !nothing || template.contains("bootstrap-config"),
                "{method} {path}: {answer:?}"
            );
        }
    }
}

#[test]
fn what_is_told_of_pods_is_as_described() {
    needs_root!();
    let host = Host::start();
    host.launch(&pods::pod(
        "/shop/web",
        &[pods::shell_container("c", "echo hello; exec sleep 1000")],
    ));
    host.add(&pods::pod(
        "/shop/broken",
        &[pods::shell_container("c", "exit 3")],
    ));
    let huge = json!({ "cpus": 1000, "mem": 32 });
    let mut waiting = pods::pod("/waiting", &[pods::shell_container("c", "exec sleep 1000")]);
    waiting["containers"][0]["resources"] = huge;
    host.add(&waiting);
    let history = wait_for("a run that failed", e2e::host::SOON, || {
        let status = host.status("/shop/broken");
        let history = status["terminationHistory"].as_array().cloned();
        history.filter(|runs| !runs.is_empty())
    });
    assert_eq!(history[0]["containers"][0]["termination"]["exitCode"], 3);
    let versions = host
        .request("GET", "/v2/pods/shop/web::versions", None)
        .json();
    let version = versions[0].as_str().unwrap();
    let deployment = host.deployments()[0]["id"].as_str().unwrap().to_owned();
    for path in [
        "/v2/pods".to_owned(),
        "/v2/pods/::status".to_owned(),
        "/v2/pods/shop/web".to_owned(),
        "/v2/pods/shop/web::status".to_owned(),
        format!("/v2/pods/shop/web::versions/{version}"),
        "/v2/pods/shop/web::logs".to_owned(),
        format!("/v2/deployments/{deployment}"),
        "/v2/groups".to_owned(),
        "/v2/groups/shop?embed=group.pods".to_owned(),
        "/v2/queue?embed=lastUnusedOffers".to_owned(),
        "/v2/info?monopod=true".to_owned(),
        "/mesos/master/state".to_owned(),
        "/mesos/master/state-summary".to_owned(),
        "/metrics".to_owned(),
        "/service/marathon/v2/pods/shop%2Fweb::status".to_owned(),
    ] {
        // The answer is held against the description where it is got.
        assert_eq!(host.request("GET", &path, None).status, 200, "{path}");
    }
    let instance = host.status("/shop/web")["instances"][0]["id"].clone();
    let path = format!(
        "/v2/pods/shop/web::instances/{}",
        instance.as_str().unwrap()
    );
    let killed = host.request("DELETE", &path, None);
    assert_eq!(killed.json()["instanceId"], instance);
    let ended = host.request("DELETE", &format!("/v2/deployments/{deployment}"), None);
    assert_eq!(ended.status, 200, "{ended:?}");
}

#[test]
fn both_documents_are_served_and_printed() {
    needs_root!();
    let host = Host::start();
    let printed = |verb: &str| {
        let output = std::process::Command::new(binary::monopod())
            .args(["--run-dir", "/nonexistent", verb])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    for (verb, path, kind) in [
        ("openapi", "/v2/openapi.json", "application/json"),
        ("openapi", "/openapi.json", "application/json"),
        (
            "openapi",
            "/service/marathon/v2/openapi.json",
            "application/json",
        ),
        ("schema", "/v2/schemas/pod.json", "application/schema+json"),
    ] {
        let answer = host.request("GET", path, None);
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.json(), printed(verb), "{path}");
    }
    let schema = jsonschema::draft202012::new(&printed("schema")).unwrap();
    for path in examples() {
        let definition = crate::definition(&path);
        assert!(schema.is_valid(&definition), "{}", path.display());
    }
    let mut pod = pods::pod("/p", &[pods::shell_container("c", "exec sleep 1000")]);
    pod["$schema"] = json!("pod.schema.json");
    let answer = host.request("POST", "/v2/pods", Some(&pod));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("x-monopod-warning"), None);
    assert!(answer.json().get("$schema").is_none(), "{}", answer.body);
}
