//! The daemon: one at a time, told everything, obeyed.

use std::time::Duration;

use super::EventLoop;
use crate::{
    container::report::chain,
    executor::{connection::Connection, wakeups::Source},
    pod::Event,
    protocol::{FromExecutor, ToExecutor, Versions},
};

impl EventLoop {
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.means.listener.accept() {
            let Ok(connection) = Connection::new(stream, self.means.launch.run) else {
                continue;
            };
            if self.wakeups.add(&connection, Source::Daemon).is_ok() {
                self.connection = Some(connection);
            }
        }
    }

    pub(super) fn hear(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let heard = connection.hear();
        for verb in heard.verbs {
            if let ToExecutor::Hello { version, oldest } = verb {
                self.greeted(Versions {
                    newest: version,
                    oldest,
                });
            } else if self.connection.as_ref().is_some_and(Connection::is_agreed) {
                self.obey(verb);
            } else {
                // Refused a moment ago, or no daemon.
                self.connection = None;
                return;
            }
        }
        if !heard.open {
            self.connection = None;
        }
    }

    /// Serves a daemon that speaks what is spoken here, and leaves another one: the pod runs on.
    fn greeted(&mut self, daemon: Versions) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        match connection.greeted(daemon) {
            Ok(()) => self.tell_of_losses(),
            Err(error) => {
                self.connection = None;
                // Such a daemon may come back every few seconds.
                if self.refused.replace(daemon) != Some(daemon) {
                    eprintln!("a daemon is refused, the pod runs on: failed to {error}");
                }
            }
        }
    }

    fn obey(&mut self, verb: ToExecutor) {
        match verb {
            // Taken up before.
            ToExecutor::Hello { .. } => {}
            ToExecutor::Acknowledge { sequence } => {
                if let Err(error) = self.means.journal.acknowledge(sequence) {
                    eprintln!("failed to {}", chain(&error));
                }
            }
            ToExecutor::Kill { reason, grace_ms } => self.happened.push_back(Event::Kill {
                reason,
                message: String::new(),
                grace: grace_ms.map(Duration::from_millis),
            }),
            ToExecutor::Unknown => {
                if let Some(connection) = &mut self.connection {
                    connection.say(&FromExecutor::Unsupported);
                }
            }
        }
    }

    /// Brings the daemon up to date, as far as it takes it.
    pub(super) fn tell(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let wakeups = &self.wakeups;
        let told = connection
            .flush(&self.means.journal)
            .and_then(|more| wakeups.set_writable(&*connection, Source::Daemon, more));
        if told.is_err() {
            self.connection = None;
        }
    }
}
