//! Our libcontainer `Executor`: what happens in the container's first process around its exec.
//!
//! Every call here is in a process with one thread, inside the container's namespaces, with its credentials.

use std::{
    collections::HashMap,
    ffi::CString,
    fs::File,
    io::Write as _,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::Arc,
};

use libcontainer::{
    oci_spec::runtime::Spec,
    workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, set_parent_process_death_signal},
};

use super::{
    command::{find, kernel_text},
    report::{Report, Reporter},
};
use crate::sys::{fork::leave, seccomp::Filter, signals};

/// Exit status of a first process that could not execute its command, as shells give it.
const NOT_EXECUTED: i32 = 127;

/// What to execute, and whom to tell.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    /// Argument vector, never empty.
    pub(super) argv: Vec<String>,
    /// `NAME=value`; never in the specification on disk.
    pub(super) environment: Vec<String>,
    /// The filter to load before the command.
    pub(super) filter: Option<Filter>,
    /// The executor's pidfd: containers end with it.
    pub(super) executor: Arc<OwnedFd>,
    /// Closed by exec; what is written before says why there was none.
    pub(super) status: Arc<File>,
    /// For what `validate` finds.
    pub(super) reporter: Reporter,
}

impl Payload {
    fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    fn path(&self) -> &str {
        let mut values = self
            .environment
            .iter()
            .filter_map(|entry| entry.strip_prefix("PATH="));
        values.next().unwrap_or("")
    }

    /// Asks for SIGKILL when the executor ends, and ends now if it already has.
    ///
    /// After the credentials were set, since changing them clears the request.
    fn end_with_executor(&self) {
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        let mut executor = [PollFd::from_borrowed_fd(
            self.executor.as_fd(),
            PollFlags::IN,
        )];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if matches!(poll(&mut executor, Some(&now)), Ok(1)) {
            leave(NOT_EXECUTED);
        }
    }

    /// Replaces this process; gives the reason if that fails.
    fn execute(&self) -> String {
        let file = match find(self.name(), self.path()) {
            Ok(file) => file,
            Err(reason) => return reason,
        };
        let argv: Vec<CString> = self.argv.iter().map(|text| kernel_text(text)).collect();
        let environment: Vec<CString> = self
            .environment
            .iter()
            .map(|text| kernel_text(text))
            .collect();
        let program = CString::new(file.as_os_str().as_bytes()).unwrap_or_default();
        signals::reset();
        if let Some(Err(error)) = self.filter.as_ref().map(Filter::load) {
            return format!("the system call filter cannot be loaded: {error}");
        }
        match nix::unistd::execve(&program, &argv, &environment) {
            Ok(never) => match never {},
            Err(errno) => explain(errno, &file),
        }
    }
}

impl Executor for Payload {
    fn validate(&self, _spec: &Spec) -> Result<(), ExecutorValidationError> {
        self.end_with_executor();
        match find(self.name(), self.path()) {
            Ok(_) => Ok(()),
            Err(message) => {
                self.reporter.tell(Report::Refused {
                    message: message.clone(),
                });
                Err(ExecutorValidationError::ArgValidationError(message))
            }
        }
    }

    /// The environment is given to exec itself; this process's own is empty and stays so.
    fn setup_envs(&self, _envs: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        Ok(())
    }

    fn exec(&self, _spec: &Spec) -> Result<(), ExecutorError> {
        let reason = self.execute();
        let _ = (&*self.status).write_all(reason.as_bytes());
        leave(NOT_EXECUTED)
    }
}

fn explain(errno: nix::errno::Errno, file: &Path) -> String {
    let shown = file.display();
    if errno == nix::errno::Errno::ENOEXEC {
        format!("command '{shown}' is neither a program for this machine nor a script with '#!'")
    } else if errno == nix::errno::Errno::ENOENT {
        format!("command '{shown}' cannot be executed: its interpreter or loader does not exist")
    } else {
        format!("command '{shown}' cannot be executed: {}", errno.desc())
    }
}
