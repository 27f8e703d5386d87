//! What `docker save` writes (moby: image specification v1.2, `manifest.json`), packed or not.

use serde::Deserialize;

use super::{
    ImageError,
    candidate::{Candidate, configured},
    digest::Digest,
    source::Source,
};

pub(super) const MANIFEST: &str = "manifest.json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

pub(super) fn read(source: &Source) -> Result<Vec<Candidate>, ImageError> {
    let bytes = source.document(MANIFEST, None)?;
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ImageError::Unsupported {
            file: source.file(MANIFEST),
            what: "skopeo's dir: format (copy to oci: or docker-archive: instead)".to_owned(),
        });
    }
    let images: Vec<Image> = source.parse(MANIFEST, &bytes)?;
    images
        .into_iter()
        .map(|image| {
            let layers = image.layers.into_iter().map(|file| {
                let digest = blob_digest(&file);
                (file, digest)
            });
            let expected = config_digest(&image.config);
            let candidate = configured(source, &image.config, expected.as_ref(), layers.collect())?;
            Ok(Candidate {
                names: image.repo_tags.unwrap_or_default(),
                ..candidate
            })
        })
        .collect()
}

/// A configuration is `<digest>.json`, or a blob.
fn config_digest(file: &str) -> Option<Digest> {
    let hex = file.strip_suffix(".json");
    hex.and_then(|hex| format!("sha256:{hex}").parse().ok())
        .or_else(|| blob_digest(file))
}

/// Only blobs are named by the digest of what they hold; `<id>/layer.tar` is an older, random id.
fn blob_digest(file: &str) -> Option<Digest> {
    let hex = file.strip_prefix("blobs/sha256/")?;
    format!("sha256:{hex}").parse().ok()
}
