//! How the rest of the daemon speaks to the loop.

use std::sync::Arc;

use model::{id::DeploymentId, pod::PodDefinition};
use scheduler::{Accepted, Denied, Event, Plan, Request};
use tokio::sync::{mpsc, oneshot, watch};

use crate::snapshot::Snapshot;

/// Requests and observations that may wait for the loop. A full channel refuses HTTP clients, and slows down
/// executors' links, each of which holds at most one message.
const WAITING_MESSAGES: usize = 1024;

/// What the loop is sent.
#[derive(Debug)]
pub(crate) enum Message {
    /// Somebody wants something.
    Request {
        /// What.
        request: Box<Request>,
        /// Where the answer goes once the turn is stored.
        reply: oneshot::Sender<Result<Accepted, Refusal>>,
    },
    /// Somebody wants to know what a definition would do.
    Plan {
        /// The definition, normalised and valid.
        definition: Box<PodDefinition>,
        /// Where the answer goes at the end of the turn.
        reply: oneshot::Sender<Result<Plan, Refusal>>,
    },
    /// Something was seen.
    Observed(Event),
    /// Somebody wants to know whether the loop still turns.
    Turned(oneshot::Sender<()>),
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The scheduler denied it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// It could not be stored; nothing of it happened.
    #[error("store the request: {message}; nothing was changed, try again")]
    NotStored {
        /// The store's error.
        message: String,
    },
    /// More wait already than the loop gets through.
    #[error("accept the request: too many wait already; nothing was changed, try again later")]
    Busy,
    /// The daemon is stopping.
    #[error("accept the request: the daemon is stopping")]
    Stopping,
}

/// Speaks to the loop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    messages: mpsc::Sender<Message>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Handle {
    /// Makes the channels: the handle, and what the loop keeps.
    pub(crate) fn new(
        first: Snapshot,
    ) -> (Self, mpsc::Receiver<Message>, watch::Sender<Arc<Snapshot>>) {
        let (sender, receiver) = mpsc::channel(WAITING_MESSAGES);
        let (publisher, snapshots) = watch::channel(Arc::new(first));
        (
            Self {
                messages: sender,
                snapshots,
            },
            receiver,
            publisher,
        )
    }

    /// Asks for a change; returns once it is stored.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn request(&self, request: Request) -> Result<Accepted, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Message::Request {
            request: Box::new(request),
            reply,
        })?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    /// Asks what a definition would do; changes nothing.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn plan(&self, definition: PodDefinition) -> Result<Plan, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Message::Plan {
            definition: Box::new(definition),
            reply,
        })?;
        answer.await.map_err(|_| Refusal::Stopping)?
    }

    fn ask(&self, message: Message) -> Result<(), Refusal> {
        self.messages
            .try_send(message)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Refusal::Busy,
                mpsc::error::TrySendError::Closed(_) => Refusal::Stopping,
            })
    }

    /// Tells what was seen. After the loop has stopped, nothing: the next start sees it again.
    pub(crate) async fn observed(&self, event: Event) {
        let _ = self.messages.send(Message::Observed(event)).await;
    }

    /// Waits for a turn of the loop, stored or discarded; tells whether it came.
    pub(crate) async fn turned(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(Message::Turned(reply)).await;
        sent.is_ok() && answer.await.is_ok()
    }

    /// What was true after the last stored turn.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Waits until the snapshot satisfies `condition`, or the loop has stopped.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Snapshot) -> bool) {
        let mut snapshots = self.snapshots.clone();
        // An error means that the loop has stopped; there is nothing to wait for any more.
        let _ = snapshots.wait_for(|snapshot| condition(snapshot)).await;
    }

    /// Waits until a deployment is over, or the loop has stopped.
    pub async fn deployment_over(&self, deployment: DeploymentId) {
        self.wait_until(|snapshot| snapshot.deployment(deployment).is_none())
            .await;
    }
}
