//! Reads volumes and mounts (marathon: `docs/docs/rest-api/public/api/v2/types/volumes.raml`).

use super::{
    any_text,
    place::{Members, Place},
    scheduling::constraints,
    text::{NAME, NOT_EMPTY, PATH},
};
use crate::pod::{PersistentVolume, PersistentVolumeKind, Volume, VolumeMount, VolumeSource};

pub(super) fn volume(place: &Place<'_>) -> Option<Volume> {
    place.object(|members| {
        let name = members.required("name", |place| place.text(NAME));
        let source = source(members);
        Some(Volume {
            name: name?,
            source: source?,
        })
    })
}

type Alternative = (&'static str, fn(&Place<'_>) -> Option<VolumeSource>);

/// The first alternative whose member is there and reads; where none reads, all that is wrong with them.
fn source(members: &Members<'_>) -> Option<VolumeSource> {
    const ALTERNATIVES: [Alternative; 3] = [
        ("persistent", persistent),
        ("secret", secret),
        ("host", host),
    ];
    let named = || ALTERNATIVES.iter().filter(|(name, _)| members.has(name));
    let first = named().find_map(|(name, read)| members.attempt(name, read));
    if first.is_some() {
        return first;
    }
    if named().count() == 0 {
        return Some(VolumeSource::Ephemeral {});
    }
    for (name, read) in named() {
        members.required(name, read);
    }
    None
}

fn secret(place: &Place<'_>) -> Option<VolumeSource> {
    let secret = place.text(NOT_EMPTY)?;
    Some(VolumeSource::Secret { secret })
}

fn host(place: &Place<'_>) -> Option<VolumeSource> {
    let host = place.text(NOT_EMPTY)?;
    Some(VolumeSource::Host { host })
}

fn persistent(place: &Place<'_>) -> Option<VolumeSource> {
    const KINDS: [(&str, PersistentVolumeKind); 3] = [
        ("root", PersistentVolumeKind::Root),
        ("path", PersistentVolumeKind::Path),
        ("mount", PersistentVolumeKind::Mount),
    ];
    place.object(|members| {
        let kind = members.optional("type", |place| place.literal(&KINDS));
        let size = members.required("size", |place| place.integer(0..=i64::MAX));
        let max_size = members.optional("maxSize", |place| place.integer(0..=i64::MAX));
        let profile_name = members.optional("profileName", any_text);
        let constraints = constraints(members);
        let persistent = PersistentVolume {
            kind,
            size: size?,
            max_size,
            profile_name,
            constraints,
        };
        Some(VolumeSource::Persistent { persistent })
    })
}

pub(super) fn mount(place: &Place<'_>) -> Option<VolumeMount> {
    place.object(|members| {
        let name = members.required("name", |place| place.text(NAME));
        let mount_path = members.required("mountPath", |place| place.text(PATH));
        let read_only = members.optional("readOnly", Place::boolean);
        Some(VolumeMount {
            name: name?,
            mount_path: mount_path?,
            read_only,
        })
    })
}
