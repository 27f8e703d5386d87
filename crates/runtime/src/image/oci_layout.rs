//! The OCI image layout (OCI image specification, `image-layout.md`), packed or not.

use std::collections::BTreeMap;

use libcontainer::oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::{
    ImageError,
    candidate::{Candidate, blob, configured, host_architectures},
    digest::Digest,
    source::Source,
};

pub(super) const INDEX: &str = "index.json";

/// The annotation with a reference, by the specification; often only a tag.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The annotation with a whole reference, by containerd and newer `docker save`.
const FULL_NAME: &str = "io.containerd.image.name";

/// Media types of an index.
const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// How deep an index may hold indexes.
const NESTING_MAX: usize = 4;

pub(super) fn read(source: &Source) -> Result<Vec<Candidate>, ImageError> {
    let bytes = source.document(INDEX, None)?;
    let index: ImageIndex = source.parse(INDEX, &bytes)?;
    // Some tools list an image's platforms side by side under one name.
    let mut by_name: BTreeMap<Option<String>, Vec<&Descriptor>> = BTreeMap::new();
    for descriptor in index.manifests() {
        by_name
            .entry(name(descriptor))
            .or_default()
            .push(descriptor);
    }
    let mut candidates = Vec::new();
    for (name, descriptors) in by_name {
        // Without a name nothing tells that two belong together, unless they tell their platforms.
        let together = name.is_some() || descriptors.iter().all(|d| d.platform().is_some());
        let groups: Vec<&[&Descriptor]> = if together {
            vec![&descriptors]
        } else {
            descriptors.chunks(1).collect()
        };
        for group in groups {
            let mut candidate = image(source, group, name.as_deref())?;
            candidate.names.extend(name.clone());
            candidates.push(candidate);
        }
    }
    Ok(candidates)
}

fn name(descriptor: &Descriptor) -> Option<String> {
    let annotations = descriptor.annotations().as_ref()?;
    annotations
        .get(FULL_NAME)
        .or_else(|| annotations.get(REF_NAME))
        .cloned()
}

/// The one of these that this host runs, through nested indexes.
fn image(
    source: &Source,
    descriptors: &[&Descriptor],
    name: Option<&str>,
) -> Result<Candidate, ImageError> {
    let mut digests = Vec::new();
    let mut chosen = choose(source, descriptors, name)?.clone();
    for _ in 0..NESTING_MAX {
        let digest = digest_of(source, &chosen)?;
        let file = blob(&digest);
        let bytes = source.document(&file, Some(&digest))?;
        digests.push(digest);
        if !INDEX_TYPES.contains(&chosen.media_type().to_string().as_str()) {
            return manifest(source, &file, &bytes, digests);
        }
        let index: ImageIndex = source.parse(&file, &bytes)?;
        let inner: Vec<&Descriptor> = index.manifests().iter().collect();
        chosen = choose(source, &inner, name)?.clone();
    }
    Err(ImageError::Unsupported {
        file: source.file(INDEX),
        what: format!("indexes nested deeper than {NESTING_MAX}"),
    })
}

fn choose<'a>(
    source: &Source,
    descriptors: &[&'a Descriptor],
    name: Option<&str>,
) -> Result<&'a Descriptor, ImageError> {
    let suits = |descriptor: &&&Descriptor, architecture: Option<&str>| match descriptor.platform()
    {
        None => architecture.is_none(),
        Some(platform) => {
            platform.os().to_string() == "linux"
                && architecture == Some(platform.architecture().to_string().as_str())
        }
    };
    let preferences = host_architectures()
        .iter()
        .map(|name| Some(*name))
        .chain([None]);
    for architecture in preferences {
        if let Some(found) = descriptors.iter().find(|d| suits(d, architecture)) {
            return Ok(found);
        }
    }
    let found = descriptors
        .iter()
        .filter_map(|descriptor| descriptor.platform().as_ref());
    Err(ImageError::Platform {
        image: name.map_or_else(|| source.path().display().to_string(), str::to_owned),
        found: found
            .map(|p| format!("{}/{}", p.os(), p.architecture()))
            .collect(),
    })
}

fn manifest(
    source: &Source,
    file: &str,
    bytes: &[u8],
    digests: Vec<Digest>,
) -> Result<Candidate, ImageError> {
    let manifest: ImageManifest = source.parse(file, bytes)?;
    let config = digest_of(source, manifest.config())?;
    let mut layers = Vec::new();
    for layer in manifest.layers() {
        let kind = layer.media_type().to_string();
        if !kind.contains("tar") {
            return Err(ImageError::Unsupported {
                file: source.file(file),
                what: format!("a layer of type {kind}"),
            });
        }
        let digest = digest_of(source, layer)?;
        layers.push((blob(&digest), Some(digest)));
    }
    let candidate = configured(source, &blob(&config), Some(&config), layers)?;
    Ok(Candidate {
        digests,
        ..candidate
    })
}

fn digest_of(source: &Source, descriptor: &Descriptor) -> Result<Digest, ImageError> {
    let text = descriptor.digest().to_string();
    text.parse().map_err(|_| ImageError::Unsupported {
        file: source.path().to_path_buf(),
        what: format!("the digest '{text}'"),
    })
}
