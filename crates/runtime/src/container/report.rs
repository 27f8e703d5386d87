//! What a creating child tells the executor, over a pipe: one JSON object a line.
//!
//! An error that crosses libcontainer's own process boundaries keeps its topmost text only, such as "failed to
//! unix syscall". So every process of a creation writes here what it saw, and the executor makes one message.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// Lines up to this size are written whole even by several processes at once (`pipe(7)`, `PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

/// The longest text of a line, leaving room for escapes.
const TEXT_BYTES: usize = 1500;

/// How many causes go into a message.
const CAUSES: usize = 3;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub(crate) enum Report {
    /// Something that libcontainer logged as an error.
    Cause {
        /// Its text.
        text: String,
    },
    /// One of our own checks failed; the text says it all.
    Refused {
        /// For a person.
        message: String,
    },
    /// The end: the container is created.
    Created {
        /// Its first process.
        pid: i32,
    },
    /// The end: it is not.
    Failed {
        /// The error with its sources.
        message: String,
    },
}

/// The writing end.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(Arc<File>);

impl Reporter {
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self(Arc::new(pipe.into()))
    }

    /// The pipe's number in this process.
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Writes a line. The executor notices a reporter that fails by the missing end.
    pub(crate) fn tell(&self, report: Report) {
        if let Ok(mut line) = serde_json::to_vec(&report.shortened()) {
            line.push(b'\n');
            line.truncate(ATOMIC_BYTES);
            let _ = (&*self.0).write_all(&line);
        }
    }
}

impl Report {
    fn shortened(mut self) -> Self {
        match &mut self {
            Self::Cause { text }
            | Self::Refused { message: text }
            | Self::Failed { message: text } => {
                text.truncate(text.floor_char_boundary(TEXT_BYTES));
            }
            Self::Created { .. } => {}
        }
        self
    }
}

/// How a creation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The container's first process.
    Created(i32),
    /// Why there is none, for a person.
    NotCreated(String),
}

/// The reading end, which must not block, and what came from it.
#[derive(Debug)]
pub(crate) struct Reports {
    pipe: File,
    buffer: Vec<u8>,
    causes: Vec<String>,
    refused: Option<String>,
    end: Option<Report>,
}

impl Reports {
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: pipe.into(),
            buffer: Vec::new(),
            causes: Vec::new(),
            refused: None,
            end: None,
        }
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self) {
        let mut chunk = [0; 1024];
        loop {
            match self.pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => self.buffer.extend(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(Report::Cause { text }) => self.causes.push(text),
                Ok(Report::Refused { message }) => self.refused = Some(message),
                Ok(end @ (Report::Created { .. } | Report::Failed { .. })) => self.end = Some(end),
                Err(_) => {}
            }
        }
    }

    /// How the creation ended, if that was told.
    pub(crate) fn outcome(&self, cwd: &Path) -> Option<Outcome> {
        match self.end.as_ref()? {
            Report::Created { pid } => Some(Outcome::Created(*pid)),
            Report::Failed { message } => Some(Outcome::NotCreated(self.explain(message, cwd))),
            Report::Cause { .. } | Report::Refused { .. } => None,
        }
    }

    /// One message out of all that was told; `error` is the topmost text.
    pub(crate) fn explain(&self, error: &str, cwd: &Path) -> String {
        if let Some(message) = &self.refused {
            return message.clone();
        }
        let chdir = |text: &&String| text.starts_with("failed to chdir");
        if let Some(text) = self.causes.iter().find(chdir) {
            return explain_cwd(text, cwd);
        }
        let mut message = error.to_owned();
        for cause in self.causes.iter().take(CAUSES) {
            if !message.contains(cause.as_str()) {
                message = format!("{message}; {cause}");
            }
        }
        message
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn explain_cwd(text: &str, cwd: &Path) -> String {
    let cwd = cwd.display();
    if text.contains("ENOENT") {
        format!("working directory '{cwd}' does not exist")
    } else if text.contains("ENOTDIR") {
        format!("working directory '{cwd}' is not a directory")
    } else {
        format!("working directory '{cwd}' cannot be entered: {text}")
    }
}

/// An error with its sources, joined by colons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    fn cause(text: &str) -> Report {
        Report::Cause {
            text: text.to_owned(),
        }
    }

    fn failed() -> Report {
        Report::Failed {
            message: "failed to create container".to_owned(),
        }
    }

    fn outcome_of(told: Vec<Report>) -> Option<Outcome> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let reporter = Reporter::new(writer);
        for report in told {
            reporter.tell(report);
        }
        let mut reports = Reports::new(reader);
        reports.read();
        reports.outcome(Path::new("/y"))
    }

    #[test]
    fn the_real_cause_reaches_the_message() {
        let refused = Report::Refused {
            message: "command 'foo' not found".to_owned(),
        };
        let cases = [
            (vec![Report::Created { pid: 7 }], Some(Outcome::Created(7))),
            (vec![cause("a")], None),
            (
                vec![cause("mount: EPERM"), cause("mount: EPERM"), failed()],
                Some(Outcome::NotCreated(
                    "failed to create container; mount: EPERM".to_owned(),
                )),
            ),
            (
                vec![cause("failed to chdir e=ENOENT"), failed()],
                Some(Outcome::NotCreated(
                    "working directory '/y' does not exist".to_owned(),
                )),
            ),
            (
                vec![cause("failed to chdir e=ENOTDIR"), failed()],
                Some(Outcome::NotCreated(
                    "working directory '/y' is not a directory".to_owned(),
                )),
            ),
            (
                vec![refused, cause("noise"), failed()],
                Some(Outcome::NotCreated("command 'foo' not found".to_owned())),
            ),
        ];
        for (told, expected) in cases {
            assert_eq!(outcome_of(told.clone()), expected, "{told:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_and_stay_lines() {
        let told = outcome_of(vec![Report::Failed {
            message: "é\"".repeat(5000),
        }]);
        let Some(Outcome::NotCreated(message)) = told else {
            panic!("{told:?}");
        };
        assert!(message.len() <= TEXT_BYTES);
    }
}
