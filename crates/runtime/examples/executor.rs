//! An executor for the tests, and a probe that tells how the process it runs in is isolated.
//!
//! `executor executor` is what `monopod executor` is; `executor probe` prints one `name=value` a line.

use std::{fs, io, process::ExitCode};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("executor") => runtime::executor::main(),
        Some("probe") => probe().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        _ => ExitCode::from(2),
    }
}

fn probe() -> io::Result<()> {
    for namespace in ["mnt", "pid", "net", "ipc", "uts", "user"] {
        let link = fs::read_link(format!("/proc/self/ns/{namespace}"))?;
        tell(namespace, link.display());
    }
    for line in fs::read_to_string("/proc/self/status")?.lines() {
        if let Some((name, value)) = line.split_once(':') {
            tell(name, value.trim());
        }
    }
    let descriptors = fs::read_dir("/proc/self/fd")?.flatten();
    let mut numbers: Vec<String> = descriptors
        .filter(|entry| entry.path().read_link().is_ok_and(|to| !to.ends_with("fd")))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    numbers.sort();
    tell("fds", numbers.join(","));
    tell("cwd", std::env::current_dir()?.display());
    tell(
        "hostname",
        fs::read_to_string("/proc/sys/kernel/hostname")?.trim(),
    );
    let environment: Vec<String> = std::env::vars()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    tell("environment", environment.join(","));
    let keyring = runtime::sys::keyring::session_serial();
    tell(
        "keyring",
        keyring.map_or_else(|error| error.to_string(), |serial| serial.to_string()),
    );
    tell(
        "oom_score_adj",
        fs::read_to_string("/proc/self/oom_score_adj")?.trim(),
    );
    tell(
        "core_pattern_writable",
        fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/core_pattern")
            .is_ok(),
    );
    tell(
        "kcore_bytes",
        fs::read("/proc/kcore").map_or(0, |bytes| bytes.len()),
    );
    let loopback = std::net::UdpSocket::bind("127.0.0.1:0");
    tell("loopback", loopback.is_ok());
    Ok(())
}

fn tell(name: &str, value: impl std::fmt::Display) {
    use std::io::Write as _;
    // A reader that is gone is the end of the test.
    let _ = writeln!(io::stdout(), "{name}={value}");
}
