//! The image store: layers by digest, images by name.
//!
//! ```text
//! layers/<diff id>/fs          a layer, unpacked for overlayfs
//! layers/<diff id>/layer.json  what was unpacked
//! blobs/<digest>               images' configurations
//! names/<digest of name>.json  images
//! scratch/                     work in progress
//! ```
//!
//! Invariant: what has its final name is complete and on disk. A layer is filled in `scratch`, checked against both
//! its digests, flushed, and only then renamed; a crash leaves scratch directories that the next `open` removes. Each
//! is locked by who works in it, so that opening the store twice does no harm.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use libcontainer::oci_spec::image::ImageConfiguration;

use super::{
    ImageError,
    candidate::{self, Candidate},
    config::{self, ImageConfig},
    digest::Digest,
    layers::{Layers, is_opaque, make_directory},
    record::{Record, Records, failed, write_durably},
    reference::{Reference, ReferenceError},
    source::Source,
    unpack::{LeftOut, Limits},
};

/// Images and their layers below one directory.
#[derive(Debug)]
pub struct ImageStore {
    root: PathBuf,
    layers: Layers,
}

/// An image, ready to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Complete name, such as `docker.io/library/nginx:latest`.
    pub name: String,
    /// Digest of its configuration, as `docker images --no-trunc` shows it.
    pub id: Digest,
    /// Directories, topmost first, as overlayfs takes them. Never empty, no directory twice.
    pub layers: Vec<PathBuf>,
    /// Settings of its process.
    pub config: ImageConfig,
}

/// A line of the store's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// The name as it was given at import.
    pub reference: String,
    /// Complete name.
    pub name: String,
    /// Digest of its configuration.
    pub id: Digest,
    /// Digests of its manifest, where it came with one.
    pub digests: Vec<Digest>,
    /// How many layers it has.
    pub layers: usize,
    /// Bytes in the files of its layers; layers shared with other images count for each.
    pub bytes: u64,
}

/// What an import added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedImage {
    /// The name as it was given.
    pub reference: String,
    /// Complete name.
    pub name: String,
    /// Digest of its configuration.
    pub id: Digest,
    /// How many layers it has.
    pub layers: usize,
    /// How many of them were not in the store before.
    pub new_layers: usize,
    /// What its new layers had that was not taken over.
    pub left_out: LeftOut,
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A layer is being unpacked.
    Unpacking {
        /// Its digest.
        layer: &'a Digest,
        /// Counted from 1, the lowest first.
        number: usize,
        /// How many layers the image has.
        of: usize,
    },
    /// A layer was in the store already.
    Present {
        /// Its digest.
        layer: &'a Digest,
        /// Counted from 1.
        number: usize,
        /// How many layers the image has.
        of: usize,
    },
    /// An image is complete and can be used by this name.
    Named {
        /// Complete name.
        name: &'a str,
    },
}

