//! The event stream: what happened, told to whoever listens (marathon: `core/event/Events.scala`).
//!
//! Events are told after the turn that made them was stored. There is no replay: who was not attached missed them, and
//! who reads too slowly is cut off.

mod document;

use std::sync::Arc;

use model::{offer::AgentInfo, time::Timestamp};
use scheduler::Announcement;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub(crate) use self::document::{EventDocument, PodRequest, StreamReader};

/// Events that may wait for one reader (marathon: `--event_stream_max_outstanding_messages`).
pub(crate) const OUTSTANDING: usize = 1024;

/// What a frame of the stream holds.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct Frame {
    /// What happened.
    #[serde(flatten)]
    event: EventDocument,
    /// When it was told.
    timestamp: Timestamp,
}

/// One event, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type, as `eventType` and as the frame's name.
    pub(crate) kind: String,
    /// The whole document, in JSON.
    pub(crate) data: String,
}

impl Event {
    fn new(event: EventDocument, timestamp: Timestamp) -> Self {
        let document = json!(Frame { event, timestamp });
        let kind = document.get("eventType").and_then(Value::as_str);
        Self {
            kind: kind.unwrap_or_default().to_owned(),
            data: document.to_string(),
        }
    }

    /// Whether Marathon knows no such event: readers made for it fail on those (marathon-python), so that they go only
    /// to whom asks for them.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind.starts_with("monopod_")
    }
}

/// Where events come together; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EventBus {
    sender: broadcast::Sender<Arc<Event>>,
    agent: Arc<AgentInfo>,
    stopping: CancellationToken,
}

impl EventBus {
    /// A bus that ends its readers' streams with `stopping`.
    pub(crate) fn new(agent: AgentInfo, stopping: CancellationToken) -> Self {
        Self {
            sender: broadcast::Sender::new(OUTSTANDING),
            agent: Arc::new(agent),
            stopping,
        }
    }

    /// Tells what a turn of the loop announced.
    pub(crate) fn announce(&self, announcement: &Announcement, now: Timestamp) {
        // Documents are made for readers only.
        if self.sender.receiver_count() > 0 {
            for event in document::of(announcement, &self.agent) {
                self.send(event, now);
            }
        }
    }

    /// Tells an event that is known elsewhere.
    pub(crate) fn tell(&self, event: EventDocument, now: Timestamp) {
        if self.sender.receiver_count() > 0 {
            self.send(event, now);
        }
    }

    fn send(&self, event: EventDocument, now: Timestamp) {
        // Without readers there is nobody to tell.
        let _ = self.sender.send(Arc::new(Event::new(event, now)));
    }

    /// All events from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription {
            receiver: self.sender.subscribe(),
            stopping: self.stopping.clone(),
        }
    }
}

/// One reader's events.
#[derive(Debug)]
pub(crate) struct Subscription {
    receiver: broadcast::Receiver<Arc<Event>>,
    stopping: CancellationToken,
}

/// Why no more events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The daemon stops.
    Stopping,
    /// The reader was too slow: so many events are lost to it.
    TooSlow(u64),
}

impl Subscription {
    /// The next event.
    pub(crate) async fn next(&mut self) -> Result<Arc<Event>, Over> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(Over::Stopping),
            received = self.receiver.recv() => received.map_err(|error| match error {
                broadcast::error::RecvError::Closed => Over::Stopping,
                broadcast::error::RecvError::Lagged(lost) => Over::TooSlow(lost),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{document::Terminated, *};

    fn gone(pod: &str) -> EventDocument {
        let app_id = pod.parse().unwrap();
        EventDocument::AppTerminatedEvent(Terminated { app_id })
    }

    fn bus() -> (EventBus, CancellationToken) {
        let stopping = CancellationToken::new();
        let agent = AgentInfo {
            id: "a-S0".to_owned(),
            hostname: "box".to_owned(),
            attributes: Default::default(),
        };
        (EventBus::new(agent, stopping.clone()), stopping)
    }

    #[tokio::test]
    async fn readers_hear_what_comes_after_they_attached() {
        let (bus, stopping) = bus();
        let now = Timestamp::from_millis(0);
        bus.tell(gone("/early"), now);
        let mut reader = bus.subscribe();
        bus.tell(gone("/late"), now);
        let event = reader.next().await.unwrap();
        assert_eq!(
            event.data,
            r#"{"eventType":"app_terminated_event","appId":"/late","timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
        stopping.cancel();
        assert_eq!(reader.next().await.unwrap_err(), Over::Stopping);
    }

    #[tokio::test]
    async fn who_reads_too_slowly_is_cut_off_and_nobody_else() {
        let (bus, _stopping) = bus();
        let (mut slow, mut quick) = (bus.subscribe(), bus.subscribe());
        for _ in 0..OUTSTANDING + 3 {
            let now = Timestamp::from_millis(0);
            bus.tell(gone("/x"), now);
            quick.next().await.unwrap();
        }
        assert_eq!(slow.next().await.unwrap_err(), Over::TooSlow(3));
    }
}
