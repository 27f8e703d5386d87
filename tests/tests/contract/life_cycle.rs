//! Real pods: checks 83 to 103.

use std::time::Duration;

use e2e::{
    host::{Host, SOON},
    needs_root, pods, wait_for,
};
use model::time::Timestamp;
use serde_json::{Value, json};

use crate::{accepted, instance_count, put, simple, sleeper, task_ids, with};

fn instances(pod: Value, instances: usize) -> Value {
    with(
        pod,
        "/scaling",
        json!({"kind": "fixed", "instances": instances}),
    )
}

fn container(name: &str, command: &str) -> Value {
    with(sleeper(name), "/exec/command/shell", json!(command))
}

#[test]
fn check_083_and_084_a_pod_comes_grows_and_goes() {
    needs_root!();
    let host = Host::start();
    let status = host.launch(&simple("/p"));
    assert_eq!(status["status"], "STABLE");
    assert_eq!(put(&host, &instances(simple("/p"), 2)).status, 200);
    host.wait_until_stable("/p");
    assert_eq!(instance_count(&host, "/p"), 2);
    assert_eq!(host.request("DELETE", "/v2/pods/p", None).status, 202);
    wait_for("the pod is gone", SOON, || {
        (host.request("GET", "/v2/pods/p", None).status == 404).then_some(())
    });
}

#[test]
fn check_085_and_086_up_and_down() {
    needs_root!();
    let host = Host::start();
    host.launch(&instances(simple("/p"), 3));
    assert_eq!(instance_count(&host, "/p"), 3);
    for wanted in [1, 3] {
        assert_eq!(put(&host, &instances(simple("/p"), wanted)).status, 200);
        host.wait_until_stable("/p");
        wait_for("as many as wanted", SOON, || {
            (instance_count(&host, "/p") == wanted).then_some(())
        });
    }
}

