//! Published definitions and our own examples run.

use e2e::{host::Host, image, needs_root, pods, skip};
use serde_json::{Value, json};

use crate::{data, definition, examples};

#[test]
fn quick_start_pod_runs() {
    needs_root!();
    let host = Host::start();
    let status = host.launch(&definition(&data("quickstart.json")));
    let container = &status["instances"][0]["containers"][0];
    assert_eq!(container["name"], "sleep1");
    assert_eq!(container["status"], "TASK_RUNNING");

    let listed = host.monopod(&["pod", "list"]);
    let table = String::from_utf8(listed.stdout).unwrap();
    assert!(
        table.starts_with("ID+TASKS    INSTANCES  VERSION"),
        "{table}"
    );
    assert!(table.contains("\n |-sleep1\n"), "{table}");
    host.remove("/simplepod");
    host.wait_until_clean();
}

#[test]
fn multiple_container_pod_runs_ten_times() {
    needs_root!();
    let host = Host::start();
    let status = host.launch(&definition(&data("multiple-containers.json")));
    assert_eq!(status["instances"].as_array().unwrap().len(), 10);
    assert_eq!(host.executors().len(), 10);
    // The shell and, unless it replaced itself, what it runs.
    assert!(host.container_processes().len() >= 30);
    host.remove("/pod-with-multiple-containers");
    host.wait_until_clean();
}

#[test]
fn ephemeral_volume_pod_shares_its_volume() {
    needs_root!();
    let host = Host::start();
    host.launch(&definition(&data("ephemeral-volume.json")));
    host.wait_for_line("/with-ephemeral-vol", "ct2", |line| {
        line.starts_with("the current time is ")
    });
}

#[test]
fn ephemeral_volume_is_shared_between_image_and_host_root() {
    needs_root!();
    if image::static_busybox().is_none() {
        skip!("there is no static busybox for the image");
    }
    let host = Host::start();
    host.import_probe();
    let mut pod = definition(&data("ephemeral-volume-image.json"));
    pod["containers"][0]["image"]["id"] = json!(pods::IMAGE);
    host.launch(&pod);
    host.wait_for_line("/ephemeral-volume-pod", "ct2", |line| {
        line.starts_with("the current time is ")
    });
}

#[test]
fn examples_are_valid_and_run() {
    needs_root!();
    let host = Host::start();
    for example in examples() {
        let path = example.to_str().unwrap();
        let added = host.monopod(&["pod", "add", "--wait", "--timeout", "60", path]);
        let stderr = String::from_utf8_lossy(&added.stderr);
        assert!(
            added.status.success(),
            "{path}: {stderr}\n{}",
            host.log_tail()
        );
        let pod: Value = definition(&example);
        let id = pod["id"].as_str().unwrap();
        for container in pod["containers"].as_array().unwrap() {
            let name = container["name"].as_str().unwrap();
            host.wait_for_line(id, name, |line| !line.is_empty());
        }
    }
    for example in examples() {
        let id = definition(&example)["id"].as_str().unwrap().to_owned();
        let removed = host.monopod(&["pod", "remove", "--wait", &id]);
        assert!(removed.status.success(), "{removed:?}");
    }
    host.wait_until_clean();
}
