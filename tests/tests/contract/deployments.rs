//! Deployments: checks 104 to 115.

use std::collections::BTreeSet;

use e2e::{
    host::{Host, SOON},
    needs_root, wait_for,
};
use serde_json::{Value, json};

use crate::{accepted, instance_count, put, simple, task_ids, with, with_all};

fn scaled(pod: Value, instances: usize) -> Value {
    with(
        pod,
        "/scaling",
        json!({"kind": "fixed", "instances": instances}),
    )
}

/// A pod that can never be placed.
fn unplaceable(id: &str) -> Value {
    let elsewhere = json!([{"fieldName": "hostname", "operator": "LIKE", "value": "nowhere"}]);
    with(simple(id), "/scheduling/placement/constraints", elsewhere)
}

fn upgrade(pod: Value, minimum: f64, over: f64) -> Value {
    let strategy = json!({"minimumHealthCapacity": minimum, "maximumOverCapacity": over});
    with(pod, "/scheduling/upgrade", strategy)
}

#[test]
fn check_104_and_105_a_deployment_that_cannot_end_is_abandoned() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &unplaceable("/p"));
    let deployments = host.deployments();
    assert_eq!(deployments.len(), 1);
    assert_eq!(deployments[0]["affectedPods"], json!(["/p"]));
    let path = format!(
        "/v2/deployments/{}?force=true",
        deployments[0]["id"].as_str().unwrap()
    );
    let answer = host.request("DELETE", &path, None);
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    wait_for("no deployment is left", SOON, || {
        host.deployments().is_empty().then_some(())
    });
    assert_eq!(host.request("GET", "/v2/pods/p", None).status, 200);
}

#[test]
fn check_106_a_deployment_is_rolled_back() {
    needs_root!();
    let host = Host::start();
    let answer = host.request("POST", "/v2/pods", Some(&unplaceable("/p")));
    let path = format!("/v2/deployments/{}", answer.deployment().unwrap());
    let answer = host.request("DELETE", &path, None);
    assert_eq!(answer.status, 200);
    assert!(answer.json()["deploymentId"].is_string() && answer.json()["version"].is_string());
    wait_for("the pod is gone, and no deployment left", SOON, || {
        let gone = host.request("GET", "/v2/pods/p", None).status == 404;
        (gone && host.deployments().is_empty()).then_some(())
    });
}

#[test]
fn check_107_and_108_a_pod_at_work_is_locked() {
    needs_root!();
    let host = Host::start();
    let answer = host.request("POST", "/v2/pods", Some(&unplaceable("/p")));
    let blocker = answer.deployment().unwrap().to_owned();
    let other = with(unplaceable("/p"), "/labels/a", json!("b"));
    let refused = put(&host, &other);
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["deployments"], json!([{"id": blocker}]));
    assert_eq!(host.request("DELETE", "/v2/pods/p", None).status, 409);
    let forced = host.request("PUT", "/v2/pods/p?force=true", Some(&other));
    assert_eq!(forced.status, 200, "{}", forced.body);
    assert_eq!(
        host.request("DELETE", "/v2/pods/p?force=true", None).status,
        202
    );
}

#[test]
fn check_109_an_identical_definition_changes_nothing() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/p"));
    let before = task_ids(&host, "/p");
    let answer = put(&host, &simple("/p"));
    assert_eq!(answer.status, 200);
    assert!(answer.deployment().is_some());
    assert!(host.deployments().is_empty());
    assert_eq!(task_ids(&host, "/p"), before);
}

/// Updates a pod and gives the least number of ready and the greatest number of living instances seen meanwhile.
fn watch_update(host: &Host, pod: &Value) -> (usize, usize) {
    let answer = put(host, pod);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (mut fewest, mut most) = (usize::MAX, 0);
    wait_for("the update is over", SOON, || {
        let over = host.deployments().is_empty();
        let status = host.status(pod["id"].as_str().unwrap());
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        let count = |wanted: &[&str]| {
            let of = |instance: &&Value| wanted.iter().any(|status| instance["status"] == *status);
            instances.iter().filter(of).count()
        };
        fewest = fewest.min(count(&["STABLE"]));
        most = most.max(count(&["STABLE", "STAGING", "TERMINAL"]));
        over.then_some(())
    });
    (fewest, most)
}

#[test]
fn check_110_an_update_with_full_health_and_over_capacity() {
    needs_root!();
    let host = Host::start();
    let pod = upgrade(scaled(simple("/p"), 4), 1.0, 1.0);
    host.launch(&pod);
    let (fewest, most) = watch_update(&host, &with(pod, "/labels/a", json!("b")));
    assert!(fewest >= 4 && most <= 8, "{fewest} ready, {most} alive");
}

#[test]
fn check_111_an_update_within_capacity() {
    needs_root!();
    let host = Host::start();
    let pod = upgrade(scaled(simple("/p"), 2), 0.5, 0.0);
    host.launch(&pod);
    let (fewest, most) = watch_update(&host, &with(pod, "/labels/a", json!("b")));
    assert!(fewest >= 1 && most <= 2, "{fewest} ready, {most} alive");
}

#[test]
fn check_112_a_single_instance_is_replaced_before_it_ends() {
    needs_root!();
    let host = Host::start();
    let pod = upgrade(simple("/p"), 0.5, 0.0);
    host.launch(&pod);
    let (fewest, most) = watch_update(&host, &with(pod, "/labels/a", json!("b")));
    assert!(fewest >= 1 && most <= 2, "{fewest} ready, {most} alive");
}

#[test]
fn check_114_the_youngest_goes_first() {
    needs_root!();
    let host = Host::start();
    host.launch(&scaled(simple("/p"), 1));
    let ids = || -> BTreeSet<String> {
        task_ids(&host, "/p")
            .into_iter()
            .map(|(id, _)| id)
            .collect()
    };
    let oldest = ids();
    for wanted in [2, 3] {
        put(&host, &scaled(simple("/p"), wanted));
        host.wait_until_stable("/p");
    }
    let pod = with(
        scaled(simple("/p"), 2),
        "/scheduling/killSelection",
        json!("YOUNGEST_FIRST"),
    );
    let before = ids();
    put(&host, &pod);
    wait_for("two are left", SOON, || {
        (instance_count(&host, "/p") == 2).then_some(())
    });
    let left = ids();
    assert!(
        left.is_superset(&oldest) && left.is_subset(&before),
        "{left:?} of {before:?}"
    );
}

#[test]
fn check_115_a_change_along_with_a_stop_restarts_nothing() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/p"));
    let pod = with_all(
        simple("/p"),
        &[
            ("/labels/a", json!("b")),
            ("/scaling", json!({"kind": "fixed", "instances": 0})),
        ],
    );
    let answer = put(&host, &pod);
    assert_eq!(answer.status, 200);
    let id = answer.deployment().unwrap().to_owned();
    if let Some(deployment) = host
        .deployments()
        .iter()
        .find(|deployment| deployment["id"] == id)
    {
        assert_eq!(
            deployment["steps"],
            json!([{"actions": [{"action": "ScalePod", "pod": "/p"}]}])
        );
    }
    wait_for("none is left", SOON, || {
        (instance_count(&host, "/p") == 0).then_some(())
    });
}
