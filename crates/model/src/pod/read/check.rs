//! Reads health checks and readiness checks (marathon:
//! `docs/docs/rest-api/public/api/v2/types/{healthCheck,check}.raml`).

use super::{
    MAX_INT,
    container::command,
    place::{Members, Place},
    text::{NAME, PATH},
};
use crate::pod::{Check, ExecProbe, HealthCheck, HttpProbe, HttpScheme, Probe, TcpProbe};

pub(super) fn health_check(place: &Place<'_>) -> Option<HealthCheck> {
    place.object(|members| {
        let probe = probe(members);
        let grace_period_seconds = count(members, "gracePeriodSeconds", 300);
        let interval_seconds = count(members, "intervalSeconds", 60);
        let max_consecutive_failures = count(members, "maxConsecutiveFailures", 3);
        let timeout_seconds = count(members, "timeoutSeconds", 20);
        let delay_seconds = count(members, "delaySeconds", 15);
        probe.map(|probe| HealthCheck {
            probe,
            grace_period_seconds,
            interval_seconds,
            max_consecutive_failures,
            timeout_seconds,
            delay_seconds,
        })
    })
}

pub(super) fn check(place: &Place<'_>) -> Option<Check> {
    place.object(|members| {
        let probe = probe(members);
        let interval_seconds = count(members, "intervalSeconds", 60);
        let timeout_seconds = count(members, "timeoutSeconds", 20);
        let delay_seconds = count(members, "delaySeconds", 15);
        probe.map(|probe| Check {
            probe,
            interval_seconds,
            timeout_seconds,
            delay_seconds,
        })
    })
}

fn count(members: &Members<'_>, name: &'static str, default: u32) -> u32 {
    members
        .optional(name, |place| place.integer(0..=MAX_INT))
        .unwrap_or(default)
}

/// The one probe. None and several break a rule, which must be told from here: a [`Probe`] is one.
fn probe(members: &Members<'_>) -> Option<Probe> {
    let http = members.optional("http", http);
    let tcp = members.optional("tcp", tcp);
    let exec = members.optional("exec", exec);
    let names = ["http", "tcp", "exec"];
    if names.iter().filter(|name| members.has(name)).count() != 1 {
        members
            .place()
            .refuse_by_rule("Only one of http, tcp, or command may be specified");
    }
    http.or(tcp).or(exec)
}

fn http(place: &Place<'_>) -> Option<Probe> {
    const SCHEMES: [(&str, HttpScheme); 2] =
        [("HTTP", HttpScheme::Http), ("HTTPS", HttpScheme::Https)];
    place.object(|members| {
        let endpoint = members.required("endpoint", |place| place.text(NAME));
        let path = members.optional("path", |place| place.text(PATH));
        let scheme = members.optional("scheme", |place| place.literal(&SCHEMES));
        Some(Probe::Http(HttpProbe {
            endpoint: endpoint?,
            path,
            scheme: scheme.unwrap_or_default(),
        }))
    })
}

fn tcp(place: &Place<'_>) -> Option<Probe> {
    place.object(|members| {
        let endpoint = members.required("endpoint", |place| place.text(NAME))?;
        Some(Probe::Tcp(TcpProbe { endpoint }))
    })
}

fn exec(place: &Place<'_>) -> Option<Probe> {
    place.object(|members| {
        let command = members.required("command", command)?;
        Some(Probe::Exec(ExecProbe { command }))
    })
}
