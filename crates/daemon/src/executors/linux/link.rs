//! The connection to one executor.

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use model::id::RunId;
use runtime::{
    containerizer::Launched,
    protocol::{FromExecutor, LINE_LIMIT, ToExecutor, Versions},
};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal};
use scheduler::Event;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, unix::AsyncFd},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tracing::{debug, error, info, warn};

use super::log_loss::LogLosses;
use crate::{
    handle::Handle,
    repeats::Repeats,
    watch::{DirectoryWatch, readiness},
};

/// Within this time an executor must listen, and within it again say hello, or it is ended: what does not answer
/// (frozen, stopped) cannot be asked to stop either.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// What lost a connection may last (no descriptor is free): the pause before the next one, and what it grows to.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);
const RECONNECT_AFTER_AT_MOST: Duration = Duration::from_secs(10);

/// Where no inotify instance is to be had, an executor's socket is looked for this often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// One executor, alive.
#[derive(Debug)]
pub(super) struct Link {
    run: RunId,
    pidfd: AsyncFd<OwnedFd>,
    losses: Arc<LogLosses>,
}

/// Why a connection ended.
enum Parted {
    /// The executor's process is gone.
    Gone,
    /// The connection is gone; the executor may live.
    Lost(io::Error),
    /// The executor's process is there, but does not answer.
    Silent,
    /// The executor answers, but cannot be understood: why.
    Foreign(String),
}

impl Link {
    pub(super) fn new(run: RunId, launched: Launched, losses: Arc<LogLosses>) -> io::Result<Self> {
        Ok(Self {
            run,
            pidfd: readiness(launched.pidfd)?,
            losses,
        })
    }

    /// Passes commands and updates until the executor is gone; says how it went, for a person.
    pub(super) async fn follow(
        &mut self,
        socket: &Path,
        mut commands: mpsc::UnboundedReceiver<ToExecutor>,
        handle: &Handle,
    ) -> String {
        let mut pause = RECONNECT_AFTER;
        let mut losses = Repeats::default();
        loop {
            let connected = tokio::time::timeout(ANSWERS_WITHIN, self.connect(socket)).await;
            let parted = match connected {
                Ok(Ok(stream)) => {
                    pause = RECONNECT_AFTER;
                    self.converse(stream, &mut commands, handle).await
                }
                Ok(Err(parted)) => parted,
                Err(_) => Parted::Silent,
            };
            match parted {
                Parted::Gone => return self.reap(),
                Parted::Silent => return "the executor did not answer in time".to_owned(),
                Parted::Foreign(problem) => {
                    error!(
                        run.id = %self.run, error = problem,
                        "an executor cannot be talked to; its pod is left running, and stopped by SIGTERM when it is to \
                         end: nothing else is heard of it before a monopod that understands it is installed"
                    );
                    return self.outlast(&mut commands).await;
                }
                Parted::Lost(error) => {
                    if let Some(count) = losses.note(Instant::now()) {
                        warn!(run.id = %self.run, count, %error, "lost an executor's connection; connecting again");
                    }
                    if tokio::time::timeout(pause, self.pidfd.readable())
                        .await
                        .is_ok()
                    {
                        return self.reap();
                    }
                    pause = (pause * 2).min(RECONNECT_AFTER_AT_MOST);
                }
            }
        }
    }

    /// Waits for the end of an executor that cannot be talked to. A signal needs no common language: an executor that
    /// gets SIGTERM stops its pod.
    async fn outlast(&self, commands: &mut mpsc::UnboundedReceiver<ToExecutor>) -> String {
        loop {
            tokio::select! {
                _ = self.pidfd.readable() => return self.reap(),
                Some(command) = commands.recv() => {
                    if matches!(command, ToExecutor::Kill { .. }) {
                        info!(run.id = %self.run, "asks an executor by SIGTERM to stop its pod");
                        // One that has ended meanwhile needs not be asked.
                        let _ = pidfd_send_signal(self.pidfd.get_ref(), Signal::TERM);
                    }
                }
            }
        }
    }

