//! The DC/OS command line, of DC/OS 1.9 and the last one in Python.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use e2e::{
    host::{Host, SOON},
    needs_root,
    python::Environment,
    wait_for,
};
use serde_json::{Value, json};

use crate::Said;

/// The command line, configured for one daemon.
struct Dcos<'a> {
    host: &'a Host,
    program: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

impl<'a> Dcos<'a> {
    fn new(host: &'a Host, environment: &Environment, old: bool) -> Self {
        let directory = host.directory().join("dcos");
        let (url, token) = (format!("http://{}", host.tcp()), host.token());
        let core =
            format!("dcos_url = \"{url}\"\ndcos_acs_token = \"{token}\"\nreporting = false\n");
        let marathon = format!("[marathon]\nurl = \"{url}\"\n");
        let (file, variable) = if old {
            (directory.join("dcos.toml"), "DCOS_CONFIG")
        } else {
            (directory.join("clusters/local/dcos.toml"), "DCOS_DIR")
        };
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let cluster = if old {
            ""
        } else {
            "[cluster]\nname = \"local\"\n"
        };
        fs::write(&file, format!("{cluster}[core]\n{core}{marathon}")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if !old {
            fs::write(directory.join("clusters/local/attached"), "").unwrap();
        }
        Self {
            host,
            program: environment.program("dcos"),
            variables: vec![
                (variable, if old { file } else { directory.clone() }),
                ("HOME", directory),
            ],
        }
    }

    /// Runs a command with this input.
    fn say(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .current_dir(self.host.directory())
            .env_remove("DCOS_DIR")
            .env_remove("DCOS_CONFIG")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap().into()
    }

    fn pod(&self, arguments: &[&str]) -> Said {
        self.say(&[&["marathon", "pod"], arguments].concat(), "")
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        let said = self.say(arguments, "");
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said.stdout
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], with: &str) {
        let said = self.say(arguments, "");
        assert_eq!(said.code, Some(1), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(with), "{arguments:?}: {said:?}");
    }
}

fn definition(shell: &str) -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "exec": {"command": {"shell": shell}}, "resources": {"cpus": 0.1, "mem": 32},
            "lifecycle": {"killGracePeriodSeconds": 1},
        })
    };
    json!({
        "id": "/simple-pod", "containers": [container("sleep-b"), container("a-web")], "networks": [{"mode": "host"}],
    })
}

