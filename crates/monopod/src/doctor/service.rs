//! The daemon itself: whether it answers, as what, and what it says is wrong.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
};

use serde_json::Value;

use super::{Finding, Place, directories::chain};

/// Looks at the daemon, or at what keeps one from starting.
pub(super) async fn check(place: &Place) -> Vec<Finding> {
    let mut findings = vec![group(&place.config.socket_group)];
    if let Some(info) = &place.info {
        findings.push(version(info));
        findings.extend(degraded(info));
        findings.extend(systemd(place));
        findings.push(Finding::ok("database", "the daemon has it open"));
    } else {
        findings.push(silent(place));
        let addresses = place.config.listen.iter();
        findings.extend(addresses.map(|address| port(place, *address)));
        findings.push(database(place).await);
    }
    // So that whoever looks for it finds that it was thought of.
    findings.push(Finding::ok("registries", "none is configured"));
    findings
}

fn version(info: &Value) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    let theirs = info.get("version").and_then(Value::as_str);
    let theirs = theirs.unwrap_or("an unknown version");
    let found = format!("answers, version {theirs}");
    if theirs == ours {
        return Finding::ok("daemon", found);
    }
    let remedy = "restart the daemon: pods go on running";
    Finding::warn("daemon", format!("{found}; this program is {ours}"), remedy)
}

fn degraded(info: &Value) -> Vec<Finding> {
    let conditions = info.get("conditions").and_then(Value::as_array);
    let conditions: Vec<_> = conditions.into_iter().flatten().collect();
    if conditions.is_empty() {
        return vec![Finding::ok("condition", "the daemon misses nothing")];
    }
    let warning = |condition: &&Value| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or("?");
        let found = format!("{} since {}: {}", text("kind"), text("since"), text("text"));
        Finding::warn(
            "condition",
            found,
            "see docs/bad-weather.md and the daemon's log",
        )
    };
    conditions.iter().map(warning).collect()
}

/// Under systemd a unit's directive may have given the daemon mounts of its own, which pods would inherit.
fn systemd(place: &Place) -> Option<Finding> {
    let check = "mount namespace";
    let pid = place.pid()?;
    let namespace = |pid: u64| fs::read_link(format!("/proc/{pid}/ns/mnt"));
    match (namespace(1), namespace(pid)) {
        (Ok(host), Ok(own)) if host == own => Some(Finding::ok(check, "the host's")),
        (Ok(_), Ok(_)) => Some(Finding::warn(
            check,
            "the daemon has mounts of its own",
            "remove PrivateTmp=, ProtectSystem= and the like from its unit; in a container this is as it should be",
        )),
        (Err(error), _) | (_, Err(error)) => Some(Finding::unchecked(check, error.to_string())),
    }
}

fn silent(place: &Place) -> Finding {
    match place.held {
        Some(true) => Finding::fail(
            "daemon",
            "runs, but does not answer, or is recovering for long",
            "look at its log; if it is stuck, restart it: pods go on running",
        ),
        Some(false) => Finding::warn(
            "daemon",
            "does not run; what follows is what can be seen without it",
            "systemctl start monopod, or run: monopod daemon",
        ),
        None => Finding::unchecked(
            "daemon",
            "does not answer; whether it runs only root can see",
        ),
    }
}

fn group(name: &str) -> Finding {
    let check = "socket's group";
    let Ok(groups) = fs::read_to_string("/etc/group") else {
        return Finding::unchecked(check, "/etc/group cannot be read");
    };
    let entry = groups
        .lines()
        .find(|line| line.split(':').next() == Some(name));
    match entry.and_then(|line| line.split(':').next_back()) {
        Some("") => Finding::ok(
            check,
            format!("{name}, without members: only root uses the socket"),
        ),
        Some(members) => Finding::ok(
            check,
            format!("{name}, whose members are as mighty as root here: {members}"),
        ),
        None => Finding::warn(
            check,
            format!("there is no group {name}: only root uses the socket"),
            format!("groupadd --system {name}, then restart the daemon"),
        ),
    }
}

/// Whether the daemon could listen.
fn port(place: &Place, address: SocketAddr) -> Finding {
    let check = "port";
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(_) if place.held != Some(false) => {
            Finding::unchecked(check, format!("{address} is in use, perhaps by the daemon"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::fail(
            check,
            format!("another program has {address}"),
            "end it, or set listen in the configuration; port 0 takes a free one",
        ),
        Err(error) => Finding::fail(
            check,
            format!("{address}: {error}"),
            "set listen in the configuration to an address of this host",
        ),
    }
}

async fn database(place: &Place) -> Finding {
    let check = "database";
    let path = place.state_dir.join("monopod.db");
    if place.held != Some(false) {
        return Finding::unchecked(check, "a daemon may have it open");
    }
    match readable(&path) {
        Ok(true) => {}
        Ok(false) => return Finding::ok(check, format!("{} is not there yet", path.display())),
        Err(error) => return Finding::unchecked(check, format!("{}: {error}", path.display())),
    }
    match daemon::check_database(&path).await {
        Ok(()) => Finding::ok(check, format!("{} is whole", path.display())),
        Err(error) => Finding::fail(
            check,
            chain(&error),
            "do as it says; without a backup, moving it away begins anew: pods that still run are ended then",
        ),
    }
}

fn readable(path: &Path) -> io::Result<bool> {
    match fs::File::open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
