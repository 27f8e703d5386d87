//! Where this was measured.

use std::collections::BTreeMap;

use crate::contestant::Kind;

/// What a reader must know of the machine to compare figures.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Processors that may be used.
    pub(crate) cores: usize,
    /// The processor's name.
    pub(crate) processor: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Who took part, with versions.
    pub(crate) versions: BTreeMap<Kind, String>,
    /// The load average at the start of each turn.
    pub(crate) loads: Vec<f64>,
}

impl Machine {
    /// Looks.
    pub(crate) fn look() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = cpuinfo.lines().find(|line| line.starts_with("model name"));
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: name
                .and_then(|line| line.split(": ").nth(1))
                .unwrap_or("?")
                .to_owned(),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            versions: BTreeMap::new(),
            loads: Vec::new(),
        }
    }
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or_default()
}
