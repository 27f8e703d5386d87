//! The command line as scripts see it.

use std::process::{Command, Output};

use e2e::{binary, host::Host, needs_root, pods};
use serde_json::Value;

use crate::examples;

fn monopod(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary::monopod());
    command.args(["--run-dir", "/nonexistent"]).args(arguments);
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn exit_codes_without_a_daemon() {
    let cases: [(&[&str], i32); 6] = [
        (&["version"], 0),
        (&["--help"], 0),
        (&["pod", "kill", "/a"], 1),
        (&["pod", "add", "/nonexistent.json"], 1),
        (&["pod", "list", "--no-such-flag"], 2),
        (&["pod", "list"], 3),
    ];
    for (arguments, code) in cases {
        let output = monopod(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
    }
    assert_eq!(
        stderr(&monopod(&["pod", "kill", "/a"])),
        "Please provide at least one pod instance ID\n"
    );
    assert!(
        stderr(&monopod(&["pod", "list"])).contains("monopod daemon"),
        "a remedy is named"
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = Command::new(binary::monopod())
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn examples_are_valid() {
    for example in examples() {
        let output = monopod(&["validate", example.to_str().unwrap()]);
        assert!(
            output.status.success(),
            "{}: {}",
            example.display(),
            stdout(&output)
        );
        assert_eq!(stdout(&output), "valid\n", "{}", example.display());
    }
}

#[test]
fn the_verbs_print_what_scripts_expect() {
    needs_root!();
    let host = Host::start();
    let none = host.monopod(&["deployment", "list"]);
    assert_eq!(
        (none.status.code(), stderr(&none)),
        (Some(1), "There are no deployments\n".to_owned())
    );
    assert_eq!(
        stdout(&host.monopod(&["deployment", "list", "--json"])),
        "[]\n"
    );
    assert_eq!(stdout(&host.monopod(&["pod", "list"])), "");

    let file = host.directory().join("pod.json");
    let loud = "echo out; echo err >&2; sleep 1000";
    let pod = pods::pod(
        "/shop/web",
        &[
            pods::shell_container("b", loud),
            pods::shell_container("a", loud),
        ],
    );
    std::fs::write(&file, pod.to_string()).unwrap();
    let file = file.to_str().unwrap();
    let added = host.monopod(&["pod", "add", "--wait", "--timeout", "60", file]);
    assert!(
        added.status.success(),
        "{}\n{}",
        stderr(&added),
        host.log_tail()
    );
    let text = stdout(&added);
    let id = text.strip_prefix("Created deployment ").unwrap().trim_end();
    assert_eq!(id.len(), 36, "{text}");
    assert_eq!(
        stderr(&added),
        "",
        "nothing but the result without a terminal"
    );

    assert_eq!(
        stdout(&host.monopod(&["pod", "list", "--quiet"])),
        "/shop/web\n"
    );
    let table = stdout(&host.monopod(&["pod", "list"]));
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert_eq!(&lines[2..], [" |-a", " |-b"]);
    let shown: Value =
        serde_json::from_str(&stdout(&host.monopod(&["pod", "show", "shop/web"]))).unwrap();
    assert_eq!(shown["status"], "STABLE");

    host.wait_for_line("/shop/web", "a", |line| line == "out");
    e2e::wait_for("what a says to stderr", e2e::host::SOON, || {
        (host.log_of("/shop/web", "a", "stderr") == "err\n").then_some(())
    });
    let logs = host.monopod(&["pod", "logs", "shop/web", "--container", "a"]);
    assert_eq!(
        (stdout(&logs), stderr(&logs)),
        ("out\n".to_owned(), "err\n".to_owned())
    );
    host.wait_for_line("/shop/web", "b", |line| line == "out");
    let both = stdout(&host.monopod(&["pod", "logs", "/shop/web", "--stdout"]));
    assert_eq!(both, "b | out\na | out\n");

    let info: Value = serde_json::from_str(&stdout(&host.monopod(&["info", "--json"]))).unwrap();
    assert_eq!(info["runDir"], host.run_dir().to_str().unwrap());
    let url = info["url"].as_str().unwrap().to_owned();
    let token = stdout(&host.monopod(&["token", "show"]));
    let remote = |token: &str| {
        let arguments = ["--url", &url, "--token", token, "pod", "list", "--quiet"];
        Command::new(binary::monopod())
            .args(arguments)
            .output()
            .unwrap()
    };
    assert_eq!(stdout(&remote(token.trim_end())), "/shop/web\n");
    assert_eq!(remote("wrong").status.code(), Some(1));

    let missing = host.monopod(&["pod", "update", "/nothing", file]);
    assert_eq!(
        (missing.status.code(), stderr(&missing)),
        (Some(1), "Error: Pod '/nothing' does not exist\n".to_owned())
    );
    let removed = host.monopod(&["pod", "remove", "--wait", "/shop/web"]);
    assert_eq!(
        (removed.status.code(), stdout(&removed), stderr(&removed)),
        (Some(0), String::new(), String::new())
    );
}