/// Lines without the spaces that fill up columns.
fn trimmed(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn a_pod_from_its_beginning_to_its_end(version: &str, old: bool) {
    let environment = e2e::python!(Environment::dcos(version));
    let host = Host::start();
    let dcos = Dcos::new(&host, &environment, old);
    let file = host.directory().join("pod.json");
    fs::write(&file, definition("exec sleep 1000").to_string()).unwrap();
    let file = file.to_str().unwrap();

    assert_eq!(dcos.succeeds(&["marathon", "pod", "list"]), "");
    let added = dcos.succeeds(&["marathon", "pod", "add", file]);
    let id = added
        .strip_prefix("Created deployment ")
        .unwrap()
        .trim_end();
    assert_eq!(id.len(), 36, "{added}");
    let status = host.wait_until_stable("/simple-pod");

    let (version, since) = (&status["spec"]["version"], &status["statusSince"]);
    let (version, since) = (version.as_str().unwrap(), since.as_str().unwrap());
    assert_eq!(
        trimmed(&dcos.succeeds(&["marathon", "pod", "list"])),
        format!(
            "ID+TASKS     INSTANCES  VERSION                   STATUS  STATUS SINCE              WAITING\n\
             /simple-pod      1      {version}  STABLE  {since}  False\n \
             |-a-web\n \
             |-sleep-b"
        )
    );
    let listed: Value =
        serde_json::from_str(&dcos.succeeds(&["marathon", "pod", "list", "--json"])).unwrap();
    assert_eq!(
        (&listed[0]["id"], &listed[0]["overdue"]),
        (&json!("/simple-pod"), &json!(false))
    );
    if !old {
        assert_eq!(
            dcos.succeeds(&["marathon", "pod", "list", "--quiet"]),
            "/simple-pod\n"
        );
    }
    let shown: Value =
        serde_json::from_str(&dcos.succeeds(&["marathon", "pod", "show", "simple-pod/"])).unwrap();
    let instance = shown["instances"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(shown["status"], "STABLE");

    let mut two = definition("exec sleep 1000");
    two["scaling"] = json!({"kind": "fixed", "instances": 2});
    let updated = dcos.say(
        &["marathon", "pod", "update", "simple-pod"],
        &two.to_string(),
    );
    assert!(
        updated.code == Some(0) && updated.stdout.starts_with("Created deployment "),
        "{updated:?}"
    );
    host.wait_until_stable("/simple-pod");
    let killed = dcos.pod(&["kill", "simple-pod", &instance]);
    assert_eq!(
        (killed.code, killed.stdout.as_str()),
        (Some(0), ""),
        "{killed:?}"
    );
    wait_for("the instance is launched anew", SOON, || {
        let status = host.status("/simple-pod");
        let instances = status["instances"].as_array()?.clone();
        let found = instances
            .iter()
            .find(|found| found["id"] == instance)?
            .clone();
        let task = found["containers"][0]["containerId"].as_str()?.to_owned();
        task.ends_with(".2").then_some(())
    });
    host.wait_until_stable("/simple-pod");
    assert_eq!(
        dcos.succeeds(&["marathon", "pod", "remove", "simple-pod"]),
        ""
    );
    wait_for("the pod is gone", SOON, || {
        host.status("/simple-pod").is_null().then_some(())
    });
}

fn what_goes_wrong_is_told(version: &str, old: bool) {
    let environment = e2e::python!(Environment::dcos(version));
    let host = Host::start();
    let dcos = Dcos::new(&host, &environment, old);
    let file = host.directory().join("pod.json");
    fs::write(&file, definition("exec sleep 1000").to_string()).unwrap();
    let file = file.to_str().unwrap();
    host.launch(&definition("exec sleep 1000"));
    dcos.fails(
        &["marathon", "pod", "show", "nobody"],
        "Error: Pod '/nobody' does not exist",
    );
    dcos.fails(
        &["marathon", "pod", "remove", "nobody"],
        "Error: Pod '/nobody' does not exist",
    );
    dcos.fails(
        &["marathon", "pod", "kill", "simple-pod"],
        "Please provide at least one pod instance ID",
    );
    dcos.fails(
        &["marathon", "pod", "add", file],
        "Changes blocked: deployment already in progress for pod.",
    );
    dcos.fails(
        &["marathon", "pod", "add", "/nonexistent"],
        "Can't read from resource: /nonexistent.",
    );
    let bad = dcos.say(
        &["marathon", "pod", "add"],
        r#"{"id":"/UPPER","containers":[]}"#,
    );
    assert!(
        bad.code == Some(1) && bad.stderr.contains("HTTP 422"),
        "{bad:?}"
    );
    let cut = dcos.say(&["marathon", "pod", "add"], r#"{"id":"#);
    assert!(
        cut.code == Some(1) && cut.stderr.contains("Error loading JSON"),
        "{cut:?}"
    );
    dcos.fails(
        &["marathon", "deployment", "list"],
        "There are no deployments",
    );
    dcos.fails(
        &[
            "marathon",
            "deployment",
            "stop",
            "00000000-0000-0000-0000-000000000000",
        ],
        "does not exist",
    );
}

fn neighbours_answer(version: &str, old: bool) {
    let environment = e2e::python!(Environment::dcos(version));
    let host = Host::start();
    let dcos = Dcos::new(&host, &environment, old);
    host.launch(&definition("exec sleep 1000"));
    let mut huge = definition("exec sleep 1000");
    huge["id"] = json!("/huge");
    huge["containers"][0]["resources"]["mem"] = json!(1e9);
    host.add(&huge);

    assert!(
        dcos.succeeds(&["marathon", "deployment", "list"])
            .contains("/huge")
    );
    assert!(
        dcos.succeeds(&["marathon", "debug", "list"])
            .contains("/huge")
    );
    let summary = dcos.succeeds(&["marathon", "debug", "summary", "/huge"]);
    let mem = summary
        .lines()
        .find(|line| line.starts_with("MEM"))
        .unwrap();
    assert!(mem.contains("0 / 1"), "{summary}");
    let details = dcos.succeeds(&["marathon", "debug", "details", "/huge"]);
    assert!(details.starts_with("HOSTNAME"), "{details}");
    assert_eq!(dcos.succeeds(&["marathon", "app", "list"]), "");
    assert_eq!(dcos.succeeds(&["marathon", "task", "list"]), "");
    let group: Value =
        serde_json::from_str(&dcos.succeeds(&["marathon", "group", "show", "/"])).unwrap();
    assert_eq!(group["pods"].as_array().map(Vec::len), Some(2));
    let about: Value = serde_json::from_str(&dcos.succeeds(&["marathon", "about"])).unwrap();
    assert_eq!(about["name"], "marathon");
    if !old {
        assert!(
            dcos.succeeds(&["marathon", "ping", "--once"])
                .contains("pong")
        );
    }
    let tasks = dcos.succeeds(&["task"]);
    assert!(
        tasks.contains("a-web") && tasks.contains("sleep-b"),
        "{tasks}"
    );
    assert!(dcos.succeeds(&["service"]).contains("marathon"));
    assert!(dcos.succeeds(&["node"]).contains("HOSTNAME"));
    let id = host.deployments()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(dcos.succeeds(&["marathon", "deployment", "stop", &id]), "");
    assert!(host.deployments().is_empty());
}

macro_rules! of_both {
    ($($name:ident),+) => {
        mod of_1_9 {
            $(#[test] fn $name() { e2e::needs_root!(); super::$name("0.4.17", true); })+
        }
        mod last_in_python {
            $(#[test] fn $name() { e2e::needs_root!(); super::$name("0.6.1", false); })+
        }
    };
}

of_both!(
    a_pod_from_its_beginning_to_its_end,
    what_goes_wrong_is_told,
    neighbours_answer
);

#[test]
fn the_url_may_have_the_services_prefix() {
    needs_root!();
    let environment = e2e::python!(Environment::dcos("0.6.1"));
    let host = Host::start();
    let dcos = Dcos::new(&host, &environment, false);
    let file = host.directory().join("dcos/clusters/local/dcos.toml");
    let text = fs::read_to_string(&file).unwrap();
    // Without an address of its own, Marathon is looked for below the cluster's.
    fs::write(&file, text.split("[marathon]").next().unwrap()).unwrap();
    host.launch(&definition("exec sleep 1000"));
    assert_eq!(
        dcos.succeeds(&["marathon", "pod", "list", "--quiet"]),
        "/simple-pod\n"
    );
}
