//! Pods that run once: whatever happens to the host, their results stay and nothing of them runs a second time.

use e2e::{
    guest::{Guest, SOON},
    pods,
};
use serde_json::{Value, json};

/// Where each run leaves a line, on the guest's disk.
const COUNTS: &str = "/var/lib/counts";

/// What a pod runs, and the state and exit status that its container keeps; no status for one that was cut off.
const JOBS: [(&str, &str, &str, Option<i64>); 3] = [
    ("/job/good", "exit 0", "TASK_FINISHED", Some(0)),
    ("/job/bad", "exit 3", "TASK_FAILED", Some(3)),
    // The restart of the host ends it.
    ("/job/cut", "exec sleep 100000", "TASK_GONE", None),
];

/// Their ids.
pub(crate) fn ids() -> impl Iterator<Item = &'static str> {
    JOBS.iter().map(|(id, ..)| *id)
}

/// Launches them and waits until two have their results, and the third runs.
pub(crate) fn launch(guest: &Guest) {
    guest.check(&format!("mkdir -p {COUNTS}"));
    for (id, command, _, _) in JOBS {
        let name = name(id);
        let script = format!("echo run >> counts/{name}; sync; {command}");
        let mut container = pods::shell_container("c", &script);
        container["volumeMounts"] = json!([{"name": "counts", "mountPath": "counts"}]);
        let mut pod = pods::pod(id, &[container]);
        pod["volumes"] = json!([{"name": "counts", "host": COUNTS}]);
        pod["scheduling"]["restartPolicy"] = json!("NEVER");
        guest.add(&pod);
    }
    for (id, _, state, _) in JOBS.iter().take(2) {
        let over = format!("monopod pod show {id} --json | grep -q {state}");
        guest.wait_until("a job is over", SOON, &over);
    }
    let counted = format!("[ -s {COUNTS}/cut ]");
    guest.wait_until("the third job runs", SOON, &counted);
    guest.wait_until_stable("/job/cut");
}

/// All of them are over, with the results that they had, after a single run each.
pub(crate) fn check_results(guest: &Guest) {
    for (id, _, state, exit) in JOBS {
        let status = guest.status(id);
        assert_eq!(status["status"], "TERMINAL", "{status:#}");
        let instances = status["instances"].as_array().unwrap();
        assert_eq!(instances.len(), 1, "{status:#}");
        let container: &Value = &instances[0]["containers"][0];
        assert_eq!(container["status"], state, "{status:#}");
        assert_eq!(
            container["termination"]["exitCode"].as_i64(),
            exit,
            "{status:#}"
        );
        let runs = guest.read(&format!("{COUNTS}/{}", name(id)));
        assert_eq!(runs, "run\n", "{id} ran so often");
    }
}

fn name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}
