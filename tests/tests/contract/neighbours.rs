//! Back-off, queue, events and Marathon's other paths: checks 142 to 153.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use e2e::{
    host::{Host, SOON},
    needs_root,
    openapi::Document,
    wait_for,
};
use serde_json::{Value, json};

use crate::{accepted, put, simple, sleeper, with};

/// A pod that fails at once and then waits for long.
fn failing(id: &str, seconds: u64) -> Value {
    let container = with(sleeper("c"), "/exec/command/shell", json!("exit 1"));
    let mut pod = with(simple(id), "/containers", json!([container]));
    pod["scheduling"]["backoff"] =
        json!({"backoff": seconds, "backoffFactor": 2, "maxLaunchDelay": 3600});
    pod
}

fn queue(host: &Host) -> Vec<Value> {
    let queue = host.request("GET", "/v2/queue", None).json();
    queue["queue"].as_array().cloned().unwrap()
}

fn delayed(host: &Host) -> Value {
    wait_for("a pod that waits for its back-off", SOON, || {
        let first = queue(host).first()?.clone();
        (first["delay"]["overdue"] == false).then_some(first)
    })
}

#[test]
fn check_143_a_delay_is_told() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &failing("/p", 60));
    let item = delayed(&host);
    assert!(
        item["delay"]["timeLeftSeconds"].as_u64() > Some(0),
        "{item}"
    );
    assert_eq!(item["pod"]["id"], "/p");
}

#[test]
fn check_142_and_144_a_delay_grows_and_is_reset() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &failing("/p", 60));
    let first = delayed(&host)["delay"]["timeLeftSeconds"].as_u64().unwrap();
    assert!((1..=60).contains(&first), "{first}");
    assert_eq!(
        host.request("DELETE", "/v2/queue/p/delay", None).status,
        204
    );
    // It is launched at once, fails again, and waits anew.
    wait_for("the second launch", SOON, || {
        let status = host.status("/p");
        let task = status["instances"][0]["containers"][0]["containerId"]
            .as_str()?
            .to_owned();
        task.ends_with(".2").then_some(())
    });
    delayed(&host);
    let unknown = host.request("DELETE", "/v2/queue/nobody/delay", None);
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.json()["message"],
        "Application /nobody not found in tasks queue."
    );
}

#[test]
fn check_145_nothing_waits() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/p"));
    assert_eq!(
        host.request("GET", "/v2/queue", None).json(),
        json!({"queue": []})
    );
}

#[test]
fn unused_offers_are_shown_to_whom_asks() {
    needs_root!();
    let host = Host::start();
    accepted(
        &host,
        &with(simple("/p"), "/containers/0/resources/mem", json!(1e9)),
    );
    assert!(queue(&host)[0].get("lastUnusedOffers").is_none());
    let queue = host
        .request("GET", "/v2/queue?embed=lastUnusedOffers", None)
        .json();
    let offer = &queue["queue"][0]["lastUnusedOffers"][0];
    assert_eq!(offer["reason"], json!(["InsufficientMemory"]));
    assert!(
        offer["offer"]["hostname"].is_string() && offer["timestamp"].is_string(),
        "{offer}"
    );
}

/// A reader of the event stream.
struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(host: &Host, query: &str) -> Self {
        let mut socket = UnixStream::connect(host.socket()).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let request = format!(
            "GET /v2/events{query} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(socket);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.contains("200"), "{line}");
        Self(reader)
    }

    /// The next event; heartbeats and what frames chunks are passed over.
    fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                let event = serde_json::from_str(data).unwrap();
                let described = Document::of_binary().check_schema("Event", &event);
                described.unwrap_or_else(|problem| panic!("{problem}"));
                return event;
            }
        }
    }

    fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next();
            if event["eventType"] == kind {
                return event;
            }
        }
    }
}

#[test]
fn check_147_events_of_a_pod() {
    needs_root!();
    let host = Host::start();
    let mut stream = Stream::open(&host, "");
    let first = stream.next();
    assert_eq!(first["eventType"], "event_stream_attached");
    assert!(
        first["remoteAddress"].is_string() && first["timestamp"].is_string(),
        "{first}"
    );
    accepted(&host, &simple("/p"));
    let created = stream.next_of("pod_created_event");
    assert_eq!(
        (&created["uri"], created["clientIp"].is_string()),
        (&json!("/v2/pods"), true)
    );
    let done = stream.next_of("deployment_success");
    assert!(
        done["id"].is_string() && done["plan"].get("original").is_none(),
        "{done}"
    );
    put(&host, &with(simple("/p"), "/labels/a", json!("b")));
    let updated = stream.next_of("pod_updated_event");
    assert_eq!(updated["podId"], "/p");
}

#[test]
fn events_come_in_the_order_of_what_happened() {
    needs_root!();
    let host = Host::start();
    let mut stream = Stream::open(&host, "");
    accepted(&host, &simple("/p"));
    let mut kinds = Vec::new();
    let mut conditions = Vec::new();
    loop {
        let event = stream.next();
        let kind = event["eventType"].as_str().unwrap().to_owned();
        if kind == "instance_changed_event" {
            assert_eq!(event["runSpecId"], "/p");
            conditions.push(event["condition"].as_str().unwrap().to_owned());
        }
        assert!(!kind.starts_with("monopod_"), "{event}");
        kinds.push(kind);
        if kinds
            .last()
            .is_some_and(|kind| kind == "deployment_success")
        {
            break;
        }
    }
    assert_eq!(
        conditions,
        ["Scheduled", "Provisioned", "Starting", "Running"]
    );
    let place = |kind: &str| kinds.iter().position(|found| found == kind);
    assert!(
        place("deployment_info") < place("deployment_step_success"),
        "{kinds:?}"
    );
    assert!(
        place("status_update_event").is_some() && place("group_change_success").is_some(),
        "{kinds:?}"
    );
}

