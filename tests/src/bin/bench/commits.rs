//! How often the service waits for the disk: counted by `strace`, apart from everything that is timed.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;

/// Calls that make a write durable.
const CALLS: &str = "trace=fsync,fdatasync,msync,sync_file_range,syncfs,sync";

/// Counts the durable writes of a process, all threads, while `work` is done.
///
/// # Errors
/// `strace` is not there or may not attach; or what `work` says.
pub(crate) fn count(
    pid: i32,
    scratch: &Path,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let output = scratch.join("strace");
    let mut strace = Command::new("strace")
        .args(["-f", "-e", CALLS, "-e", "signal=none", "-o"])
        .arg(&output)
        .args(["-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start strace")?;
    let mut said = BufReader::new(strace.stderr.take().context("hear strace")?);
    let mut line = String::new();
    said.read_line(&mut line).context("hear strace")?;
    let result = if line.contains("attached") {
        work()
    } else {
        Err(anyhow::anyhow!("attach: {line}"))
    };
    crate::monopod::stop(&mut strace);
    result?;
    let calls = BufReader::new(File::open(&output).context("read what strace wrote")?).lines();
    Ok(calls
        .map_while(Result::ok)
        .filter(|line| begins_call(line))
        .count())
}

/// A call that another thread interrupts is written in two lines; the first one counts.
fn begins_call(line: &str) -> bool {
    line.contains("sync")
        && line.contains('(')
        && !line.contains("resumed>")
        && !line.contains("+++")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_counts_once() {
        let cases = [
            ("12 fdatasync(9) = 0", true),
            ("12 fsync(9 <unfinished ...>", true),
            ("12 <... fsync resumed>) = 0", false),
            ("12 +++ exited with 0 +++", false),
        ];
        for (line, expected) in cases {
            assert_eq!(begins_call(line), expected, "{line}");
        }
    }
}
