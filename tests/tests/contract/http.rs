//! HTTP basics: checks 1 to 17.

use e2e::{host::Host, needs_root};
use serde_json::json;

use crate::{accepted, post, put, simple, with};

#[test]
fn check_001_head_of_pods() {
    needs_root!();
    let answer = Host::start().request("HEAD", "/v2/pods", None);
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[test]
fn check_002_a_pod_is_completed() {
    needs_root!();
    let host = Host::start();
    let answer = post(&host, &simple("/p"));
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(answer.deployment().is_some_and(|id| !id.is_empty()));
    let pod = answer.json();
    assert_eq!(pod["id"], "/p");
    assert!(pod["version"].is_string());
    assert_eq!(
        pod["executorResources"],
        json!({"cpus": 0.1, "mem": 32.0, "disk": 10.0})
    );
    for member in [
        "backoff",
        "upgrade",
        "placement",
        "killSelection",
        "unreachableStrategy",
    ] {
        assert!(!pod["scheduling"][member].is_null(), "{member} in {pod}");
    }
    assert_eq!(pod["scaling"]["instances"], 1);
}

#[test]
fn check_003_a_cut_body() {
    needs_root!();
    let answer = Host::start().request_text("POST", "/v2/pods", Some(r#"{"id":"/test""#));
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["message"], "Invalid JSON");
    assert!(answer.json()["details"].is_string(), "{}", answer.body);
}

#[test]
fn check_004_an_empty_body() {
    needs_root!();
    let answer = Host::start().request_text("POST", "/v2/pods", Some(""));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["message"],
        "Please specify data in JSON format"
    );
}

#[test]
fn check_005_a_wrong_type() {
    needs_root!();
    let answer = post(&Host::start(), &with(simple("/p"), "/id", json!(123)));
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"message": "Invalid JSON", "details": [{"path": "/id", "errors": ["error.expected.jsstring"]}]})
    );
}

#[test]
fn check_006_a_broken_rule() {
    needs_root!();
    let answer = post(&Host::start(), &with(simple("/p"), "/user", json!("")));
    assert_eq!(answer.status, 422);
    let document = answer.json();
    assert_eq!(document["message"], "Object is not valid");
    assert_eq!(document["details"][0]["path"], "/user");
    assert!(document["details"][0]["errors"].is_array());
}

#[test]
fn check_007_an_unknown_pod() {
    needs_root!();
    let answer = Host::start().request("GET", "/v2/pods/mypod", None);
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("mypod' does not exist")
            || answer.body.contains("mypod does not exist"),
        "{}",
        answer.body
    );
}

#[test]
fn check_008_all_pods() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &simple("/a"));
    accepted(&host, &simple("/b"));
    let answer = host.request("GET", "/v2/pods", None);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().as_array().map(Vec::len), Some(2));
}

#[test]
fn check_009_a_version_of_an_unknown_pod() {
    needs_root!();
    let path = "/v2/pods/id::versions/2008-01-01T12:00:00.000Z";
    let answer = Host::start().request("GET", path, None);
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.body,
        r#"{"message":"Pod '/id' does not exist","details":[]}"#
    );
}

#[test]
fn check_010_versions_of_an_unknown_pod() {
    needs_root!();
    let answer = Host::start().request("GET", "/v2/pods/id::versions", None);
    assert_eq!(answer.status, 404);
}

#[test]
fn check_011_a_removal() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/p"));
    let answer = host.request("DELETE", "/v2/pods/p", None);
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    assert!(answer.deployment().is_some());
}

#[test]
fn check_012_path_and_body_differ() {
    needs_root!();
    let answer = Host::start().request("PUT", "/v2/pods/foo", Some(&simple("/bla")));
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json()["message"],
        "'/foo' does not match definition's id ('/bla')"
    );
}

#[test]
fn check_013_an_update() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/p"));
    let answer = put(&host, &with(simple("/p"), "/labels/a", json!("b")));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.deployment().is_some());
    assert_eq!(answer.json()["labels"]["a"], "b");
}

#[test]
fn check_014_an_update_of_nothing_adds() {
    needs_root!();
    let host = Host::start();
    assert_eq!(put(&host, &simple("/p")).status, 200);
    assert_eq!(host.request("GET", "/v2/pods/p", None).status, 200);
}

#[test]
fn check_015_an_id_that_is_in_use() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &simple("/p"));
    let answer = post(&host, &simple("/p"));
    assert_eq!(answer.status, 409);
    assert_eq!(
        answer.json()["message"],
        "A pod with id [/p] already exists."
    );
}

#[test]
fn check_016_the_server_makes_versions() {
    needs_root!();
    let pod = with(simple("/p"), "/version", json!("2000-01-01T00:00:00.000Z"));
    let pod = accepted(&Host::start(), &pod);
    let version = pod["version"].as_str().unwrap();
    assert!(version > "2020", "{version}");
}

#[test]
fn check_017_status() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &simple("/p"));
    let all = host.request("GET", "/v2/pods/::status", None);
    assert_eq!(all.status, 200);
    assert_eq!(all.json()[0]["id"], "/p");
    let one = host.request("GET", "/v2/pods/p::status", None);
    assert_eq!((one.status, &one.json()["id"]), (200, &json!("/p")));
}
