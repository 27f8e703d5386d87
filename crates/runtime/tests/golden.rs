//! What was written by earlier versions is still read, and what is written is what they can read.
//!
//! Peers of version 1 ignore members that they do not know (serde's default: no type denies them), and verbs that they
//! do not know. So what is written today may have more members than was recorded, but every recorded member must be
//! there with its value. They do not ignore values that they do not know: see
//! [`states_and_reasons_that_old_daemons_know`].
#![expect(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::{fs, path::Path};

use model::{
    id::RunId,
    state::{Reason, TaskState},
    update::{ExitStatus, TaskUpdate},
};
use runtime::{
    journal::{Header, Journal, salvage},
    launch::{CgroupPaths, ContainerLaunch, Launch, LogLimits, OLDEST_VERSION, Rootfs, VolumeBind},
    protocol::{FromExecutor, ToExecutor, Versions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

const INSTANCE: &str = "6f7f3a1e-2f7d-4f39-9a0e-5d1c0c7c2b11";

fn run() -> RunId {
    format!("{INSTANCE}.3").parse().unwrap()
}

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/v1")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// What of `recorded` a peer of that time would miss in `written`.
fn missing(recorded: &Value, written: &Value, at: &str) -> Vec<String> {
    match (recorded, written) {
        (Value::Object(members), Value::Object(found)) => members
            .iter()
            .flat_map(|(name, value)| match found.get(name) {
                Some(found) => missing(value, found, &format!("{at}.{name}")),
                None => vec![format!("{at}.{name} is not there")],
            })
            .collect(),
        (Value::Array(values), Value::Array(found)) if values.len() == found.len() => {
            let pairs = values.iter().zip(found).enumerate();
            pairs
                .flat_map(|(index, (value, found))| {
                    missing(value, found, &format!("{at}[{index}]"))
                })
                .collect()
        }
        _ if recorded == written => Vec::new(),
        _ => vec![format!("{at} is {written} instead of {recorded}")],
    }
}

/// Compares both ways: the recorded text is read as the value, and the value is written as the text has it.
#[track_caller]
fn check<T>(recorded: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let read: T = serde_json::from_str(recorded).unwrap_or_else(|e| panic!("{recorded}: {e}"));
    assert_eq!(read, *value, "{recorded}");
    check_written(recorded, &serde_json::to_string(value).unwrap());
}

#[track_caller]
fn check_written(recorded: &str, written: &str) {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let missing = missing(&parse(recorded), &parse(written), "");
    assert!(missing.is_empty(), "{written}: {missing:#?}");
}

fn update(sequence: u64, container: &str, state: TaskState) -> TaskUpdate {
    TaskUpdate {
        run: run(),
        sequence,
        at: format!("2026-11-28T19:50:00.{sequence:03}Z")
            .parse()
            .unwrap(),
        container: container.to_owned(),
        state,
        reason: None,
        message: String::new(),
        exit: None,
        healthy: None,
    }
}

/// Every kind of update, as recorded.
fn updates() -> Vec<TaskUpdate> {
    use ExitStatus::{Exited, Signaled};
    let because = |update, reason, message: &str, exit| TaskUpdate {
        reason: Some(reason),
        message: message.to_owned(),
        exit,
        ..update
    };
    vec![
        update(1, "web", TaskState::Starting),
        update(2, "web", TaskState::Running),
        TaskUpdate {
            reason: Some(Reason::HealthCheckStatusUpdated),
            healthy: Some(true),
            ..update(3, "web", TaskState::Running)
        },
        TaskUpdate {
            message: "Command exited with status 0".to_owned(),
            exit: Some(Exited(0)),
            ..update(4, "db", TaskState::Finished)
        },
        because(
            update(5, "web", TaskState::Failed),
            Reason::ContainerLimitationMemory,
            "Memory limit exceeded: container 'web' reached its limit of 32 MiB; Command terminated with signal Killed",
            Some(Signaled(9)),
        ),
        because(
            update(6, "side", TaskState::Killing),
            Reason::GroupMemberEnded,
            "container 'web' ended: \"ä\"\n",
            None,
        ),
        because(
            update(7, "side", TaskState::Killed),
            Reason::KillRequested,
            "Command terminated with signal Terminated",
            Some(Signaled(15)),
        ),
        because(
            update(8, "image", TaskState::Failed),
            Reason::ContainerLaunchFailed,
            "failed to create the container: no such image",
            None,
        ),
        because(
            update(9, "side", TaskState::Killed),
            Reason::ExecutorTerminated,
            "Command terminated with signal Terminated (the executor was asked to stop)",
            Some(Signaled(15)),
        ),
    ]
}

#[test]
fn what_executors_say() {
    let mut expected = vec![FromExecutor::Hello {
        version: 1,
        oldest: 1,
        run: run(),
        pid: 4242,
    }];
    expected.extend(updates().into_iter().map(FromExecutor::Update));
    expected.push(FromExecutor::Unsupported);
    let recorded = golden("from_executor");
    assert_eq!(recorded.lines().count(), expected.len());
    for (line, value) in recorded.lines().zip(&expected) {
        check(line, value);
    }
    // Verbs that came later are ignored by daemons of version 1 as these are today.
    let unknown: FromExecutor = serde_json::from_str(r#"{"verb":"sing","to":[1]}"#).unwrap();
    assert_eq!(unknown, FromExecutor::Unknown);
}

#[test]
fn what_daemons_say() {
    let expected = [
        ToExecutor::Hello {
            version: 1,
            oldest: 1,
        },
        ToExecutor::Acknowledge { sequence: 7 },
        ToExecutor::Kill {
            reason: Reason::KillRequested,
            grace_ms: None,
        },
        ToExecutor::Kill {
            reason: Reason::Unhealthy,
            grace_ms: Some(2500),
        },
    ];
    let recorded = golden("to_executor");
    assert_eq!(recorded.lines().count(), expected.len());
    for (line, value) in recorded.lines().zip(&expected) {
        check(line, value);
    }
    let unknown: ToExecutor = serde_json::from_str(r#"{"verb":"dance","to":{"a":1}}"#).unwrap();
    assert_eq!(unknown, ToExecutor::Unknown);
}

#[test]
fn a_hello_is_read_by_whatever_version() {
    // What a hello of any version has; more is ignored.
    let line = r#"{"verb":"hello","version":7,"oldest":3,"run":"RUN","pid":1,"mood":"good"}"#;
    let line = line.replace("RUN", &run().to_string());
    let executor: FromExecutor = serde_json::from_str(&line).unwrap();
    let expected = FromExecutor::Hello {
        version: 7,
        oldest: 3,
        run: run(),
        pid: 1,
    };
    assert_eq!(executor, expected);
    let daemon: ToExecutor = serde_json::from_str(&line).unwrap();
    let expected = ToExecutor::Hello {
        version: 7,
        oldest: 3,
    };
    assert_eq!(daemon, expected);
}

#[test]
fn a_journal() {
    let recorded = golden("journal");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    fs::write(&path, &recorded).unwrap();
    let salvaged = salvage(&path, run()).unwrap();
    assert!(salvaged.damage.is_none(), "{:?}", salvaged.damage);
    assert_eq!(salvaged.updates, updates());
    fs::remove_file(&path).unwrap();
    let header = Header {
        version: 1,
        run: run(),
    };
    let mut journal = Journal::create(&path, header).unwrap();
    for update in updates() {
        journal.append(&update).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written.lines().count(), recorded.lines().count());
    for (recorded, written) in recorded.lines().zip(written.lines()) {
        check_written(recorded, written);
    }
}

#[test]
fn launch_messages() {
    check(&golden("launch"), &launch());
    let plain: Launch = serde_json::from_str(&golden("launch_plain")).unwrap();
    check(&golden("launch_plain"), &plain);
    // The first daemons did not tell how much memory was requested.
    let mut early: Value = serde_json::from_str(&golden("launch")).unwrap();
    let container = early["containers"][0].as_object_mut().unwrap();
    assert!(container.remove("memory_request_bytes").is_some());
    let early: Launch = serde_json::from_value(early).unwrap();
    assert_eq!(early.containers[0].memory_request_bytes, 0);
}

fn launch() -> Launch {
    let run = run();
    let sandbox = Path::new("/var/lib/monopod/sandboxes").join(format!("{INSTANCE}/3"));
    let covered = ["/var/lib/monopod", "/run/monopod", "/etc/monopod"];
    let covered = covered.map(Into::into).to_vec();
    let container = |name: &str, rootfs| ContainerLaunch {
        name: name.to_owned(),
        task_id: format!("web.instance-{INSTANCE}.{name}.3"),
        sandbox: sandbox.join("containers").join(name),
        sandbox_mount: "/mnt/mesos/sandbox".into(),
        argv: ["/bin/sh", "-c", "exec sleep 1000"]
            .map(str::to_owned)
            .to_vec(),
        environment: [("HOME", "/"), ("PATH", "/usr/bin:/bin")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        cwd: "/mnt/mesos/sandbox".into(),
        create_cwd: false,
        user: None,
        rootfs,
        mounts: Vec::new(),
        capabilities: ["CAP_CHOWN", "CAP_KILL"].map(str::to_owned).to_vec(),
        seccomp: true,
        cpus_milli: 100,
        cpu_quota_milli: None,
        memory_request_bytes: 32 << 20,
        memory_limit_bytes: Some(32 << 20),
        pids_limit: 1024,
        kill_grace_ms: 3000,
        stop_signal: 15,
    };
    let layers = ["b", "a"].map(|name| format!("/var/lib/monopod/images/layers/{name}").into());
    let image = Rootfs::Image {
        layers: layers.to_vec(),
        writable: sandbox.join("writable/web"),
    };
    let overlay = Rootfs::HostOverlay {
        writable: sandbox.join("writable/db"),
        covered: Vec::clone(&covered),
    };
    let volume = |source: std::path::PathBuf, destination: &str, read_only| VolumeBind {
        source,
        destination: destination.into(),
        read_only,
    };
    let containers = vec![
        ContainerLaunch {
            create_cwd: true,
            user: Some("www:www".to_owned()),
            cpu_quota_milli: Some(500),
            mounts: vec![
                volume(sandbox.join("volumes/news"), "/news", false),
                volume("/srv".into(), "/srv", true),
            ],
            stop_signal: 3,
            ..container("web", image)
        },
        container("db", overlay),
        ContainerLaunch {
            seccomp: false,
            ..container("side", Rootfs::HostReadOnly { covered })
        },
        ContainerLaunch {
            memory_limit_bytes: None,
            ..container(
                "image",
                Rootfs::HostReadWrite {
                    covered: Vec::new(),
                },
            )
        },
    ];
    Launch {
        version: 1,
        run,
        run_dir: format!("/run/monopod/runs/{run}").into(),
        sandbox,
        cgroups: CgroupPaths {
            run: format!("monopod/{run}"),
            executor: format!("monopod/{run}/executor"),
            leaving: "monopod/leaving".to_owned(),
        },
        hostname: Some("web".to_owned()),
        own_network: true,
        seccomp_program: "/run/monopod/seccomp".into(),
        die_with_parent: false,
        shm_bytes: 64 << 20,
        logs: LogLimits {
            file_bytes: 2 << 20,
            rotated_files: 2,
        },
        create_timeout_ms: 60_000,
        containers,
    }
}

/// A daemon that does not know a state or a reason does not understand the whole update, so that new ones need a new
/// version, and may only be told to daemons that speak it.
#[test]
fn states_and_reasons_that_old_daemons_know() {
    let states = "TASK_STAGING TASK_STARTING TASK_RUNNING TASK_KILLING TASK_FINISHED TASK_FAILED TASK_KILLED TASK_ERROR \
                  TASK_GONE TASK_DROPPED";
    let reasons = "REASON_CONTAINER_LAUNCH_FAILED REASON_CONTAINER_LIMITATION_MEMORY REASON_CONTAINER_LIMITATION \
                   REASON_EXECUTOR_TERMINATED REASON_TASK_KILLED_DURING_LAUNCH REASON_TASK_GROUP_INVALID \
                   REASON_INVALID_OFFERS REASON_SLAVE_RESTARTED REASON_HOST_REBOOTED REASON_GROUP_MEMBER_ENDED \
                   REASON_KILL_REQUESTED REASON_UNHEALTHY REASON_TASK_HEALTH_CHECK_STATUS_UPDATED \
                   REASON_MAX_COMPLETION_TIME_REACHED";
    let of_today = TaskState::ALL.iter().map(|state| state.as_str());
    assert_eq!(of_today.collect::<Vec<_>>().join(" "), states);
    let of_today = Reason::ALL.iter().map(|reason| reason.as_str());
    assert_eq!(of_today.collect::<Vec<_>>().join(" "), reasons);
}

/// What is recorded is spoken: a version that is given up takes its directory with it, and a new one brings one.
#[test]
fn every_version_that_is_spoken_is_recorded() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let names = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = names
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    let spoken = OLDEST_VERSION..=Versions::OURS.newest;
    let spoken: Vec<_> = spoken.map(|version| format!("v{version}")).collect();
    assert_eq!(names, spoken);
}
