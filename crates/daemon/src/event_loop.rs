//! The loop: the one task that owns scheduler and agent.
//!
//! It always turns the same way: drain the waiting messages; scheduler and agent exchange offers in memory
//! until nothing moves; commit **one** transaction; then effects, replies, the published snapshot. A crash
//! between commit and effects repeats the effects; a failed commit discards the turn (`trouble.rs`).

#[cfg(test)]
mod tests;
mod trouble;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use agent::allocator::Agent;
use model::{pod::PodDefinition, record::Record, time::Timestamp};
use scheduler::{Accepted, Effect, Event, Plan, Scheduler, Turn};
use store::{Durability, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use self::trouble::Trouble;
use crate::{
    conditions::{Conditions, Kind},
    events::EventBus,
    executors::Executors,
    exhaustion,
    handle::{Message, Refusal},
    metrics::Recorder,
    snapshot::Publisher,
};

/// Messages one turn takes at most, so that one transaction stays small and effects are not kept waiting.
const MESSAGES_PER_TURN: usize = 256;

/// A commit that takes this long makes requests wait that somebody sees.
const SLOW_COMMIT: Duration = Duration::from_secs(1);

/// How long what was declined is not offered again by itself. Long, since whatever changes the answer revives.
const REFUSAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a turn may take before it is worth a warning.
const SLOW_TURN: Duration = Duration::from_millis(250);

/// The clock as the loop sees it.
pub(crate) type Clock = Box<dyn Fn() -> Timestamp + Send>;

/// Where the loop's ids come from.
pub(crate) type Ids = Box<dyn FnMut() -> Uuid + Send>;

/// Makes scheduler and agent anew from what is stored: at start, and after a failed commit.
pub(crate) type Restore =
    Box<dyn Fn(model::record::Saved) -> anyhow::Result<(Scheduler, Agent)> + Send>;

/// The loop and what it owns.
pub(crate) struct EventLoop<E> {
    pub(crate) scheduler: Scheduler,
    pub(crate) agent: Agent,
    pub(crate) store: Arc<Store>,
    pub(crate) executors: Arc<E>,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) restore: Restore,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) publisher: Publisher,
    pub(crate) retry: Vec<Event>,
    pub(crate) recorder: Recorder,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) conditions: Conditions,
    pub(crate) events: EventBus,
}

type Reply = (
    oneshot::Sender<Result<Accepted, Refusal>>,
    Result<Accepted, Refusal>,
);

/// What one turn decided.
#[derive(Default)]
struct Decisions {
    effects: Vec<Effect>,
    replies: Vec<Reply>,
    observed: Vec<Event>,
    plans: Vec<(PodDefinition, oneshot::Sender<Result<Plan, Refusal>>)>,
    /// Those who wait for nothing but the end of the turn.
    watchers: Vec<oneshot::Sender<()>>,
}