    /// Connects as soon as the executor listens. One that listens already costs no watch: a host has few
    /// (`fs.inotify.max_user_instances` is 128), and a daemon that comes back finds all its executors at once.
    async fn connect(&self, socket: &Path) -> Result<UnixStream, Parted> {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(error) if is_not_yet(&error) => {}
            Err(error) => return Err(Parted::Lost(error)),
        }
        let directory = socket.parent().unwrap_or(socket);
        // A host has few inotify instances, and others use them up: then the socket is looked for now and then.
        let watch = DirectoryWatch::new(directory).ok();
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) if is_not_yet(&error) => {}
                Err(error) => return Err(Parted::Lost(error)),
            }
            tokio::select! {
                changed = next_change(watch.as_ref()) => changed.map_err(Parted::Lost)?,
                _ = self.pidfd.readable() => return Err(Parted::Gone),
            }
        }
    }

    async fn converse(
        &self,
        stream: UnixStream,
        commands: &mut mpsc::UnboundedReceiver<ToExecutor>,
        handle: &Handle,
    ) -> Parted {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let hello = ToExecutor::Hello {
            version: Versions::OURS.newest,
            oldest: Versions::OURS.oldest,
        };
        if let Err(error) = write(&mut writer, &hello).await {
            return self.gone_or_lost(error).await;
        }
        let mut line = Vec::new();
        let mut answered = false;
        // Until then nothing is told: it would not be known how.
        let mut agreed = false;
        let patience = tokio::time::sleep(ANSWERS_WITHIN);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                read = read_line(&mut reader, &mut line) => match read {
                    Ok(()) => {
                        match self.hear(&line, handle).await {
                            Ok(hello) => agreed |= hello,
                            Err(problem) => return Parted::Foreign(problem),
                        }
                        answered = true;
                        line.clear();
                    }
                    Err(error) => return self.gone_or_lost(error).await,
                },
                () = &mut patience, if !agreed => {
                    return if answered {
                        Parted::Foreign("it says no hello".to_owned())
                    } else {
                        Parted::Silent
                    };
                }
                Some(command) = commands.recv(), if agreed => {
                    if let Err(error) = write(&mut writer, &command).await {
                        return self.gone_or_lost(error).await;
                    }
                }
                // A child of it may keep the connection open. What it still had to say is in its journal.
                _ = self.pidfd.readable() => return Parted::Gone,
            }
        }
    }

    /// A connection ends just before its process does; only a process that stays is worth a new connection.
    async fn gone_or_lost(&self, error: io::Error) -> Parted {
        match tokio::time::timeout(Duration::from_secs(1), self.pidfd.readable()).await {
            Ok(_) => Parted::Gone,
            Err(_) => Parted::Lost(error),
        }
    }

    /// Takes in a line; whether it was an acceptable hello.
    ///
    /// # Errors
    /// A hello of an executor with which nothing can be spoken: why not.
    async fn hear(&self, line: &[u8], handle: &Handle) -> Result<bool, String> {
        match serde_json::from_slice::<FromExecutor>(line) {
            Ok(FromExecutor::Update(update)) if update.run == self.run => {
                handle.observed(Event::Update(update)).await;
            }
            Ok(FromExecutor::Update(update)) => {
                warn!(run.id = %self.run, told = %update.run, "an executor told of another run");
            }
            Ok(FromExecutor::Hello {
                version,
                oldest,
                pid,
                ..
            }) => {
                let theirs = Versions {
                    newest: version,
                    oldest,
                };
                let spoken = Versions::OURS.agree(theirs);
                let protocol = spoken.map_err(|error| format!("failed to {error}"))?;
                debug!(run.id = %self.run, protocol, process.id = pid, "an executor said hello");
                return Ok(true);
            }
            Ok(FromExecutor::LogLoss {
                container,
                lost_bytes,
                lasting,
            }) => {
                self.losses
                    .told(self.run, container, lost_bytes, lasting)
                    .await;
            }
            Ok(FromExecutor::Unsupported) => {
                warn!(run.id = %self.run, "an older executor did not know a command");
            }
            Ok(FromExecutor::Unknown) => {
                warn!(run.id = %self.run, "a newer executor said something unknown");
            }
            Err(error) => warn!(run.id = %self.run, %error, "an executor said something senseless"),
        }
        Ok(false)
    }

    /// How the process ended, if it was this daemon's child.
    fn reap(&self) -> String {
        let pidfd = rustix::fd::AsFd::as_fd(self.pidfd.get_ref());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => format!("the executor exited with status {code}"),
                (None, Some(signal)) => format!("the executor was ended by signal {signal}"),
                (None, None) => "the executor ended".to_owned(),
            },
            // Whose child it was knows: the daemon that launched it.
            Ok(None) | Err(_) => {
                "the executor ended, how is not known: another daemon launched it".to_owned()
            }
        }
    }
}

/// Something changed in the directory, or, without a watch, some time has passed.
async fn next_change(watch: Option<&DirectoryWatch>) -> io::Result<()> {
    match watch {
        Some(watch) => watch.changed().await,
        None => {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            Ok(())
        }
    }
}

/// Before the executor listens there is no socket, or one that nobody listens on yet.
fn is_not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

async fn write(writer: &mut OwnedWriteHalf, command: &ToExecutor) -> io::Result<()> {
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// Appends to `line` up to a newline. May be dropped half way: what was read stays in `line`.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> io::Result<()> {
    let room = LINE_LIMIT.saturating_sub(line.len()) as u64;
    let read = reader.take(room).read_until(b'\n', line).await?;
    if line.last() == Some(&b'\n') {
        return Ok(());
    }
    Err(if read == 0 && line.is_empty() {
        io::ErrorKind::UnexpectedEof.into()
    } else {
        io::Error::new(io::ErrorKind::InvalidData, "a line without end")
    })
}
