//! Which processes there are, and what memory they hold.

use std::{collections::BTreeMap, fs};

use anyhow::Context as _;

/// Pods' payloads: process ids by pod. Payloads are known by their arguments, see [`crate::workload::Pod`].
pub(crate) fn payloads(place: &str) -> BTreeMap<String, Vec<i32>> {
    let mut found: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        if let Some(pod) = pod_of(&arguments, place) {
            found.entry(pod).or_default().push(pid);
        }
    }
    found
}

/// `/probe append /bench/POD.c1 …`
fn pod_of(arguments: &[u8], place: &str) -> Option<String> {
    let mut arguments = arguments.split(|byte| *byte == 0);
    let program = arguments.next()?;
    let file = std::str::from_utf8(arguments.nth(1)?).ok()?;
    let pod = file.strip_prefix("/bench/")?.split_once('.')?.0;
    (program == b"/probe" && pod.starts_with(place)).then(|| pod.to_owned())
}

/// Memory of a process in KiB, what is shared counted in proportion.
pub(crate) fn pss_kib(pid: i32) -> anyhow::Result<f64> {
    memory_kib(pid, "Pss:")
}

/// Memory of a process in KiB, what is shared counted as its own.
pub(crate) fn rss_kib(pid: i32) -> anyhow::Result<f64> {
    memory_kib(pid, "Rss:")
}

fn memory_kib(pid: i32, kind: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(kind));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("understand {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_known_by_their_arguments() {
        let cases: [(&[u8], Option<&str>); 5] = [
            (
                b"/probe\0append\0/bench/mpb1-s0.c2\0,\0hold\0",
                Some("mpb1-s0"),
            ),
            (b"/probe\0append\0/bench/mpb2-s0.c2\0,\0hold\0", None),
            (b"/crun\0append\0/bench/mpb1-s0.c2\0", None),
            (b"/probe\0report\0", None),
            (b"", None),
        ];
        for (arguments, expected) in cases {
            assert_eq!(pod_of(arguments, "mpb1-").as_deref(), expected);
        }
    }
}