impl<E: Executors> EventLoop<E> {
    /// Turns until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut messages = Vec::new();
            let wake = self.sleep_until_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.messages.recv_many(&mut messages, MESSAGES_PER_TURN) => {
                    if received == 0 {
                        break;
                    }
                }
                () = wake => {}
            }
            self.turn(messages).await;
        }
    }

    /// Sleeps until something is due by itself: a back-off, an offer's end; while the store fails, the next attempt
    /// alone, since whatever else is due could not be stored.
    fn sleep_until_wake(&self) -> impl Future<Output = ()> + use<E> {
        let now = (self.clock)();
        let due = [self.scheduler.next_wake(), self.agent.next_wake()]
            .into_iter()
            .flatten()
            .min();
        let wait = match &self.trouble {
            Some(trouble) => Some(trouble.wait()),
            None => due.map(|due| due.since(now)),
        };
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    /// One turn over `messages`; without any it is a tick.
    pub(crate) async fn turn(&mut self, messages: Vec<Message>) {
        if !self.overcome_trouble().await {
            return self.hold(messages);
        }
        let started = Instant::now();
        let now = (self.clock)();
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let decisions = self.decide(messages, now);
        let records = records(&decisions.effects);
        let hardened = decisions.effects.contains(&Effect::Harden);
        let durability = if decisions.replies.is_empty() && !hardened {
            Durability::Normal
        } else {
            Durability::Full
        };
        if let Err(error) = self.commit(&records, durability, now).await {
            self.recorder.commit_failed(durability);
            return self.discard(decisions, &error);
        }
        self.recorder
            .stored(&decisions.observed, &decisions.effects);
        for event in &decisions.observed {
            exhaustion::look(event, &self.conditions, now);
        }
        let changed = self.publisher.publish(&mut self.scheduler, &self.agent);
        self.recorder.changed(|| self.publisher.views(&changed));
        self.carry_out(decisions.effects, now);
        for (reply, answer) in decisions.replies {
            // Whoever asked may have gone; what it asked for holds all the same.
            let _ = reply.send(answer);
        }
        self.answer_plans(decisions.plans, now);
        dismiss(decisions.watchers);
        self.recorder.turned(count, started);
        let took = started.elapsed();
        debug!(
            records = records.len(),
            duration_ms = took.as_millis(),
            "turned the loop"
        );
        if took > SLOW_TURN {
            warn!(
                records = records.len(),
                duration_ms = took.as_millis(),
                "a turn of the loop was slow"
            );
        }
    }

    fn decide(&mut self, messages: Vec<Message>, now: Timestamp) -> Decisions {
        let mut decisions = Decisions::default();
        let mut events = std::mem::take(&mut self.retry);
        self.agent.expire(now);
        for message in messages {
            match message {
                Message::Request { request, reply } => {
                    // Observations go first, in the order in which they came.
                    self.observe(std::mem::take(&mut events), now, &mut decisions);
                    let mut turn = Turn {
                        now,
                        new_uuid: &mut *self.ids,
                    };
                    let (answer, effects) = self.scheduler.request(*request, &mut turn);
                    self.release(&effects);
                    decisions.effects.extend(effects);
                    decisions
                        .replies
                        .push((reply, answer.map_err(Refusal::from)));
                }
                Message::Plan { definition, reply } => decisions.plans.push((*definition, reply)),
                Message::Observed(event) => events.push(event),
                Message::Turned(watcher) => decisions.watchers.push(watcher),
            }
        }
        events.push(Event::Tick);
        self.observe(events, now, &mut decisions);
        self.exchange(now, &mut decisions);
        decisions
    }

    fn observe(&mut self, events: Vec<Event>, now: Timestamp, decisions: &mut Decisions) {
        for event in events {
            if !matches!(event, Event::Tick) {
                decisions.observed.push(event.clone());
            }
            let mut turn = Turn {
                now,
                new_uuid: &mut *self.ids,
            };
            let effects = self.scheduler.observe(event, &mut turn);
            self.release(&effects);
            decisions.effects.extend(effects);
        }
    }

    /// Gives back to the agent what runs no longer hold.
    fn release(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Release(run) = effect {
                self.agent.release(*run);
            }
        }
    }

    /// Offers go back and forth until nothing moves.
    fn exchange(&mut self, now: Timestamp, decisions: &mut Decisions) {
        while self.scheduler.wants_offers(now) {
            self.agent.revive();
            let Some(offer) = self.agent.offer(now) else {
                break;
            };
            let total = self.agent.pools().clone();
            let mut turn = Turn {
                now,
                new_uuid: &mut *self.ids,
            };
            let answer = self.scheduler.consider(&offer, &total, &mut turn);
            self.release(&answer.effects);
            decisions.effects.extend(answer.effects);
            self.recorder.offer(!answer.launches.is_empty());
            if answer.launches.is_empty() {
                self.agent
                    .decline(offer.id, Some(REFUSAL), now)
                    .expect("the offer was made just now");
                break;
            }
            self.agent
                .accept(offer.id, &answer.launches, now)
                .expect("the scheduler launches only what the offer it was given holds");
        }
    }

    async fn commit(
        &mut self,
        records: &[Record],
        durability: Durability,
        now: Timestamp,
    ) -> Result<(), store::StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.store.commit(records, durability).await?;
        self.recorder.commit(durability, records.len(), started);
        let took = started.elapsed();
        if took >= SLOW_COMMIT {
            let text = format!(
                "storing the last change took {} ms: the disk of the state directory is slow or busy, requests wait",
                took.as_millis()
            );
            self.conditions.raise(Kind::StoreSlow, text, now);
        } else {
            self.conditions.clear(Kind::StoreSlow);
        }
        Ok(())
    }

    /// What definitions would do as things stand after the turn.
    fn answer_plans(
        &mut self,
        plans: Vec<(PodDefinition, oneshot::Sender<Result<Plan, Refusal>>)>,
        now: Timestamp,
    ) {
        for (definition, reply) in plans {
            let mut turn = Turn {
                now,
                new_uuid: &mut *self.ids,
            };
            let plan = self.scheduler.plan(definition, &mut turn);
            // Whoever asked may have gone.
            let _ = reply.send(plan.map_err(Refusal::from));
        }
    }

    /// The turn did not happen: whoever asked is told, what was seen is tried again, and memory, which is ahead of the
    /// store now, is made anew before the next turn.
    fn discard(&mut self, decisions: Decisions, cause: &store::StoreError) {
        let message = chain(cause);
        for (reply, answer) in decisions.replies {
            let message = message.clone();
            let _ = reply.send(answer.and(Err(Refusal::NotStored { message })));
        }
        for (_, reply) in decisions.plans {
            let message = message.clone();
            let _ = reply.send(Err(Refusal::NotStored { message }));
        }
        dismiss(decisions.watchers);
        self.retry = decisions.observed;
        self.fail(message);
    }

    fn carry_out(&self, effects: Vec<Effect>, now: Timestamp) {
        for effect in effects {
            match effect {
                Effect::Record(Record::RunForgotten(run)) => self.executors.discard(run),
                Effect::Record(_) | Effect::Harden | Effect::Release(_) => {}
                Effect::Launch(group) => {
                    info!(instance.id = %group.instance, run.id = %group.run, "launches");
                    self.executors.launch(group);
                }
                Effect::Kill { run, reason, grace } => {
                    info!(run.id = %run, reason = %reason, "kills");
                    self.executors.kill(run, reason, grace);
                }
                Effect::Acknowledge { run, sequence } => self.executors.acknowledge(run, sequence),
                Effect::Announce(announcement) => {
                    info!("{announcement}");
                    self.events.announce(&announcement, now);
                }
            }
        }
    }
}

/// Tells that the turn is over.
fn dismiss(watchers: Vec<oneshot::Sender<()>>) {
    for watcher in watchers {
        // Whoever waited may have gone.
        let _ = watcher.send(());
    }
}

fn records(effects: &[Effect]) -> Vec<Record> {
    effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Record(record) = effect {
                Some(record.clone())
            } else {
                None
            }
        })
        .collect()
}

/// An error and everything that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
