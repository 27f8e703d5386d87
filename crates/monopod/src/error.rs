//! Why a verb did not do what it was asked; the kind decides the exit code and what is printed.

use std::{io, path::PathBuf};

use daemon::tokens::TokenError;

use crate::{
    client::ClientError, definition_source::SourceError, exit_code, refusal::Refusal, tls::TlsError,
};

/// The end of a verb that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The daemon could not be asked, or its answer could not be read.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The definition given could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The daemon's answer is JSON, but not of the expected shape.
    #[error("understand the answer to {request}")]
    Shape {
        /// Method and path.
        request: String,
        /// What was expected.
        source: serde_json::Error,
    },
    /// A sentence that scripts know from DC/OS, printed as it is.
    #[error("{text}")]
    Notice {
        /// The sentence.
        text: String,
    },
    /// What was waited for did not come.
    #[error("{pod}: {reason}")]
    NotReached {
        /// The pod.
        pod: String,
        /// What is missing, for a person.
        reason: String,
    },
    /// The pod ended failed.
    #[error("{pod} failed: {reason}")]
    PodFailed {
        /// The pod.
        pod: String,
        /// Why, for a person.
        reason: String,
    },
    /// A file of this machine could not be read.
    #[error("read {path}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Tokens could not be read or changed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Standard output could not be written.
    #[error("write the output")]
    Output {
        /// Why.
        source: io::Error,
    },
    /// The daemon could not start or ended by an error.
    #[error("run the daemon")]
    Daemon {
        /// Why.
        source: anyhow::Error,
    },
    /// The keeper could not begin, or could not do what it was asked.
    #[error("keep the pods' cgroup")]
    Keeper {
        /// Why.
        source: anyhow::Error,
    },
    /// Not everything could be cleaned up.
    #[error("clean up")]
    Cleanup {
        /// Why.
        source: anyhow::Error,
    },
    /// This process could not get what it needs from the kernel.
    #[error("start")]
    Start {
        /// Why.
        source: io::Error,
    },
    /// The definition breaks rules, which were printed already.
    #[error("the definition is not valid")]
    Invalid,
    /// A check of the doctor failed; what was found is printed already.
    #[error("this host or the daemon is not well")]
    Unwell,
}

impl CliError {
    /// The sentence, in DC/OS's words where scripts know them.
    pub(crate) fn notice(text: impl Into<String>) -> Self {
        Self::Notice { text: text.into() }
    }

    /// Whether the daemon restarts, by all that can be seen: whoever waits for something goes on waiting.
    pub(crate) fn is_daemon_away(&self) -> bool {
        if let Self::Refused(refusal) = self {
            return refusal.is_recovering;
        }
        matches!(
            self,
            Self::Client(ClientError::Unreachable { .. } | ClientError::Broken { .. })
        )
    }

    /// The process's exit status for this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Client(ClientError::Unreachable { .. }) => exit_code::UNREACHABLE,
            Self::Client(ClientError::Url { .. } | ClientError::Tls(TlsError::Name { .. })) => {
                exit_code::USAGE
            }
            Self::PodFailed { .. } => exit_code::POD_FAILED,
            Self::Output { source } if source.kind() == io::ErrorKind::BrokenPipe => exit_code::OK,
            Self::Client(
                ClientError::TimedOut { .. }
                | ClientError::Broken { .. }
                | ClientError::Tls(TlsError::Certificates { .. })
                | ClientError::NotARequest { .. },
            )
            | Self::Refused(_)
            | Self::Source(_)
            | Self::Shape { .. }
            | Self::Notice { .. }
            | Self::NotReached { .. }
            | Self::File { .. }
            | Self::Token(_)
            | Self::Output { .. }
            | Self::Daemon { .. }
            | Self::Keeper { .. }
            | Self::Cleanup { .. }
            | Self::Start { .. }
            | Self::Invalid
            | Self::Unwell => exit_code::FAILED,
        }
    }

    /// What is printed on standard error, whole lines without the last line end; `None` for nothing.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Output { source } if source.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Invalid | Self::Unwell => None,
            Self::Notice { text } => Some(text.clone()),
            Self::Source(error) => Some(error.to_string()),
            Self::Client(
                error @ (ClientError::Unreachable { .. } | ClientError::TimedOut { .. }),
            ) => Some(format!("Error: {error}")),
            Self::Refused(_) | Self::PodFailed { .. } | Self::NotReached { .. } => {
                Some(format!("Error: {self}"))
            }
            Self::Client(_)
            | Self::Shape { .. }
            | Self::File { .. }
            | Self::Token(_)
            | Self::Output { .. }
            | Self::Daemon { .. }
            | Self::Keeper { .. }
            | Self::Cleanup { .. }
            | Self::Start { .. } => Some(format!("Error: failed to {}", chain(self))),
        }
    }
}

/// The error and everything that caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_pipe() -> CliError {
        CliError::Output {
            source: io::ErrorKind::BrokenPipe.into(),
        }
    }

    #[test]
    fn kind_decides_exit_code() {
        let unreachable = || ClientError::Unreachable {
            address: "/run/monopod/monopod.sock".to_owned(),
            source: io::ErrorKind::NotFound.into(),
        };
        let pod = || "/p".to_owned();
        let cases = [
            (CliError::Client(unreachable()), 3),
            (
                CliError::Client(ClientError::Url {
                    url: "ftp://x".to_owned(),
                }),
                2,
            ),
            (
                CliError::PodFailed {
                    pod: pod(),
                    reason: "exit 1".to_owned(),
                },
                4,
            ),
            (
                CliError::NotReached {
                    pod: pod(),
                    reason: "late".to_owned(),
                },
                1,
            ),
            (CliError::notice("There are no deployments"), 1),
            (CliError::Invalid, 1),
            (broken_pipe(), 0),
        ];
        for (error, code) in cases {
            assert_eq!(error.exit_code(), code, "{error:?}");
        }
    }

    #[test]
    fn a_closed_pipe_is_silent_and_causes_are_told() {
        assert_eq!(broken_pipe().text(), None);
        let error = CliError::File {
            path: "/x".into(),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        assert_eq!(
            error.text().as_deref(),
            Some("Error: failed to read /x: permission denied")
        );
    }
}
