//! Images found in a source, before anything of them is unpacked.

use libcontainer::oci_spec::image::ImageConfiguration;

use super::{ImageError, digest::Digest, docker_archive, oci_layout, source::Source};

/// An image in a source, its configuration read and checked.
pub(super) struct Candidate {
    /// Names that the source gives it; perhaps none.
    pub(super) names: Vec<String>,
    /// Digest of the configuration.
    pub(super) id: Digest,
    /// The configuration's bytes.
    pub(super) config: Vec<u8>,
    /// Digests under which it may be asked for: of its manifest and of the index that held it.
    pub(super) digests: Vec<Digest>,
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
}

/// A layer in a source.
pub(super) struct Layer {
    /// File in the source.
    pub(super) file: String,
    /// Digest of that file, where the source names one.
    pub(super) digest: Option<Digest>,
    /// Digest of the uncompressed archive.
    pub(super) diff_id: Digest,
}

/// Finds the images of a source: `manifest.json` of `docker save` first, because its names are complete where an
/// `index.json` beside it has tags only; then an OCI layout.
pub(super) fn find(source: &Source) -> Result<Vec<Candidate>, ImageError> {
    if source.find(docker_archive::MANIFEST)?.is_some() {
        return docker_archive::read(source);
    }
    if source.find(oci_layout::INDEX)?.is_some() {
        return oci_layout::read(source);
    }
    Err(ImageError::NotAnImage {
        path: source.path().to_path_buf(),
        found: "neither manifest.json nor index.json in it".to_owned(),
    })
}

/// Reads a configuration and joins its `diff_ids` with the layers' files.
pub(super) fn configured(
    source: &Source,
    file: &str,
    expected: Option<&Digest>,
    layers: Vec<(String, Option<Digest>)>,
) -> Result<Candidate, ImageError> {
    let config = source.document(file, expected)?;
    let parsed: ImageConfiguration = source.parse(file, &config)?;
    check_platform(source, file, &parsed)?;
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != layers.len() || layers.is_empty() {
        return Err(ImageError::Unsupported {
            file: source.file(file),
            what: format!("{} diff_ids for {} layers", diff_ids.len(), layers.len()),
        });
    }
    let layers = diff_ids
        .iter()
        .zip(layers)
        .map(|(diff_id, (layer, digest))| {
            let diff_id = diff_id.parse().map_err(|_| ImageError::Unsupported {
                file: source.file(file),
                what: format!("the diff_id '{diff_id}'"),
            })?;
            Ok(Layer {
                file: layer,
                digest,
                diff_id,
            })
        })
        .collect::<Result<_, ImageError>>()?;
    Ok(Candidate {
        names: Vec::new(),
        id: Digest::of(&config),
        config,
        digests: Vec::new(),
        layers,
    })
}

/// The file of a blob, in OCI layouts and newer archives of `docker save`.
pub(super) fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Architectures whose programs this host runs, as OCI names them.
pub(super) fn host_architectures() -> &'static [&'static str] {
    match std::env::consts::ARCH {
        "x86_64" => &["amd64", "386"],
        "aarch64" => &["arm64"],
        "riscv64" => &["riscv64"],
        "s390x" => &["s390x"],
        "powerpc64" => &["ppc64le"],
        _ => &[],
    }
}

fn check_platform(
    source: &Source,
    file: &str,
    config: &ImageConfiguration,
) -> Result<(), ImageError> {
    let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
    if os == "linux" && host_architectures().contains(&architecture.as_str()) {
        return Ok(());
    }
    Err(ImageError::Platform {
        image: source.file(file).display().to_string(),
        found: vec![format!("{os}/{architecture}")],
    })
}
