//! What is written down of requests, and what never is.

use std::path::Path;

use e2e::{host::Host, needs_root, pods};
use serde_json::json;

use super::{ask, run, shows};

/// A value as it may stand in a definition's environment.
const VALUE: &str = "s3cr3t-of-a-definition";

#[test]
fn changes_leave_an_audit_line_and_nothing_leaves_a_secret() {
    needs_root!();
    let mut host = Host::start();
    let full = host.token();
    let looking = run(&host, &["token", "create", "--read-only", "--name", "eye"]);
    let mut pod = pods::pod("/audited", &[pods::shell_container("c", "sleep 1000")]);
    pod["environment"] = json!({ "PASSWORD": VALUE });
    pod["containers"][0]["environment"] = json!({ "OTHER": VALUE });
    let added = host.request("POST", "/v2/pods", Some(&pod));
    let deployment = added.deployment().unwrap().to_owned();
    host.wait_until_stable("/audited");
    let path = "/v2/pods/audited";
    assert_eq!(ask(&host, "DELETE", path, &[&shows(&looking)]).status, 403);
    assert_eq!(
        ask(&host, "DELETE", path, &[&shows("guessed-token")]).status,
        401
    );
    let wrong = host.request_text("POST", "/v2/pods", Some(&format!("{{\"id\": \"{VALUE}\"")));
    assert_eq!(wrong.status, 400);
    let renewed = run(&host, &["token", "rotate"]);
    assert_eq!(ask(&host, "DELETE", path, &[&shows(&renewed)]).status, 202);
    host.stop_daemon();

    let log = host.whole_log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("audit")).collect();
    let pid = std::process::id();
    let expected = [
        vec![
            format!("uid 0 pid {pid}"),
            "POST".into(),
            "201".into(),
            deployment,
        ],
        vec![
            "read-only token eye from 127.0.0.1".into(),
            "DELETE".into(),
            path.into(),
            "403".into(),
        ],
        vec![
            "nobody known from 127.0.0.1".into(),
            "DELETE".into(),
            path.into(),
            "401".into(),
        ],
        vec!["POST".into(), "400".into()],
        vec![
            "token from 127.0.0.1".into(),
            "DELETE".into(),
            path.into(),
            "202".into(),
        ],
    ];
    for words in expected {
        let tells = |line: &&&str| words.iter().all(|word| line.contains(word.as_str()));
        assert!(
            lines.iter().find(tells).is_some(),
            "{words:?} is not in {lines:#?}"
        );
    }
    for secret in [&full, &looking, &renewed, VALUE, "guessed-token"] {
        assert!(!log.contains(secret), "the log tells {secret}");
        let tell = files_that_contain(&host.run_dir(), secret);
        assert!(tell.is_empty(), "{secret} is in {tell:?}");
    }
}

/// Files below a directory that hold the text.
fn files_that_contain(directory: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_that_contain(&path, text));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                found.push(path);
            }
        }
    }
    found
}
