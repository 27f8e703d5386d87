//! What the server completes: checks 72 to 82.

use e2e::{host::Host, needs_root};
use serde_json::json;

use crate::{accepted, post, simple, sleeper, with, with_all};

#[test]
fn check_072_executor_resources_are_completed() {
    needs_root!();
    let pod = with(
        simple("/p"),
        "/executorResources",
        json!({"cpus": 1, "mem": 128}),
    );
    let pod = accepted(&Host::start(), &pod);
    assert_eq!(
        pod["executorResources"],
        json!({"cpus": 1.0, "mem": 128.0, "disk": 10.0})
    );
}

#[test]
fn check_073_the_number_of_instances() {
    needs_root!();
    let pod = with(
        simple("/p"),
        "/scaling",
        json!({"kind": "fixed", "instances": 2}),
    );
    assert_eq!(accepted(&Host::start(), &pod)["scaling"]["instances"], 2);
}

#[test]
fn check_074_and_075_the_default_network() {
    needs_root!();
    let host = Host::start_configured("[marathon]\ndefault_network_name = \"blah\"\n", &[]);
    let pod = with_all(
        simple("/p"),
        &[
            ("/networks", json!([{"mode": "container"}])),
            (
                "/containers/0/endpoints",
                json!([{"name": "e", "containerPort": 80}]),
            ),
        ],
    );
    let pod = accepted(&host, &pod);
    assert_eq!(
        pod["networks"],
        json!([{"mode": "container", "name": "blah"}])
    );
    assert!(
        pod["containers"][0]["endpoints"][0]["hostPort"].is_null(),
        "{pod}"
    );
    let pod = accepted(&host, &simple("/q"));
    assert_eq!(pod["networks"], json!([{"mode": "host"}]));
}

#[test]
fn check_078_the_servers_role() {
    needs_root!();
    assert_eq!(accepted(&Host::start(), &simple("/p"))["role"], "*");
}

#[test]
fn check_079_shared_cgroups_are_shown_only_if_asked_for() {
    needs_root!();
    let host = Host::start();
    let pod = accepted(
        &host,
        &with(simple("/p"), "/legacySharedCgroups", json!(false)),
    );
    assert!(pod.get("legacySharedCgroups").is_none(), "{pod}");
}

#[test]
fn check_080_sums_are_exact() {
    needs_root!();
    let host = Host::start();
    let containers = json!([sleeper("a"), sleeper("b"), sleeper("c")]);
    let status = host.launch(&with(simple("/p"), "/containers", containers));
    assert_eq!(status["instances"][0]["resources"]["cpus"], json!(0.4));
}

#[test]
fn check_081_enums_in_any_case() {
    needs_root!();
    let host = Host::start();
    let pod = with_all(
        simple("/p"),
        &[
            ("/networks", json!([{"mode": "HOST"}])),
            ("/scheduling/killSelection", json!("Oldest_First")),
            (
                "/containers/0/image",
                json!({"kind": "docker", "id": "nowhere"}),
            ),
        ],
    );
    let pod = accepted(&host, &pod);
    assert_eq!(pod["networks"][0]["mode"], "host");
    assert_eq!(pod["scheduling"]["killSelection"], "OLDEST_FIRST");
    assert_eq!(pod["containers"][0]["image"]["kind"], "DOCKER");
}

#[test]
fn check_082_unknown_members_are_ignored_and_named() {
    needs_root!();
    let pod = with_all(
        simple("/p"),
        &[
            (
                "/scaling",
                json!({"kind": "fixed", "instances": 0, "maxInstances": 9}),
            ),
            (
                "/containers/0/image",
                json!({"kind": "DOCKER", "id": "nowhere", "force": true}),
            ),
        ],
    );
    let answer = post(&Host::start(), &pod);
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert!(
        answer.json()["containers"][0]["image"]
            .get("force")
            .is_none()
    );
    // Heads are read in lower case.
    let warning = answer.header("x-monopod-warning").unwrap();
    assert!(
        warning.contains("force") && warning.contains("/scaling/maxinstances"),
        "{warning}"
    );
}
