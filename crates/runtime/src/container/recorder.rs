//! A tracing subscriber for creating children: passes on what libcontainer logs as an error, nothing else.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use super::report::{Report, Reporter};

/// The subscriber.
#[derive(Debug)]
pub(super) struct Recorder(pub(super) Reporter);

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0.tell(Report::Cause {
            text: format!("{}{}", text.message, text.fields),
        });
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

/// An event's message, and its other fields as ` name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;
    use crate::container::report::Reports;

    #[test]
    fn only_errors_are_passed_on() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
        let recorder = Recorder(Reporter::new(writer));
        tracing::subscriber::with_default(recorder, || {
            tracing::warn!("harmless");
            tracing::error!(err = ?std::fmt::Error, "failed to mount {}", "/x");
        });
        let mut reports = Reports::new(reader);
        reports.read();
        assert_eq!(
            reports.explain("no", Path::new("/")),
            "no; failed to mount /x err=Error"
        );
    }
}
