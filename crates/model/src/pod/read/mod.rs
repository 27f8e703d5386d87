//! Reads a definition as Marathon reads it, and tells everything that is wrong at once.
//!
//! This is the schema's layer: types, ranges, lengths, patterns, enums, required members, with Marathon's
//! codes and paths (marathon: `type-generator/src/main/scala/mesosphere/raml/**`). Enums are matched
//! whatever their case, `null` is absence, members that mean nothing are named but not refused.
//!
//! Where this is stricter than Marathon: a member that names an alternative of a union and is malformed
//! is told (Marathon would take `{"name": "v", "host": 5}` for an ephemeral volume). Where it is more
//! lenient: `containerPort` may be 0, as Marathon's own documentation says.

mod check;
mod container;
mod place;
mod scheduling;
mod text;
mod volume;

use std::cell::RefCell;

use serde_json::Value;

use self::{
    place::{Findings, Members, Place},
    text::{NETWORK_NAME, NOT_EMPTY, POD_ID},
};
use super::{
    EnvironmentValue, ExecutorResources, IpcInfo, IpcMode, LinuxInfo, Network, NetworkMode,
    PodDefinition, ReadError, Scaling, Seccomp, SecretSource, Settings, Violations, VolumeSource,
    normalise, validate,
};
use crate::{
    id::PodId,
    resources::{Resources, bytes_from_mib, milli_from_decimal},
    time::Timestamp,
};

const MAX_INT: i64 = i32::MAX as i64;

/// A definition as read, and the members of the text that mean nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The definition.
    pub definition: PodDefinition,
    /// Paths of the members that were not read: `/containers(0)/type`.
    pub ignored: Vec<String>,
}

/// Reads a definition without completing or validating it.
///
/// # Errors
/// The text is empty, no JSON, or violates the schema; its id is no pod id; a check has not exactly one
/// probe.
pub fn read(text: &[u8]) -> Result<Reading, ReadError> {
    let decoded = decode(text)?;
    if !decoded.rules.is_empty() {
        return Err(ReadError::Rules {
            violations: decoded.rules,
        });
    }
    Ok(decoded.reading)
}

/// Reads a definition, completes it and validates it: the way of every definition that comes from
/// outside.
///
/// # Errors
/// As [`read`], and everything that [`validate`] finds.
pub fn admit(text: &[u8], settings: &Settings) -> Result<Reading, ReadError> {
    let decoded = decode(text)?;
    let definition = normalise(decoded.reading.definition, settings);
    let mut violations = decoded.rules;
    violations.extend(validate(&definition, settings));
    if !violations.is_empty() {
        return Err(ReadError::Rules { violations });
    }
    Ok(Reading {
        definition,
        ignored: decoded.reading.ignored,
    })
}

struct Decoded {
    reading: Reading,
    /// Where there are any, what they are about is a stand-in in the definition.
    rules: Violations,
}

fn decode(text: &[u8]) -> Result<Decoded, ReadError> {
    let value: Value = serde_json::from_slice(text).map_err(|error| {
        let details = error.to_string();
        if text.iter().all(u8::is_ascii_whitespace) {
            ReadError::Empty { details }
        } else {
            ReadError::Syntax { details }
        }
    })?;
    let findings = RefCell::default();
    let definition = pod(&Place::root(&value, &findings));
    let Findings {
        schema,
        rules,
        ignored,
    } = findings.into_inner();
    match definition {
        Some(definition) if schema.is_empty() => Ok(Decoded {
            reading: Reading {
                definition,
                ignored,
            },
            rules,
        }),
        _ => Err(ReadError::Schema { violations: schema }),
    }
}

fn pod(place: &Place<'_>) -> Option<PodDefinition> {
    place.object(|members| {
        // Where editors find the schema; it says nothing of the pod.
        members.optional("$schema", any_text);
        let id = members.required("id", pod_id);
        let labels = members.dictionary("labels", text::is_any_key, any_text);
        let version = members.optional("version", version);
        let user = members.optional("user", any_text);
        let environment = environment(members);
        let containers = members.required("containers", container::list);
        let secrets = members.dictionary("secrets", text::is_any_key, secret_source);
        let volumes = members.list("volumes", volume::volume);
        let networks = members.list("networks", network);
        let scaling = members.optional("scaling", scaling);
        let resident = volumes
            .iter()
            .any(|volume| matches!(volume.source, VolumeSource::Persistent { .. }));
        let scheduling = scheduling::of_pod(members, resident);
        let executor_resources = members.optional("executorResources", executor_resources);
        let role = members.optional("role", |place| place.text(NOT_EMPTY));
        let linux_info = members.optional("linuxInfo", linux_info);
        let legacy_shared_cgroups = members.optional("legacySharedCgroups", Place::boolean);
        Some(PodDefinition {
            id: id?,
            labels,
            version,
            user,
            environment,
            containers: containers?,
            secrets,
            volumes,
            networks,
            scaling: scaling.unwrap_or_default(),
            scheduling,
            executor_resources: executor_resources.unwrap_or_default(),
            role,
            linux_info,
            legacy_shared_cgroups: legacy_shared_cgroups.unwrap_or_default(),
        })
    })
}

