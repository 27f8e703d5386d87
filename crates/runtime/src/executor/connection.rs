//! The daemon's connection: lines in, lines out, never waiting.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use model::id::RunId;

use crate::{
    journal::Journal,
    protocol::{FromExecutor, LINE_LIMIT, NoCommonVersion, ToExecutor, Versions},
};

/// One daemon.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// The last update that was put into the outbox.
    told: u64,
    /// The version that both sides speak, once the daemon has said hello.
    spoken: Option<u32>,
}

/// What came in.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) verbs: Vec<ToExecutor>,
    /// Whether the daemon is still there and makes sense.
    pub(super) open: bool,
}

impl Connection {
    /// Greets a daemon that just connected.
    pub(super) fn new(stream: UnixStream, run: RunId) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut connection = Self {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            told: 0,
            spoken: None,
        };
        connection.say(&FromExecutor::Hello {
            version: Versions::OURS.newest,
            oldest: Versions::OURS.oldest,
            run,
            pid: rustix::process::getpid().as_raw_nonzero().get(),
        });
        Ok(connection)
    }

    /// Takes up what the daemon's hello says it speaks.
    ///
    /// # Errors
    /// That is nothing which is spoken here.
    pub(super) fn greeted(&mut self, daemon: Versions) -> Result<(), NoCommonVersion> {
        self.spoken = Some(Versions::OURS.agree(daemon)?);
        Ok(())
    }

    /// Whether both sides know what they speak.
    pub(super) const fn is_agreed(&self) -> bool {
        self.spoken.is_some()
    }

    /// Puts a line into the outbox.
    pub(super) fn say(&mut self, line: &FromExecutor) {
        if let Ok(text) = serde_json::to_vec(line) {
            self.outbox.extend(text);
            self.outbox.push(b'\n');
        }
    }

    /// Writes what can be written, and tells of updates as far as the daemon keeps up.
    ///
    /// Gives whether something is left for when the socket takes more.
    ///
    /// # Errors
    /// If the daemon is gone.
    pub(super) fn flush(&mut self, journal: &Journal) -> io::Result<bool> {
        loop {
            if self.outbox.is_empty() {
                let next = journal.next_after(self.told);
                let Some(update) = next.filter(|_| self.is_agreed()) else {
                    return Ok(false);
                };
                self.told = update.sequence;
                self.say(&FromExecutor::Update(update.clone()));
            }
            match self.stream.write(&self.outbox) {
                Ok(length) => drop(self.outbox.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there, at most a line's limit beyond what is understood.
    pub(super) fn hear(&mut self) -> Heard {
        let mut chunk = [0; 4096];
        let mut open = true;
        while open && self.inbox.len() <= LINE_LIMIT {
            match self.stream.read(&mut chunk) {
                Ok(0) => open = false,
                Ok(length) => self.inbox.extend(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => open = false,
            }
        }
        let mut verbs = Vec::new();
        while let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.inbox.drain(..=end).collect();
            match serde_json::from_slice(&line) {
                Ok(verb) => verbs.push(verb),
                Err(_) => open = false,
            }
        }
        open &= self.inbox.len() <= LINE_LIMIT;
        Heard { verbs, open }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HELLO: ToExecutor = ToExecutor::Hello {
        version: 1,
        oldest: 1,
    };

    fn pair() -> (UnixStream, Connection) {
        let (daemon, executor) = UnixStream::pair().unwrap();
        let run = RunId {
            instance: Uuid::from_u128(1),
            incarnation: 1,
        };
        (daemon, Connection::new(executor, run).unwrap())
    }

    #[test]
    fn verbs_are_heard_line_by_line() {
        let (mut daemon, mut connection) = pair();
        daemon
            .write_all(b"{\"verb\":\"hello\",\"version\":1}\n{\"verb\":\"acknow")
            .unwrap();
        let heard = connection.hear();
        assert!(heard.open);
        assert_eq!(heard.verbs, [HELLO]);
        daemon
            .write_all(b"ledge\",\"sequence\":3}\n{\"verb\":\"dance\",\"to\":{\"a\":1}}\n")
            .unwrap();
        let heard = connection.hear();
        let expected = [ToExecutor::Acknowledge { sequence: 3 }, ToExecutor::Unknown];
        assert_eq!(
            heard.verbs, expected,
            "a verb of a newer daemon is none of ours"
        );
        drop(daemon);
        assert!(!connection.hear().open);
    }

    #[test]
    fn nonsense_and_endless_lines_end_the_connection() {
        let (mut daemon, mut connection) = pair();
        daemon.write_all(b"hello?\n").unwrap();
        assert!(!connection.hear().open);
        let (mut daemon, mut connection) = pair();
        daemon.write_all(&vec![b'x'; LINE_LIMIT + 1]).unwrap();
        assert!(!connection.hear().open);
    }
}
