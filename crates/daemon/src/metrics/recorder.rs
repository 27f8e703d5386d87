//! The loop's pen: what each turn did, counted after it was stored.

use std::{sync::Arc, time::Instant};

use model::{id::RunId, record::Record, state::InstanceStatus, update::RunOver};
use scheduler::{Effect, Event, PodView, status};
use store::Durability;

use super::{Metrics, count, durability_word, runs::Runs};

/// Counts what the loop does.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    metrics: Arc<Metrics>,
    runs: Runs,
}

impl Recorder {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        let runs = Runs::default();
        Self { metrics, runs }
    }

    /// An offer was made and answered.
    pub(crate) fn offer(&self, accepted: bool) {
        let answer = if accepted { "accepted" } else { "declined" };
        count(&self.metrics.offers, "answer", answer);
    }

    /// A commit ended.
    pub(crate) fn commit(&self, durability: Durability, records: usize, began: Instant) {
        self.metrics.committed(durability, records, began.elapsed());
    }

    /// A turn could not be stored.
    pub(crate) fn commit_failed(&self, durability: Durability) {
        let durability = durability_word(durability);
        count(&self.metrics.commit_failures, "durability", durability);
    }

    /// A turn is over that began with so many messages.
    pub(crate) fn turned(&self, messages: u32, began: Instant) {
        let metrics = &self.metrics;
        metrics.turn_duration.observe(began.elapsed().as_secs_f64());
        metrics.turn_messages.observe(f64::from(messages));
    }

    /// What a stored turn saw and decided.
    pub(crate) fn stored(&mut self, observed: &[Event], effects: &[Effect]) {
        for event in observed {
            match event {
                Event::Update(update) => self.runs.updated(update),
                Event::RunOver(over) => self.ended(over),
                Event::Tick => {}
            }
        }
        for effect in effects {
            self.effect(effect);
        }
    }

    fn ended(&mut self, over: &RunOver) {
        let end = self.runs.over(over.run, &over.outcome);
        count(&self.metrics.runs_ended, "reason", end.reason);
        if end.launch_failed {
            count(&self.metrics.launch_failures, "reason", end.reason);
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Launch(group) => {
                self.metrics.launches.inc();
                if let Some(reason) = self.runs.launched(group.run, Instant::now()) {
                    count(&self.metrics.restarts, "reason", reason);
                }
            }
            Effect::Kill { run, reason, .. } => self.runs.killed(*run, *reason),
            Effect::Record(Record::InstanceGone(instance)) => self.runs.forgotten(instance.uuid),
            Effect::Record(_)
            | Effect::Harden
            | Effect::Release(_)
            | Effect::Acknowledge { .. }
            | Effect::Announce(_) => {}
        }
    }

    /// Pods whose view changed: instances that became STABLE end the wait for their launch.
    pub(crate) fn changed(&mut self, pods: impl FnOnce() -> Vec<Arc<PodView>>) {
        if !self.runs.any_launching() {
            return;
        }
        let now = Instant::now();
        for instance in pods().iter().flat_map(|pod| &pod.instances) {
            if status::instance_kind(instance) != InstanceStatus::Stable {
                continue;
            }
            let run = RunId {
                instance: instance.record.id.uuid,
                incarnation: instance.record.incarnation,
            };
            if let Some(took) = self.runs.stable(run, now) {
                self.metrics.launch_duration.observe(took.as_secs_f64());
            }
        }
    }
}
