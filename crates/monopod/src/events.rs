//! `monopod events`: the event stream.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use crate::{
    client::{Client, quote},
    error::CliError,
    output,
};

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events of this type, such as instance_changed_event; may be given several times.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events of this pod.
    #[arg(long, value_name = "ID")]
    pod: Option<String>,
    /// Marathon's types only, without monopod's own.
    #[arg(long)]
    marathon: bool,
    /// End after so many events.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Print each event as a line of JSON.
    #[arg(long)]
    json: bool,
}

/// Prints events as they come, until the daemon ends or the reader does.
///
/// # Errors
/// As [`Client::stream`].
pub(crate) async fn run(args: &EventsArgs, client: &Client) -> Result<(), CliError> {
    let mut stream = client.stream(&path(args)).await?;
    let mut events = Events::default();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(piece) = stream.next().await? else {
            return Ok(());
        };
        for event in events.take(&piece) {
            if left == 0 || !is_wanted(args, &event) {
                continue;
            }
            left -= 1;
            output::print_line(&if args.json {
                event.to_string()
            } else {
                line(&event)
            })?;
        }
    }
    Ok(())
}

fn path(args: &EventsArgs) -> String {
    let mut path = format!("/v2/events?monopod={}", !args.marathon);
    for kind in &args.types {
        let _ = write!(path, "&event_type={}", quote(kind));
    }
    path
}

fn is_wanted(args: &EventsArgs, event: &Value) -> bool {
    args.pod.as_ref().is_none_or(|wanted| {
        let id = event.get("podId").or_else(|| event.get("runSpecId"));
        let id = id.and_then(Value::as_str);
        id.is_some_and(|id| id.trim_matches('/') == wanted.trim_matches('/'))
    })
}

/// Time, type, and the members that are a single word or number.
fn line(event: &Value) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("-");
    let mut line = format!("{} {}", text("timestamp"), text("eventType"));
    for (name, value) in event.as_object().into_iter().flatten() {
        if ["timestamp", "eventType"].contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::String(value) if value.is_empty() => {}
            Value::String(value) if value.contains(char::is_whitespace) => {
                let _ = write!(line, " {name}={value:?}");
            }
            Value::String(value) => {
                let _ = write!(line, " {name}={value}");
            }
            Value::Number(_) | Value::Bool(_) => {
                let _ = write!(line, " {name}={value}");
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    line
}

/// Events out of the pieces of a stream (WHATWG: `server-sent events`, as far as the daemon uses it).
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
}

impl Events {
    /// The events that are whole with this piece.
    fn take(&mut self, piece: &[u8]) -> Vec<Value> {
        self.rest.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.rest.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&event);
            let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
            let data: String = data.map(str::trim_start).collect();
            // Comments keep the connection alive.
            events.extend(serde_json::from_str::<Value>(&data));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_may_come_in_pieces() {
        let mut events = Events::default();
        assert!(events.take(b": ping\n\nevent: a\nda").is_empty());
        assert!(events.take(b"ta: {\"eventType\":\"a\"}\n").is_empty());
        let found = events.take(b"\nevent: b\ndata: {\"eventType\":\"b\"}\n\nevent");
        assert_eq!(
            found,
            [json!({"eventType": "a"}), json!({"eventType": "b"})]
        );
    }

    #[test]
    fn a_line_tells_what_is_short() {
        let event = json!({
            "eventType": "instance_changed_event", "timestamp": "2026-11-22T13:58:26.477Z",
            "runSpecId": "/a", "count": 2, "message": "two words", "empty": "", "plan": {"steps": []}
        });
        insta::assert_snapshot!(
            line(&event),
            @r#"2026-11-22T13:58:26.477Z instance_changed_event runSpecId=/a count=2 message="two words""#
        );
    }
}
