//! Prometheus's text format 0.0.4, read strictly.

use std::collections::BTreeMap;

/// What a scrape gave.
#[derive(Debug)]
pub struct Exposition {
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads a text. Every sample follows the HELP and TYPE lines of its metric, names are well-formed, nothing is
    /// told twice, histograms add up.
    ///
    /// # Errors
    /// The first line that breaks the format, and how.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::default();
        if !text.ends_with('\n') {
            return Err("the last line is not ended".to_owned());
        }
        for line in text.lines() {
            reader
                .line(line)
                .map_err(|problem| format!("{problem}: {line}"))?;
        }
        reader.check_histograms()?;
        Ok(Self {
            samples: reader.samples,
        })
    }

    /// The value of a sample, written as in the text, labels and all.
    pub fn get(&self, sample: &str) -> Option<f64> {
        self.samples.get(sample).copied()
    }

    /// The sum of all samples of a metric whose labels contain `part`.
    pub fn sum(&self, name: &str, part: &str) -> f64 {
        let of = |sample: &str| sample.split('{').next() == Some(name) && sample.contains(part);
        let found = self.samples.iter().filter(|(sample, _)| of(sample));
        found.map(|(_, value)| value).sum()
    }
}

#[derive(Default)]
struct Reader {
    helped: Option<String>,
    /// Types by metric, in the order of their coming.
    types: BTreeMap<String, String>,
    current: Option<String>,
    samples: BTreeMap<String, f64>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').ok_or("no help")?;
            if text.is_empty() || !is_name(name) {
                return Err("no name or no help");
            }
            self.helped = Some(name.to_owned());
            return Ok(());
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            return self.kind(kind);
        }
        if line.starts_with('#') {
            return Err("neither HELP nor TYPE");
        }
        self.sample(line)
    }

    fn kind(&mut self, line: &str) -> Result<(), &'static str> {
        let (name, kind) = line.split_once(' ').ok_or("no type")?;
        if self.helped.as_deref() != Some(name) {
            return Err("TYPE without HELP before it");
        }
        if !["counter", "gauge", "histogram"].contains(&kind) {
            return Err("unknown type");
        }
        if (kind == "counter") != name.ends_with("_total") {
            return Err("counters, and only they, end in _total");
        }
        self.current = Some(name.to_owned());
        match self.types.insert(name.to_owned(), kind.to_owned()) {
            Some(_) => Err("a metric told twice"),
            None => Ok(()),
        }
    }

    fn sample(&mut self, line: &str) -> Result<(), &'static str> {
        let (sample, value) = line.rsplit_once(' ').ok_or("no value")?;
        let name = sample.split('{').next().unwrap_or_default();
        let current = self.current.as_deref().ok_or("a sample without metric")?;
        let suffix = name.strip_prefix(current).ok_or("not the metric above")?;
        let allowed: &[&str] = match self.types[current].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        if !allowed.contains(&suffix) {
            return Err("not a sample of the metric above");
        }
        if let Some(labels) = sample
            .strip_prefix(name)
            .filter(|labels| !labels.is_empty())
        {
            check_labels(labels)?;
        }
        let value: f64 = value.parse().map_err(|_| "no number")?;
        match self.samples.insert(sample.to_owned(), value) {
            Some(_) => Err("a sample told twice"),
            None => Ok(()),
        }
    }

    /// Buckets grow, and the last one, of everything, is the count.
    fn check_histograms(&self) -> Result<(), String> {
        let histograms = self.types.iter().filter(|(_, kind)| *kind == "histogram");
        for (name, _) in histograms {
            let bucket = format!("{name}_bucket{{");
            let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for (sample, value) in &self.samples {
                let Some(labels) = sample.strip_prefix(&bucket) else {
                    continue;
                };
                let (others, bound) = split_bound(labels).ok_or(format!("no bound: {sample}"))?;
                series.entry(others).or_default().push((bound, *value));
            }
            for (labels, mut buckets) in series {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                let grows = buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1);
                let count = if labels.is_empty() {
                    format!("{name}_count")
                } else {
                    format!("{name}_count{{{labels}}}")
                };
                let last = buckets.last().copied().unwrap_or_default();
                let count = self.samples.get(&count).copied();
                if !grows || last.0 != f64::INFINITY || Some(last.1) != count {
                    return Err(format!(
                        "{name} {labels} does not add up: {buckets:?}, {count:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The labels without `le`, and its value.
fn split_bound(labels: &str) -> Option<(String, f64)> {
    let labels = labels.strip_suffix('}')?;
    let mut bound = None;
    let mut others = Vec::new();
    for label in labels.split(',') {
        match label.strip_prefix("le=\"") {
            Some(value) => bound = value.strip_suffix('"')?.parse().ok(),
            None => others.push(label),
        }
    }
    Some((others.join(","), bound?))
}

fn check_labels(labels: &str) -> Result<(), &'static str> {
    let inner = labels
        .strip_prefix('{')
        .and_then(|labels| labels.strip_suffix('}'))
        .ok_or("labels without braces")?;
    for label in inner.split("\",") {
        let (name, value) = label.split_once("=\"").ok_or("a label without value")?;
        let value = value.strip_suffix('"').unwrap_or(value);
        if !is_name(name) || name.contains(':') || value.contains(['"', '\\', '\n']) {
            return Err("a label that is not well-formed");
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    let rest = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    first && rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_the_format_is_found() {
        let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\
                    # HELP h H.\n# TYPE h histogram\nh_sum 3.0\nh_count 2\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n";
        let read = Exposition::parse(good).unwrap();
        assert_eq!(read.get("a_total{x=\"1\"}"), Some(2.0));
        assert_eq!(read.sum("a_total", "x="), 2.0);
        let changes = [
            ("# HELP a_total A.\n", ""),
            ("a_total", "a"),
            (" 2\n#", " two\n#"),
            ("h_count 2", "h_count 3"),
            ("x=", "1x="),
            ("# HELP h", "# UNIT h"),
            ("h_sum", "g_sum"),
        ];
        for (from, to) in changes {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(Exposition::parse(&bad).is_err(), "{bad}");
        }
    }
}