#[test]
fn check_148_only_what_was_asked_for() {
    needs_root!();
    let host = Host::start();
    let mut stream = Stream::open(&host, "?event_type=deployment_success");
    host.launch(&simple("/p"));
    host.launch(&simple("/q"));
    for _ in 0..2 {
        assert_eq!(stream.next()["eventType"], "deployment_success");
    }
}

#[test]
fn check_149_our_own_events_are_for_whom_asks() {
    needs_root!();
    let host = Host::start();
    let mut stream = Stream::open(&host, "?event_type=monopod_run_ended_event");
    host.launch(&simple("/p"));
    host.remove("/p");
    let event = stream.next();
    assert_eq!(event["eventType"], "monopod_run_ended_event");
    assert!(
        event["message"].as_str().unwrap().contains("is over"),
        "{event}"
    );
}

#[test]
fn an_event_stream_must_be_asked_for_as_such() {
    needs_root!();
    assert_eq!(Host::start().request("GET", "/v2/events", None).status, 405);
}

#[test]
fn check_150_ping() {
    needs_root!();
    let answer = Host::start().request("GET", "/ping", None);
    assert_eq!((answer.status, answer.body.as_str()), (200, "pong"));
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
}

#[test]
fn check_151_info() {
    needs_root!();
    let info = Host::start().request("GET", "/v2/info", None).json();
    for member in [
        "name",
        "version",
        "leader",
        "frameworkId",
        "marathon_config",
        "http_config",
    ] {
        assert!(!info[member].is_null(), "{member} in {info}");
    }
    // Clients fail on members that Marathon does not have.
    assert!(info.get("monopod").is_none(), "{info}");
}

#[test]
fn check_152_groups() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/shop/web"));
    host.launch(&simple("/alone"));
    let root = host.request("GET", "/v2/groups", None).json();
    assert_eq!((&root["id"], &root["apps"]), (&json!("/"), &json!([])));
    assert_eq!(root["pods"][0]["id"], "/alone");
    assert_eq!(root["pods"][0]["status"], "STABLE");
    assert_eq!(root["groups"][0]["id"], "/shop");
    assert_eq!(root["groups"][0]["pods"][0]["id"], "/shop/web");
    let shop = host.request("GET", "/v2/groups//shop/", None).json();
    assert_eq!(
        (&shop["id"], &shop["pods"][0]["id"]),
        (&json!("/shop"), &json!("/shop/web"))
    );
    let bare = host
        .request("GET", "/v2/groups?embed=group.groups", None)
        .json();
    assert_eq!(
        (&bare["pods"], &bare["groups"][0]["pods"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(host.request("GET", "/v2/groups/nobody", None).status, 404);
}

#[test]
fn check_153_there_are_no_apps() {
    needs_root!();
    let host = Host::start();
    accepted(&host, &simple("/p"));
    assert_eq!(
        host.request("GET", "/v2/apps", None).json(),
        json!({"apps": []})
    );
    assert_eq!(host.request("GET", "/v2/apps/p", None).status, 404);
    assert_eq!(
        host.request("POST", "/v2/apps", Some(&json!({"id": "/p"})))
            .status,
        422
    );
    assert_eq!(
        host.request("GET", "/v2/tasks", None).json(),
        json!({"tasks": []})
    );
}

#[test]
fn what_clients_read_of_mesos() {
    needs_root!();
    let host = Host::start();
    host.launch(&simple("/p"));
    for path in ["/mesos/master/state", "/mesos/master/state.json"] {
        let state = host.request("GET", path, None).json();
        let framework = &state["frameworks"][0];
        assert_eq!(framework["name"], "marathon");
        assert_eq!(framework["tasks"][0]["state"], "TASK_RUNNING");
        assert_eq!(framework["tasks"][0]["slave_id"], state["slaves"][0]["id"]);
    }
    let summary = host
        .request("GET", "/mesos/master/state-summary", None)
        .json();
    assert_eq!(summary["frameworks"][0]["TASK_RUNNING"], 1);
    let agents = host.request("GET", "/mesos/slaves", None).json();
    assert!(agents["slaves"][0]["hostname"].is_string());
    for path in [
        "/dcos-metadata/dcos-version.json",
        "/system/health/v1",
        "/metadata",
        "/mesos_dns/v1/hosts/master.mesos",
    ] {
        assert_eq!(host.request("GET", path, None).status, 200, "{path}");
    }
    assert_eq!(
        host.request("GET", "/dcos-metadata/bootstrap-config.json", None)
            .status,
        404
    );
}

#[test]
fn every_path_is_also_below_the_services_prefix() {
    needs_root!();
    let host = Host::start();
    for path in [
        "/v2/pods",
        "/v2/groups/",
        "/v2/apps",
        "/v2/queue",
        "/v2/info",
        "/v2/leader",
        "/ping",
        "/metrics",
    ] {
        let path = format!("/service/marathon{path}");
        assert_eq!(host.request("GET", &path, None).status, 200, "{path}");
    }
}
