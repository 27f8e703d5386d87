//! The store does not take what was decided: a full disk, an I/O error, somebody who locks the database.
//!
//! Nothing may be assumed of a commit that failed, least of all that it left nothing: so memory is made anew from
//! what can be read. Until the store takes a write again, requests are refused, observations wait (an executor repeats
//! what was not acknowledged), nothing is launched or killed, and readers see the last state that was stored.

use std::time::{Duration, Instant};

use scheduler::Event;
use tracing::{error, info};

use super::{EventLoop, chain};
use crate::{
    conditions::Kind,
    executors::Executors,
    handle::{Message, Refusal},
};

/// Between the first failure and the next attempt; doubled with each one that fails.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// The longest time between two attempts: so long it takes at most to notice that the disk has room again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The store is failing.
#[derive(Debug)]
pub(crate) struct Trouble {
    cause: String,
    wait: Duration,
    next: Instant,
}

impl Trouble {
    fn new(cause: String) -> Self {
        Self {
            cause,
            wait: FIRST_WAIT,
            next: Instant::now() + FIRST_WAIT,
        }
    }

    /// Time to the next attempt.
    pub(super) fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    fn again(&mut self, cause: String) {
        self.cause = cause;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.next = Instant::now() + self.wait;
    }
}

impl<E: Executors> EventLoop<E> {
    /// Notes that the store failed.
    pub(super) fn fail(&mut self, cause: String) {
        error!(error = cause, "failed to store a turn; it is discarded");
        self.raise_store_failing(&cause);
        self.trouble = Some(Trouble::new(cause));
    }

    /// Whether turns can be stored, as far as is known; makes an attempt when one is due.
    pub(super) async fn overcome_trouble(&mut self) -> bool {
        let Some(trouble) = &self.trouble else {
            return true;
        };
        if !trouble.wait().is_zero() {
            return false;
        }
        match self.start_over().await {
            Ok(()) => {
                info!("the store takes changes again; took the state from it");
                self.conditions.clear(Kind::StoreFailing);
                self.trouble = None;
                true
            }
            Err(cause) => {
                self.raise_store_failing(&cause);
                if let Some(trouble) = &mut self.trouble {
                    trouble.again(cause);
                }
                false
            }
        }
    }

    /// Refuses what was asked, keeps what was seen.
    pub(super) fn hold(&mut self, messages: Vec<Message>) {
        let cause = self.trouble.as_ref().map(|trouble| trouble.cause.as_str());
        for message in messages {
            match message {
                Message::Request { reply, .. } => {
                    let message = cause.unwrap_or_default().to_owned();
                    let _ = reply.send(Err(Refusal::NotStored { message }));
                }
                Message::Plan { reply, .. } => {
                    let message = cause.unwrap_or_default().to_owned();
                    let _ = reply.send(Err(Refusal::NotStored { message }));
                }
                Message::Observed(event) => keep(&mut self.retry, event),
                // The loop is alive, only the store is not.
                Message::Turned(watcher) => {
                    let _ = watcher.send(());
                }
            }
        }
    }

    /// Sees that the store takes writes, then makes scheduler and agent anew from it.
    async fn start_over(&mut self) -> Result<(), String> {
        self.store.probe().await.map_err(|error| chain(&error))?;
        let saved = self.store.load().await.map_err(|error| chain(&error))?;
        let (scheduler, agent) = (self.restore)(saved).map_err(|error| format!("{error:#}"))?;
        self.scheduler = scheduler;
        self.agent = agent;
        self.publisher.republish(&mut self.scheduler, &self.agent);
        Ok(())
    }

    fn raise_store_failing(&self, cause: &str) {
        let text = format!(
            "changes cannot be stored, new work is refused, pods go on running: {cause}. Tried again by itself"
        );
        let now = (self.clock)();
        self.conditions.raise(Kind::StoreFailing, text, now);
    }
}

/// An executor that connects anew repeats itself: what is held already is not held twice.
fn keep(held: &mut Vec<Event>, event: Event) {
    let same = |other: &Event| match (other, &event) {
        (Event::Update(other), Event::Update(event)) => {
            other.run == event.run && other.sequence == event.sequence
        }
        _ => false,
    };
    if !held.iter().any(same) {
        held.push(event);
    }
}
