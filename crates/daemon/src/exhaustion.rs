//! Launches that fail because the host has run out of something: seen by what they say, since the kernel's reason comes
//! from this process as well as from executors.

use std::time::Duration;

use model::{
    state::{Reason, TaskState},
    time::Timestamp,
    update::RunOutcome,
};
use scheduler::Event;

use crate::conditions::{Conditions, Kind};

/// How long a failure is told of: longer than the longest usual back-off, since a launch tells whether it is over.
const TOLD_FOR: Duration = Duration::from_secs(10 * 60);

/// What a host can run out of.
#[derive(Debug, PartialEq, Eq)]
struct Scarcity {
    /// How the errors of std, rustix and nix name the kernel's reason.
    errors: &'static [&'static str],
    /// Words of which the message must have one; any message will do if there are none.
    about: &'static [&'static str],
    what: &'static str,
    remedy: &'static str,
}

/// The first that fits holds.
const SCARCITIES: &[Scarcity] = &[
    Scarcity {
        errors: &["(os error 24)", "(os error 28)", "EMFILE", "ENOSPC"],
        about: &["inotify"],
        what: "inotify instances or watches",
        remedy: "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches (sysctl)",
    },
    Scarcity {
        errors: &["(os error 24)", "(os error 23)", "EMFILE", "ENFILE"],
        about: &[],
        what: "open files",
        remedy: "raise LimitNOFILE= of the daemon's unit, or fs.file-max (sysctl)",
    },
    Scarcity {
        errors: &["(os error 122)", "EDQUOT"],
        about: &["key"],
        what: "keys",
        remedy: "raise kernel.keys.root_maxkeys and kernel.keys.maxkeys (sysctl)",
    },
    Scarcity {
        errors: &["(os error 11)", "EAGAIN"],
        about: &[],
        what: "processes or threads",
        remedy: "end some, or raise kernel.pid_max and kernel.threads-max (sysctl) and pids.max of the cgroups above the \
                 pods",
    },
    Scarcity {
        errors: &["(os error 12)", "ENOMEM"],
        about: &[],
        what: "memory of the kernel",
        remedy: "free memory; `dmesg` may say what takes it",
    },
];

/// Looks at what was seen: a launch that failed for want of something, or one that succeeded.
pub(crate) fn look(event: &Event, conditions: &Conditions, now: Timestamp) {
    match event {
        Event::Update(update) if update.reason == Some(Reason::ContainerLaunchFailed) => {
            note(&update.message, conditions, now);
        }
        Event::Update(update) if update.state == TaskState::Running => {
            conditions.clear(Kind::HostExhausted);
        }
        Event::RunOver(over) => match &over.outcome {
            RunOutcome::NotLaunched { message } => note(message, conditions, now),
            RunOutcome::ExecutorDied { .. } | RunOutcome::Completed | RunOutcome::HostRebooted => {}
        },
        Event::Update(_) | Event::Tick => {}
    }
}

fn note(message: &str, conditions: &Conditions, now: Timestamp) {
    if let Some(scarcity) = scarcity(message) {
        let Scarcity { what, remedy, .. } = scarcity;
        let text =
            format!("launches fail for lack of {what}, running pods go on: {message}; {remedy}");
        conditions.raise_for(Kind::HostExhausted, TOLD_FOR, text, now);
    }
}

fn scarcity(message: &str) -> Option<&'static Scarcity> {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let fits = |scarcity: &&Scarcity| {
        has(scarcity.errors) && (scarcity.about.is_empty() || has(scarcity.about))
    };
    SCARCITIES.iter().find(fits)
}

#[cfg(test)]
mod tests {
    use std::io;

    use model::{
        id::RunId,
        update::{RunOver, TaskUpdate},
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_kernels_reasons_are_known_by_their_texts() {
        let os = |number| io::Error::from_raw_os_error(number).to_string();
        let cases = [
            (format!("start /usr/bin/monopod: {}", os(24)), "open files"),
            (
                format!("open x: {}", rustix::io::Errno::NFILE),
                "open files",
            ),
            (format!("clone: {}", os(11)), "processes or threads"),
            (
                "clone: EAGAIN: Try again".to_owned(),
                "processes or threads",
            ),
            (format!("spawn: {}", os(12)), "memory of the kernel"),
            (format!("join a new session keyring: {}", os(122)), "keys"),
            (
                format!("make an inotify instance: {}", os(24)),
                "inotify instances or watches",
            ),
            (
                format!("add an inotify watch: {}", os(28)),
                "inotify instances or watches",
            ),
        ];
        for (message, expected) in &cases {
            let found = scarcity(message).map(|scarcity| scarcity.what);
            assert_eq!(found, Some(*expected), "{message}");
        }
        // A full disk and a full quota of one are told of elsewhere.
        let cases = [28, 122, 2, 13].map(|number| format!("write /run/x: {}", os(number)));
        for message in &cases {
            assert_eq!(scarcity(message), None, "{message}");
        }
    }

    #[test]
    fn it_is_told_from_the_first_failure_until_a_launch_succeeds() {
        let run = RunId {
            instance: Uuid::from_u128(1),
            incarnation: 1,
        };
        let update = |state, reason, message: &str| {
            Event::Update(TaskUpdate {
                run,
                sequence: 1,
                at: Timestamp::from_millis(0),
                container: "c".to_owned(),
                state,
                reason,
                message: message.to_owned(),
                exit: None,
                healthy: None,
            })
        };
        let not_launched = |message: &str| {
            let message = message.to_owned();
            let outcome = RunOutcome::NotLaunched { message };
            Event::RunOver(RunOver { run, outcome })
        };
        let conditions = Conditions::default();
        let see = |event: &Event, minutes: u64| {
            let now = Timestamp::from_millis(0).after(Duration::from_secs(60 * minutes));
            look(event, &conditions, now);
            let found = conditions.list(now);
            found
                .into_iter()
                .map(|found| found.text)
                .collect::<String>()
        };
        let failed = Some(Reason::ContainerLaunchFailed);
        assert_eq!(see(&not_launched("no such image"), 0), "");
        let told = see(&not_launched("start: (os error 24)"), 1);
        assert!(told.contains("lack of open files"), "{told}");
        let told = see(&update(TaskState::Failed, failed, "clone: EAGAIN"), 9);
        assert!(told.contains("lack of processes"), "{told}");
        let ended = update(TaskState::Failed, None, "EMFILE, says the program");
        assert!(!see(&ended, 18).is_empty(), "and goes on to be told");
        assert_eq!(see(&update(TaskState::Running, None, ""), 18), "");
        see(&not_launched("start: (os error 24)"), 20);
        assert_eq!(see(&Event::Tick, 30), "", "after a while without a launch");
    }
}
