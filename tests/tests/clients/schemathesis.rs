//! schemathesis: requests made of the API's own description, well formed and not, against the real daemon.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use e2e::{
    host::Host,
    needs_root,
    python::Environment,
    random::{self, Random},
};
use serde_json::Value;

use crate::Said;

/// Requests of one run, unless `MONOPOD_FUZZ_REQUESTS` says otherwise.
const REQUESTS: u64 = 500;

/// So many requests come of one example for each operation, at least.
const REQUESTS_PER_EXAMPLE: u64 = 60;

/// How much longer than its requests take a run may be, before it is a hang.
const LIMIT: Duration = Duration::from_secs(1800);

/// Everything is checked but `positive_data_acceptance`: a schema cannot say the rules between members, nor that a pod
/// is there already.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,\
unsupported_method,allow_header_conformance,use_after_free,ignored_auth";

/// Waiting for deployments that nothing will move would only take time; a stream never ends.
const CONFIGURATION: &str = "\
suppress-health-check = [\"all\"]

[parameters]
wait = 0

[[operations]]
include-path = \"/v2/events\"
enabled = false
";

/// Phases of a run: going through the limits of every parameter takes thousands of requests.
fn phases(requests: u64) -> &'static str {
    match requests > REQUESTS {
        true => "examples,coverage,fuzzing,stateful",
        false => "examples,fuzzing,stateful",
    }
}

/// Every request of a run, as `METHOD path status`.
fn requests_sent(report: &Path) -> Vec<String> {
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    let entries = report["log"]["entries"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| {
            let (request, status) = (&entry["request"], &entry["response"]["status"]);
            let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
            format!("{} {} {status}", text("method"), text("url"))
        })
        .collect()
}

#[test]
fn whatever_is_sent_is_answered_as_described() {
    needs_root!();
    let environment = Environment::of("schemathesis", &["schemathesis==4.32.5"]);
    let environment = e2e::python!(environment);
    // Nothing fits, so that no definition that is made up is ever launched.
    let host = Host::start_with(&["--resources", "cpus:0.01;mem:1;disk:1"]);
    let configuration = host.directory().join("schemathesis.toml");
    fs::write(&configuration, CONFIGURATION).unwrap();
    let report = host.directory().join("requests.har");
    let requests = random::setting("MONOPOD_FUZZ_REQUESTS", REQUESTS);
    let examples = requests.div_ceil(REQUESTS_PER_EXAMPLE).to_string();
    let seed = Random::from_environment("MONOPOD_FUZZ_SEED").below(1 << 32);
    let url = format!("http://{}", host.tcp());
    let started = Instant::now();
    let said: Said = Command::new("timeout")
        .arg(LIMIT.as_secs().to_string())
        .arg(environment.program("schemathesis"))
        .arg("--config-file")
        .arg(&configuration)
        .args(["run", &format!("{url}/v2/openapi.json"), "--url", &url])
        .args([
            "--header",
            &format!("Authorization: token={}", host.token()),
        ])
        .args([
            "--checks",
            CHECKS,
            "--seed",
            &seed.to_string(),
            "--no-color",
            "--continue-on-failure",
        ])
        .args(["--generation-database", "none", "--request-timeout", "30"])
        .args(["--phases", phases(requests), "--max-examples", &examples])
        .args(["--report", "har", "--report-har-path"])
        .arg(&report)
        .current_dir(host.directory())
        .output()
        .unwrap()
        .into();
    let sent = requests_sent(&report);
    println!("{} requests in {:?}", sent.len(), started.elapsed());
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, host.log_tail());
    assert!(sent.len() as u64 >= requests * 4 / 5, "only {}", sent.len());
    let accepted = |line: &String| line.starts_with("POST") && line.ends_with(" 201");
    assert!(sent.iter().any(accepted), "no pod was accepted");
    assert_eq!(host.processes().len(), 0, "nothing was launched");
}