#[test]
fn check_087_to_089_versions() {
    needs_root!();
    let host = Host::start();
    let versions = || {
        let answer = host.request("GET", "/v2/pods/p::versions", None).json();
        let list = answer.as_array().cloned().unwrap();
        list.into_iter()
            .map(|version| version.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = accepted(&host, &simple("/p"));
    assert_eq!(json!(versions()), json!([first["version"]]));
    host.wait_until_stable("/p");
    let two = with(
        simple("/p"),
        "/containers",
        json!([sleeper("c"), sleeper("d")]),
    );
    assert_eq!(put(&host, &instances(two, 2)).status, 200);
    let mut all = versions();
    all.sort();
    assert_eq!(all.len(), 2);
    let of = |version: &str| {
        let path = format!("/v2/pods/p::versions/{version}");
        host.request("GET", &path, None).json()
    };
    let (old, new) = (of(&all[0]), of(&all[1]));
    assert_eq!(old["containers"].as_array().map(Vec::len), Some(1));
    assert_eq!(new["containers"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&old["scaling"]["instances"], &new["scaling"]["instances"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn check_090_and_091_one_fails_and_all_are_launched_anew() {
    needs_root!();
    let host = Host::start();
    let fails = container("fails", "sleep 1; exit 2");
    let pod = pods::pod("/p", &[fails, sleeper("sibling")]);
    host.launch(&pod);
    let before = task_ids(&host, "/p");
    wait_for("all tasks are new", SOON, || {
        let now = task_ids(&host, "/p");
        let new = now
            .first()?
            .1
            .iter()
            .all(|task| !before[0].1.contains(task));
        (new && now[0].1.len() == 2).then_some(())
    });
}

#[test]
fn check_092_an_exit_with_0_leaves_the_sibling_running() {
    needs_root!();
    let host = Host::start();
    let pod = with(
        simple("/p"),
        "/containers",
        json!([container("ends", "exit 0"), sleeper("stays")]),
    );
    host.add(&pod);
    let status = wait_for("one finished, one runs", SOON, || {
        let status = host.status("/p");
        let containers = &status["instances"][0]["containers"];
        (containers[0]["status"] == "TASK_FINISHED" && containers[1]["status"] == "TASK_RUNNING")
            .then_some(status)
    });
    assert_eq!(status["instances"][0]["status"], "STABLE");
    assert!(
        status["instances"][0]["containers"][1]["containerId"]
            .as_str()
            .unwrap()
            .ends_with(".1")
    );
}

#[test]
fn check_093_all_finished_is_launched_again_with_a_growing_delay() {
    needs_root!();
    let host = Host::start();
    let mut pod = with(
        simple("/p"),
        "/containers",
        json!([container("ends", "exit 0")]),
    );
    pod["scheduling"]["backoff"] =
        json!({"backoff": 0.2, "backoffFactor": 2.0, "maxLaunchDelay": 60});
    host.add(&pod);
    // As the daemon saw it, however late this test looks.
    let history = wait_for("three ends of runs", SOON, || {
        let history = host.status("/p")["terminationHistory"].clone();
        (history.as_array()?.len() >= 3).then_some(history)
    });
    let mut runs = history.as_array().unwrap().clone();
    runs.reverse();
    let at =
        |run: &Value, name: &str| -> Timestamp { run[name].as_str().unwrap().parse().unwrap() };
    let waits: Vec<_> = runs
        .windows(2)
        .map(|two| at(&two[1], "startedAt").since(at(&two[0], "terminatedAt")))
        .collect();
    // An end is seen a moment before the run is over, and the delay counts from there.
    assert!(waits[0] >= Duration::from_millis(150), "{waits:?}");
    assert!(waits[1] >= Duration::from_millis(350), "{waits:?}");
}

#[test]
fn check_094_and_095_instances_that_are_killed_come_back() {
    needs_root!();
    let host = Host::start();
    host.launch(&instances(simple("/p"), 2));
    let before = task_ids(&host, "/p");
    let killed = before[0].0.clone();
    let path = |suffix: &str| format!("/v2/pods/p::instances/{killed}{suffix}");
    assert_eq!(host.request("DELETE", &path(""), None).status, 200);
    let ids = |tasks: &[(String, Vec<String>)]| {
        let mut ids: Vec<_> = tasks.iter().map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids
    };
    wait_for("the same instance in its next incarnation", SOON, || {
        let now = task_ids(&host, "/p");
        let next = now
            .iter()
            .any(|(id, tasks)| *id == killed && tasks.iter().all(|task| task.ends_with(".2")));
        (next && ids(&now) == ids(&before)).then_some(())
    });
    host.wait_until_stable("/p");
    assert_eq!(
        host.request("DELETE", &path("?wipe=true"), None).status,
        200
    );
    wait_for("another one in its place", SOON, || {
        let now = ids(&task_ids(&host, "/p"));
        (now.len() == 2 && !now.contains(&killed)).then_some(())
    });
}

#[test]
fn check_096_what_a_kill_answers() {
    needs_root!();
    let host = Host::start();
    host.launch(&instances(simple("/p"), 2));
    let ids: Vec<_> = task_ids(&host, "/p")
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    let check = |document: &Value, id: &str| {
        assert_eq!(document["instanceId"], id);
        assert!(document["agentInfo"]["host"].is_string(), "{document}");
        assert!(document["runSpecVersion"].is_string());
        for member in ["condition", "since", "activeSince", "goal"] {
            assert!(
                !document["state"][member].is_null(),
                "{member} in {document}"
            );
        }
        assert!(!document["unreachableStrategy"].is_null());
    };
    let path = format!("/v2/pods/p::instances/{}", ids[0]);
    check(&host.request("DELETE", &path, None).json(), &ids[0]);
    let answer = host.request("DELETE", "/v2/pods/p::instances", Some(&json!([ids[1]])));
    check(&answer.json()[0], &ids[1]);
}

#[test]
fn check_102_a_group_takes_its_pods_along() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/g/a"));
    host.launch(&simple("/g/h/b"));
    host.launch(&simple("/other"));
    let answer = host.request("DELETE", "/v2/groups/g", None);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json()["deploymentId"].is_string());
    wait_for("the pods of the group are gone", SOON, || {
        (host.status("/g/a").is_null() && host.status("/g/h/b").is_null()).then_some(())
    });
    assert_eq!(host.request("GET", "/v2/pods/other", None).status, 200);
    assert_eq!(host.request("DELETE", "/v2/groups/g", None).status, 404);
}

#[test]
fn check_103_one_instance_for_each_host() {
    needs_root!();
    let host = Host::start();
    let unique = json!([{"fieldName": "hostname", "operator": "UNIQUE"}]);
    let pod = with(simple("/p"), "/scheduling/placement/constraints", unique);
    host.launch(&pod);
    let answer = host.request("PUT", "/v2/pods/p?force=true", Some(&instances(pod, 2)));
    assert_eq!(answer.status, 200);
    let queue = host.request("GET", "/v2/queue", None).json();
    let item = &queue["queue"][0];
    assert_eq!(item["pod"]["id"], "/p");
    let summary = item["processedOffersSummary"]["rejectSummaryLastOffers"]
        .as_array()
        .unwrap();
    let constraint = summary
        .iter()
        .find(|stage| stage["reason"] == "UnfulfilledConstraint")
        .unwrap();
    assert!(constraint["declined"].as_u64() >= Some(1), "{constraint}");
    assert_eq!(instance_count(&host, "/p"), 1);
}