fn any_text(place: &Place<'_>) -> Option<String> {
    place.text(text::ANY)
}

/// An id that the schema lets pass but that is no id is told as a broken rule, together with all others;
/// a stand-in takes its place until then.
fn pod_id(place: &Place<'_>) -> Option<PodId> {
    let text = place.text(POD_ID)?;
    let id = PodId::parse(&text).or_else(|error| {
        place.refuse_by_rule(&error.to_string());
        PodId::parse_lenient(&text).or_else(|_| PodId::parse("/refused"))
    });
    Some(id.expect("the last stand-in is a pod id"))
}

fn version(place: &Place<'_>) -> Option<Timestamp> {
    let text = place.as_text().unwrap_or_default();
    match text.parse() {
        Ok(version) => Some(version),
        Err(_) => place.refuse("error.expected.date.isoformat"),
    }
}

fn environment(members: &Members<'_>) -> std::collections::BTreeMap<String, EnvironmentValue> {
    members.dictionary("environment", text::is_variable_name, |place| {
        if place.is_object() {
            return place.object(|members| {
                let secret = members.required("secret", |place| place.text(NOT_EMPTY))?;
                Some(EnvironmentValue::Secret { secret })
            });
        }
        any_text(place).map(EnvironmentValue::Text)
    })
}

fn secret_source(place: &Place<'_>) -> Option<SecretSource> {
    place.object(|members| {
        let source = members.required("source", |place| place.text(NOT_EMPTY))?;
        Some(SecretSource { source })
    })
}

fn network(place: &Place<'_>) -> Option<Network> {
    const MODES: [(&str, NetworkMode); 3] = [
        ("container", NetworkMode::Container),
        ("container/bridge", NetworkMode::Bridge),
        ("host", NetworkMode::Host),
    ];
    place.object(|members| {
        Some(Network {
            mode: members
                .optional("mode", |place| place.literal(&MODES))
                .unwrap_or_default(),
            name: members.optional("name", |place| place.text(NETWORK_NAME)),
            labels: members.dictionary("labels", text::is_any_key, any_text),
        })
    })
}

/// The discriminator `kind` is the one word whose case matters.
fn scaling(place: &Place<'_>) -> Option<Scaling> {
    place.object(|members| {
        let kind = members.required("kind", |place| match place.as_text() {
            Some("fixed") => Some(()),
            Some(_) | None => place.refuse("error.unknown.enum.literal"),
        });
        let instances = members.optional("instances", |place| place.integer(0..=MAX_INT));
        kind.map(|()| Scaling::Fixed {
            instances: instances.unwrap_or(1),
        })
    })
}

fn executor_resources(place: &Place<'_>) -> Option<ExecutorResources> {
    let ExecutorResources(least) = ExecutorResources::default();
    place.object(|members| {
        let cpus = members.optional("cpus", |place| place.amount(0.1, milli_from_decimal));
        let mem = members.optional("mem", |place| place.amount(32.0, bytes_from_mib));
        let disk = members.optional("disk", |place| place.amount(10.0, bytes_from_mib));
        Some(ExecutorResources(Resources {
            cpus_milli: cpus.unwrap_or(least.cpus_milli),
            mem_bytes: mem.unwrap_or(least.mem_bytes),
            disk_bytes: disk.unwrap_or(least.disk_bytes),
            gpus: 0,
        }))
    })
}

/// Of a pod as of a container: that a pod may have no `seccomp` is a rule, not the schema.
fn linux_info(place: &Place<'_>) -> Option<LinuxInfo> {
    place.object(|members| {
        Some(LinuxInfo {
            seccomp: members.optional("seccomp", seccomp),
            ipc_info: members.optional("ipcInfo", ipc_info),
        })
    })
}

fn seccomp(place: &Place<'_>) -> Option<Seccomp> {
    place.object(|members| {
        Some(Seccomp {
            profile_name: members.optional("profileName", any_text),
            unconfined: members
                .optional("unconfined", Place::boolean)
                .unwrap_or_default(),
        })
    })
}

fn ipc_info(place: &Place<'_>) -> Option<IpcInfo> {
    const MODES: [(&str, IpcMode); 2] = [
        ("PRIVATE", IpcMode::Private),
        ("SHARE_PARENT", IpcMode::ShareParent),
    ];
    place.object(|members| {
        let mode = members.required("mode", |place| place.literal(&MODES));
        let shm_size = members.optional("shmSize", |place| place.integer(0..=MAX_INT));
        mode.map(|mode| IpcInfo { mode, shm_size })
    })
}
