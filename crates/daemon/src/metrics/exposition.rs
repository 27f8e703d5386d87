//! The text that a scrape gets, in one of two formats.
//!
//! The metrics library writes OpenMetrics. The older format of Prometheus differs in three ways: counters' HELP and
//! TYPE lines carry the `_total` of their samples, there are no UNIT lines, and there is no end mark.

use std::fmt;

use prometheus_client::{encoding::text, registry::Registry};

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus's text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a request's `Accept` asks for. Prometheus itself names OpenMetrics first; people get what is shorter.
    pub(crate) fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            Some(_) | None => Self::Prometheus,
        }
    }

    /// The `Content-Type` of the answer.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes the registries one behind the other; no name may be in two of them.
    pub(super) fn write(self, registries: &[&Registry]) -> Result<String, fmt::Error> {
        let mut text = String::new();
        for registry in registries {
            text::encode_registry(&mut text, registry)?;
        }
        match self {
            Self::Prometheus => Ok(to_prometheus(&text)),
            Self::OpenMetrics => {
                text::encode_eof(&mut text)?;
                Ok(text)
            }
        }
    }
}

/// Rewrites OpenMetrics as the older format. A HELP line is followed by the TYPE line of the same metric.
fn to_prometheus(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some(help) = line.strip_prefix("# HELP ") else {
            out.extend([line, "\n"]);
            continue;
        };
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let kind = lines
            .next()
            .and_then(|line| line.rsplit(' ').next())
            .unwrap_or("untyped");
        let total = if kind == "counter" { "_total" } else { "" };
        out.push_str(&format!(
            "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}\n"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::{
        metrics::{counter::Counter, gauge::Gauge},
        registry::Unit,
    };

    use super::*;

    #[test]
    fn both_formats_from_one_registry() {
        let mut registry = Registry::default();
        let counter = Counter::<u64>::default();
        counter.inc();
        registry.register_with_unit("a", "Counts", Unit::Seconds, counter);
        registry.register("b", "Stands", Gauge::<i64>::default());
        let new = Format::OpenMetrics.write(&[&registry]).unwrap();
        assert_eq!(
            new,
            "# HELP a_seconds Counts.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n\
             # HELP b Stands.\n# TYPE b gauge\nb 0\n# EOF\n"
        );
        let old = Format::Prometheus.write(&[&registry]).unwrap();
        assert_eq!(
            old,
            "# HELP a_seconds_total Counts.\n# TYPE a_seconds_total counter\na_seconds_total 1\n\
             # HELP b Stands.\n# TYPE b gauge\nb 0\n"
        );
    }

    #[test]
    fn the_newer_format_is_for_those_who_ask() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("*/*")), Format::Prometheus);
        assert_eq!(Format::accepted(None), Format::Prometheus);
    }
}
