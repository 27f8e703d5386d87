//! `/v2/events`: the event stream (marathon: `core/event/impl/stream/HttpEventStreamActor.scala`).

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::stream;
use utoipa::IntoParams;

use super::{Shared, access::Caller, error::ApiError, query};
use crate::{
    clock,
    events::{EventBus, EventDocument, Over, StreamReader, Subscription},
};

/// A reader hears something at least this often, so that both sides notice when the other one is gone.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// `?event_type=` and `?monopod=`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "one name may stand several times")]
pub(super) struct Filter {
    /// Only these types; may stand several times.
    event_type: Option<Vec<String>>,
    /// Whether our own types are wanted, which Marathon does not have.
    #[param(required = false, default = false)]
    monopod: bool,
}

/// What happens, as it happens.
///
/// Server-sent events: the frame's name is the event's type, its data a document of the schema `Event`. Our own types go
/// to those who name one or ask for all of ours.
#[utoipa::path(
    get,
    path = "/v2/events",
    tag = "service",
    operation_id = "events",
    params(Filter, ("Accept" = String, Header, description = "Must have `text/event-stream`.")),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 405, description = "`Accept` has no `text/event-stream`.", body = super::error::ErrorBody),
    ),
)]
pub(super) async fn stream(
    State(api): Shared,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Err(ApiError::MethodNotAllowed {
            method: "GET without 'Accept: text/event-stream'".to_owned(),
            allowed: Some("GET, HEAD"),
        });
    }
    let reader = Reader::attach(&api.events, Wanted::of(&uri), caller.host());
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok::<_, Infallible>(event), reader))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(events).keep_alive(alive).into_response())
}

/// Which types a reader wants.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// None for all.
    types: BTreeSet<String>,
    ours: bool,
}

impl Wanted {
    fn of(uri: &Uri) -> Self {
        Self {
            types: query::values(uri, "event_type").into_iter().collect(),
            ours: query::values(uri, "monopod")
                .iter()
                .any(|value| value == "true"),
        }
    }

    fn has(&self, kind: &str, ours: bool) -> bool {
        if self.types.is_empty() {
            self.ours || !ours
        } else {
            self.types.contains(kind)
        }
    }
}

/// Someone who is attached to the stream; the others are told when it comes and goes.
struct Reader {
    bus: EventBus,
    subscription: Subscription,
    wanted: Wanted,
    address: String,
}

impl Reader {
    fn attach(bus: &EventBus, wanted: Wanted, address: String) -> Self {
        let subscription = bus.subscribe();
        tracing::info!(remote = address, "attached to the event stream");
        let remote_address = address.clone();
        let attached = EventDocument::EventStreamAttached(StreamReader { remote_address });
        bus.tell(attached, clock::now());
        Self {
            bus: bus.clone(),
            subscription,
            wanted,
            address,
        }
    }

    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            match self.subscription.next().await {
                Ok(event) if self.wanted.has(&event.kind, event.is_ours()) => {
                    return Some(sse::Event::default().event(&event.kind).data(&event.data));
                }
                Ok(_) => {}
                Err(Over::Stopping) => return None,
                Err(Over::TooSlow(lost)) => {
                    tracing::warn!(
                        remote = self.address,
                        lost,
                        "cut off a slow reader of events"
                    );
                    return None;
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        tracing::info!(remote = self.address, "detached from the event stream");
        let remote_address = self.address.clone();
        let detached = EventDocument::EventStreamDetached(StreamReader { remote_address });
        self.bus.tell(detached, clock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_types_go_only_to_those_who_ask() {
        let cases = [
            ("", "deployment_info", true),
            ("", "monopod_run_ended_event", false),
            ("monopod=true", "monopod_run_ended_event", true),
            ("monopod=true", "deployment_info", true),
            ("event_type=a&event_type=b", "b", true),
            ("event_type=a&event_type=b", "c", false),
            (
                "event_type=monopod_run_ended_event",
                "monopod_run_ended_event",
                true,
            ),
        ];
        for (query, kind, expected) in cases {
            let uri: Uri = format!("/v2/events?{query}").parse().unwrap();
            let ours = kind.starts_with("monopod_");
            assert_eq!(Wanted::of(&uri).has(kind, ours), expected, "{query} {kind}");
        }
    }
}
