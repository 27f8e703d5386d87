//! Where services log: to the journal with fields where standard error is the journal, else as lines.

mod journal;

use std::{io::IsTerminal as _, os::linux::fs::MetadataExt as _};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Put before the name of each field: `pod.id` becomes `MONOPOD_POD_ID`.
const FIELD_PREFIX: &str = "MONOPOD";

/// What is to be logged, in the syntax of `RUST_LOG`.
///
/// # Errors
/// It is none.
pub(crate) fn filter(log_level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(log_level).with_context(|| format!("understand log_level '{log_level}'"))
}

/// Begins to log what the filter lets through.
pub(crate) fn begin(filter: EnvFilter) {
    let registry = tracing_subscriber::registry().with(filter);
    // Standard error where the journal's own socket cannot be had.
    let journal = is_journal()
        .then(|| tracing_journald::layer().ok())
        .flatten()
        .map(|layer| journal::Spelled(layer.with_field_prefix(Some(FIELD_PREFIX.to_owned()))));
    match journal {
        Some(journal) => registry.with(journal).init(),
        None => registry.with(lines()).init(),
    }
}

fn lines<S>() -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
}

/// Whether standard error is the very stream that systemd connected to the journal (systemd.exec(5),
/// `JOURNAL_STREAM`); a variable inherited from elsewhere names another file.
fn is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else {
        return false;
    };
    let stderr = std::fs::metadata("/proc/self/fd/2");
    stderr.is_ok_and(|stderr| names(&stream, stderr.st_dev(), stderr.st_ino()))
}

fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_device_and_inode() {
        assert!(names("8:4711", 8, 4711));
        for other in ["8:4712", "9:4711", "", "8"] {
            assert!(!names(other, 8, 4711), "{other}");
        }
    }
}
