//! Lines for the journal that say all: `journalctl` shows the message alone, not the fields beside it.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Subscriber,
    field::{Field, Value, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::layer::{Context, Layer};

/// The field that is shown.
const MESSAGE: &str = "message";

/// Passes events on with their fields as they are, and as their message the text followed by `key=value` pairs.
#[derive(Debug)]
pub(super) struct Spelled<L>(pub(super) L);

impl<S: Subscriber, L: Layer<S>> Layer<S> for Spelled<L> {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut texts = Texts::default();
        event.record(&mut texts);
        let line = texts.line();
        let fields = event.metadata().fields();
        // As the macros of `tracing` make them: one place for each field of the event, in their order.
        let values: Vec<Option<&dyn Value>> = fields
            .iter()
            .map(|field| {
                let value = if field.name() == MESSAGE {
                    &line
                } else {
                    texts.of(&field)?
                };
                Some(value as &dyn Value)
            })
            .collect();
        let values = fields.value_set_all(&values);
        self.0
            .on_event(&Event::new(event.metadata(), &values), context);
    }
}

/// An event's fields as texts, in their order.
#[derive(Debug, Default)]
struct Texts(Vec<(Field, String)>);

impl Texts {
    fn of(&self, field: &Field) -> Option<&String> {
        let found = self.0.iter().find(|(of, _)| of == field);
        found.map(|(_, text)| text)
    }

    /// The message, then whatever else there is.
    fn line(&self) -> String {
        let message = self.0.iter().find(|(field, _)| field.name() == MESSAGE);
        let mut line = message.map(|(_, text)| text.clone()).unwrap_or_default();
        for (field, text) in &self.0 {
            // What the `log` crate adds is in fields of the journal's own.
            if field.name() == MESSAGE || field.name().starts_with("log.") {
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(field.name());
            line.push('=');
            push_value(&mut line, text);
        }
        line
    }
}

/// Quoted where it could not be told from what follows.
fn push_value(line: &mut String, text: &str) {
    let is_plain = |c: char| !(c.is_whitespace() || c.is_control() || c == '"' || c == '=');
    if !text.is_empty() && text.chars().all(is_plain) {
        line.push_str(text);
    } else {
        // Writing to a string does not fail.
        let _ = write!(line, "{text:?}");
    }
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.clone(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.clone(), format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Keeps what would go to the journal.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut texts = Texts::default();
            event.record(&mut texts);
            let fields = texts.0.into_iter();
            let fields = fields.map(|(field, text)| (field.name().to_owned(), text));
            self.0.lock().unwrap().push(fields.collect());
        }
    }

    fn kept(log: impl FnOnce()) -> Vec<BTreeMap<String, String>> {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(Spelled(kept.clone()));
        tracing::subscriber::with_default(subscriber, log);
        std::mem::take(&mut *kept.0.lock().unwrap())
    }

    #[test]
    fn the_message_tells_the_values_and_the_fields_stay() {
        let absent: Option<u32> = None;
        let events = kept(|| {
            tracing::info!(pod.id = %"/web", absent, count = 3, "launched {}", "a run");
            tracing::warn!(error = "disk full", "failed to store");
            tracing::info!(alone = true);
            tracing::info!("ready");
        });
        let messages: Vec<_> = events
            .iter()
            .map(|event| event.get(MESSAGE).map(String::as_str))
            .collect();
        assert_eq!(
            messages,
            [
                Some("launched a run pod.id=/web count=3"),
                Some("failed to store error=\"disk full\""),
                None,
                Some("ready"),
            ]
        );
        let field = |index: usize, name: &str| events[index].get(name).map(String::as_str);
        assert_eq!(field(0, "pod.id"), Some("/web"));
        assert_eq!(field(0, "count"), Some("3"));
        assert_eq!(field(0, "absent"), None);
        assert_eq!(field(1, "error"), Some("disk full"));
        assert_eq!(field(2, "alone"), Some("true"));
    }

    #[test]
    fn a_value_that_could_be_misread_is_quoted() {
        for (text, expected) in [
            ("plain/1.2-x", "plain/1.2-x"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("line\nend", "\"line\\nend\""),
            ("quo\"te", "\"quo\\\"te\""),
        ] {
            let mut line = String::new();
            push_value(&mut line, text);
            assert_eq!(line, expected);
        }
    }
}