impl ImageStore {
    /// Opens the store below `root`, which is made if needed, and removes what a crash left.
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        Self::open_with(root, Limits::default())
    }

    /// Opens the store with other limits for layers.
    pub fn open_with(root: &Path, limits: Limits) -> Result<Self, ImageError> {
        for name in ["blobs", "names"] {
            make_directory(&root.join(name))?;
        }
        // Executors mount layers from other working directories.
        let root = root
            .canonicalize()
            .map_err(|source| failed("find", root, source))?;
        Ok(Self {
            layers: Layers::open(&root, limits)?,
            root,
        })
    }

    /// Imports the images of an OCI layout or of an archive (`docker save`, `docker-archive:`, `oci-archive:`; plain,
    /// gzip or zstd).
    ///
    /// `name` names the image; without it every image keeps the names it has in the source. Importing again is cheap
    /// and moves names. An error leaves earlier images of the same source imported.
    pub fn import(
        &self,
        source: &Path,
        name: Option<&str>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<ImportedImage>, ImageError> {
        let scratch = self.layers.scratch()?;
        let source = Source::open(source, scratch.path(), self.layers.limits())?;
        let mut candidates = candidate::find(&source)?;
        if let Some(name) = name {
            rename(&source, &mut candidates, name)?;
        }
        let mut imported = Vec::new();
        let named = candidates
            .into_iter()
            .map(|candidate| Ok((references(&source, &candidate)?, candidate)))
            .collect::<Result<Vec<_>, ImageError>>()?;
        for (references, candidate) in named {
            let (new_layers, left_out) = self.add_layers(&source, &candidate, progress)?;
            write_durably(&self.blob(&candidate.id), &candidate.config)?;
            for (reference, name) in references {
                let record = Record {
                    digests: candidate.digests.clone(),
                    layers: candidate.layers.iter().map(|l| l.diff_id.clone()).collect(),
                    ..Record::new(reference, name.to_string(), candidate.id.clone())
                };
                self.records().write(&record)?;
                progress(Progress::Named { name: &record.name });
                imported.push(ImportedImage {
                    reference: record.reference,
                    name: record.name,
                    id: record.id,
                    layers: record.layers.len(),
                    new_layers,
                    left_out,
                });
            }
        }
        Ok(imported)
    }

    /// All images, by complete name.
    pub fn list(&self) -> Result<Vec<ImageSummary>, ImageError> {
        let records = self.records().all()?;
        Ok(records
            .into_iter()
            .map(|record| ImageSummary {
                layers: record.layers.len(),
                bytes: record
                    .layers
                    .iter()
                    .map(|layer| self.layers.bytes(layer))
                    .sum(),
                reference: record.reference,
                name: record.name,
                id: record.id,
                digests: record.digests,
            })
            .collect())
    }

    /// The image of a reference: short or complete, with tag or `@sha256:…`, or an image's id (`sha256:…`).
    pub fn resolve(&self, reference: &str) -> Result<Option<Image>, ImageError> {
        let record = match reference.parse::<Digest>() {
            Ok(id) => self.record_by(|record| record.id == id || record.digests.contains(&id))?,
            Err(_) => self.record_of(&reference.parse()?)?,
        };
        record.map(|record| self.image(record)).transpose()
    }

    fn record_of(&self, reference: &Reference) -> Result<Option<Record>, ImageError> {
        let Some(digest) = &reference.digest else {
            return self.records().get(&reference.to_string());
        };
        // With a digest the tag does not count.
        self.record_by(|record| {
            (record.digests.contains(digest) || record.id == *digest)
                && record
                    .name
                    .parse::<Reference>()
                    .is_ok_and(|name| name.repository == reference.repository)
        })
    }

    fn record_by(&self, fits: impl Fn(&Record) -> bool) -> Result<Option<Record>, ImageError> {
        Ok(self.records().all()?.into_iter().find(fits))
    }

    fn image(&self, record: Record) -> Result<Image, ImageError> {
        let path = self.blob(&record.id);
        let damaged = |path: &Path, what: &str| ImageError::Damaged {
            path: path.to_path_buf(),
            what: what.to_owned(),
        };
        let bytes = fs::read(&path).map_err(|source| failed("read", &path, source))?;
        if Digest::of(&bytes) != record.id {
            return Err(damaged(&path, "its content has another digest"));
        }
        let configuration: ImageConfiguration = serde_json::from_slice(&bytes)
            .map_err(|_| damaged(&path, "it is no image configuration"))?;
        let mut layers = Vec::new();
        let mut seen = HashSet::new();
        for layer in record.layers.iter().rev() {
            // overlayfs takes no directory twice. Of two equal layers the upper one decides alone: it has again all
            // that the lower one has.
            if !seen.insert(layer) {
                continue;
            }
            let directory = self.layers.tree(layer);
            if !directory.is_dir() {
                return Err(damaged(&directory, "the layer is not there"));
            }
            // overlayfs ignores the mark on a layer's root, so what it hides is left out here.
            let hides = is_opaque(&directory);
            layers.push(directory);
            if hides {
                break;
            }
        }
        Ok(Image {
            config: config::from_oci(&record.name, &configuration),
            name: record.name,
            id: record.id,
            layers,
        })
    }

    fn add_layers(
        &self,
        source: &Source,
        candidate: &Candidate,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(usize, LeftOut), ImageError> {
        let of = candidate.layers.len();
        let (mut new_layers, mut left_out) = (0, LeftOut::default());
        for (number, layer) in (1..).zip(&candidate.layers) {
            let id = &layer.diff_id;
            if self.layers.has(id) {
                progress(Progress::Present {
                    layer: id,
                    number,
                    of,
                });
                continue;
            }
            progress(Progress::Unpacking {
                layer: id,
                number,
                of,
            });
            let unpacked = self.layers.add(source, layer)?;
            new_layers += 1;
            left_out.devices += unpacked.left_out.devices;
            left_out.attributes += unpacked.left_out.attributes;
        }
        Ok((new_layers, left_out))
    }

    fn records(&self) -> Records {
        Records::new(self.root.join("names"))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.hex())
    }
}

/// Gives the only image of a source another name.
fn rename(source: &Source, candidates: &mut [Candidate], name: &str) -> Result<(), ImageError> {
    if let [only] = candidates {
        only.names = vec![name.to_owned()];
        return Ok(());
    }
    let names = candidates
        .iter()
        .map(|candidate| match candidate.names.as_slice() {
            [] => candidate.id.to_string(),
            names => names.join(" = "),
        });
    Err(ImageError::Several {
        path: source.path().to_path_buf(),
        names: names.collect(),
    })
}

fn references(
    source: &Source,
    candidate: &Candidate,
) -> Result<Vec<(String, Reference)>, ImageError> {
    if candidate.names.is_empty() {
        return Err(ImageError::Nameless {
            path: source.path().to_path_buf(),
        });
    }
    let parse = |text: &String| {
        let reference: Reference = text.parse()?;
        if reference.digest.is_some() {
            return Err(ReferenceError {
                text: text.clone(),
                reason: "a name to import by has a tag, not a digest",
            }
            .into());
        }
        Ok((text.clone(), reference))
    };
    candidate.names.iter().map(parse).collect()
}
