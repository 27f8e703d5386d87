//! Pods that cannot run say so.

use e2e::{
    host::Host,
    image::{self, Says},
    needs_root, pods, wait_for,
};
use serde_json::{Value, json};

#[test]
fn a_pod_that_can_never_fit_says_so_at_once() {
    needs_root!();
    let host = Host::start_with(&["--resources", "cpus:2;mem:1024;disk:1024"]);
    let mut pod = pods::pod("/big", &[pods::shell_container("c", "sleep 1000")]);
    pod["containers"][0]["resources"]["cpus"] = json!(100);
    let file = host.directory().join("big.json");
    std::fs::write(&file, pod.to_string()).unwrap();
    let file = file.to_str().unwrap();

    let added = host.monopod(&["pod", "add", file]);
    let stderr = String::from_utf8(added.stderr).unwrap();
    assert!(added.status.success(), "{stderr}");
    assert!(stderr.contains("can never fit"), "{stderr}");
    let message = host.status("/big")["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        message.contains("can never fit") && message.contains("cpus"),
        "{message}"
    );

    let update = host.monopod(&[
        "pod",
        "update",
        "--force",
        "--wait",
        "--timeout",
        "1",
        "/big",
        file,
    ]);
    let stderr = String::from_utf8(update.stderr).unwrap();
    assert_eq!(update.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("can never fit"), "{stderr}");
    host.remove("/big");
    host.wait_until_clean();
}

#[test]
fn a_pod_that_waits_runs_when_there_is_room() {
    needs_root!();
    let host = Host::start_with(&["--resources", "cpus:1;mem:4096;disk:4096"]);
    let pod = |id: &str| {
        let mut pod = pods::pod(id, &[pods::shell_container("c", "sleep 1000")]);
        pod["containers"][0]["resources"]["cpus"] = json!(0.6);
        pod
    };
    host.launch(&pod("/first"));
    host.add(&pod("/second"));
    wait_for("the reason to wait", e2e::host::SOON, || {
        let status = host.status("/second");
        status["message"]
            .as_str()
            .filter(|message| message.contains("cpus"))
            .map(str::to_owned)
    });
    host.remove("/first");
    host.wait_until_stable("/second");
}

/// A change of a container, the words that its failure must tell.
type Case = (&'static str, fn(&mut Value), &'static [&'static str]);

#[test]
fn what_cannot_be_started_is_told_by_name() {
    needs_root!();
    let host = Host::start();
    host.import_probe();
    let import = |name: &str, says: Says<'_>| {
        let archive = image::docker_archive(host.directory(), name, says);
        let body = json!({ "path": archive });
        assert_eq!(host.request("POST", "/v2/images", Some(&body)).status, 201);
    };
    import(
        "silent:1",
        Says {
            command: &[],
            ..Says::default()
        },
    );
    let nowhere = Some("/probe/inside");
    import(
        "nowhere:1",
        Says {
            working_dir: nowhere,
            ..Says::default()
        },
    );
    let cases: [Case; 6] = [
        (
            "missing",
            |c| c["exec"]["command"]["argv"] = json!(["/nonesuch"]),
            &["/nonesuch"],
        ),
        (
            "text",
            |c| c["exec"]["command"]["argv"] = json!(["/not-executable"]),
            &["/not-executable"],
        ),
        (
            "user",
            |c| c["user"] = json!("nobody-here"),
            &["nobody-here"],
        ),
        (
            "image",
            |c| c["image"]["id"] = json!("no-such-image:1"),
            &["no-such-image"],
        ),
        (
            "silent",
            |c| {
                c["image"]["id"] = json!("silent:1");
                c.as_object_mut().unwrap().remove("exec");
            },
            &["failing", "neither Entrypoint nor Cmd"],
        ),
        (
            "nowhere",
            |c| c["image"]["id"] = json!("nowhere:1"),
            &["/probe/inside"],
        ),
    ];
    for (name, change, words) in cases {
        let id = format!("/{name}");
        // The sibling must not be started either: a pod starts whole or not at all.
        let witness = host.directory().join(name);
        std::fs::create_dir(&witness).unwrap();
        let mut sibling = pods::probe_container("sibling", "append /w/started , hold");
        sibling["volumeMounts"] = json!([{"name": "w", "mountPath": "/w"}]);
        let mut failing = pods::probe_container("failing", "hold");
        change(&mut failing);
        let mut pod = pods::pod(&id, &[sibling, failing]);
        pod["volumes"] = json!([{"name": "w", "host": witness}]);

        let answer = host.request("POST", "/v2/pods", Some(&pod));
        if answer.status == 201 {
            wait_for(
                &format!("{name}: its failure is told"),
                e2e::host::SOON,
                || {
                    let status = host.status(&id).to_string();
                    words
                        .iter()
                        .all(|word| status_tells(&status, word))
                        .then_some(())
                },
            );
            host.remove(&id);
        } else {
            assert!(
                words.iter().all(|word| answer.body.contains(word)),
                "{name}: {}",
                answer.body
            );
        }
        assert!(
            !witness.join("started").exists(),
            "{name}: the sibling was started"
        );
    }
    host.wait_until_clean();
}

/// Whether a message of the status names the word; the definition in it names it anyway.
fn status_tells(status: &str, word: &str) -> bool {
    let status: Value = serde_json::from_str(status).unwrap();
    let mut messages = vec![
        status["message"].to_string(),
        status["terminationHistory"].to_string(),
    ];
    messages.push(status["instances"].to_string());
    messages.concat().contains(word)
}
