//! Values that are read at the moment of a scrape.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Unit,
};

/// Name and value of a label.
pub(super) type Label = (&'static str, String);

/// One metric with its values of this moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Without the unit and, for counters, without `_total`.
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    samples: Vec<(Vec<Label>, f64)>,
}

impl Reading {
    /// A value that goes up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::Gauge)
    }

    /// A value that only grows as long as what it belongs to lives.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, help, MetricType::Counter)
    }

    const fn new(name: &'static str, help: &'static str, kind: MetricType) -> Self {
        Self {
            name,
            help,
            unit: None,
            kind,
            samples: Vec::new(),
        }
    }

    /// Counts bytes.
    pub(super) fn bytes(mut self) -> Self {
        self.unit = Some(Unit::Bytes);
        self
    }

    /// Counts seconds.
    pub(super) fn seconds(mut self) -> Self {
        self.unit = Some(Unit::Seconds);
        self
    }

    /// Adds the value for a set of labels, if it is known.
    pub(super) fn push(&mut self, labels: &[Label], value: Option<f64>) {
        if let Some(value) = value {
            self.samples.push((labels.to_vec(), value));
        }
    }

    /// The only value.
    pub(super) fn is(mut self, value: f64) -> Self {
        self.push(&[], Some(value));
        self
    }

    /// One value for each value of a label.
    pub(super) fn by<T: Into<String>>(
        mut self,
        label: &'static str,
        values: impl IntoIterator<Item = (T, f64)>,
    ) -> Self {
        for (name, value) in values {
            self.push(&[(label, name.into())], Some(value));
        }
        self
    }

    /// The value 1, which carries labels.
    pub(super) fn by_labels(mut self, labels: &[Label]) -> Self {
        self.push(labels, Some(1.0));
        self
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), self.kind)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                self.encode_value(&mut metric, value)?;
            } else {
                self.encode_value(&mut metric.encode_family(labels)?, value)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, sample: &mut MetricEncoder<'_>, value: &f64) -> fmt::Result {
        if matches!(self.kind, MetricType::Counter) {
            sample.encode_counter(value, None::<&Exemplar<Vec<Label>, f64>>)
        } else {
            sample.encode_gauge(value)
        }
    }
}

/// All readings of one scrape.
#[derive(Debug)]
pub(super) struct Readings(pub(super) Vec<Reading>);

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for reading in &self.0 {
            reading.encode(&mut encoder)?;
        }
        Ok(())
    }
}

/// As metrics count: exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "metrics are floats; sizes and counts are far below 2^53"
)]
pub(super) const fn float(value: u64) -> f64 {
    value as f64
}

/// A length as metrics count.
pub(super) const fn size(value: usize) -> f64 {
    float(value as u64)
}
