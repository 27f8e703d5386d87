//! Images: imported from local layouts and archives, kept as unpacked layers for overlayfs.
//!
//! [`ImageStore`] is the entry point. A layer is stored once, by the digest of its uncompressed archive, and is either
//! whole and on disk or not there. Pulling from registries is not here.

mod candidate;
mod config;
mod digest;
mod docker_archive;
mod entry;
mod layers;
mod lookup;
mod oci_layout;
mod record;
mod reference;
mod source;
mod store;
mod tar_stream;
mod tree;
mod unpack;

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod unpack_tests;

use std::{io, path::PathBuf};

use thiserror::Error;

pub use config::{CommandError, ImageConfig, command_line, signal_number};
pub use digest::{Digest, DigestError};
pub use entry::EntryError;
pub use layers::LayerLocks;
pub use lookup::{Entry, LayeredRoot, LookupError};
pub use reference::{Reference, ReferenceError};
pub use store::{Image, ImageStore, ImageSummary, ImportedImage, Progress};
pub use tar_stream::TarError;
pub use unpack::{LeftOut, Limits, UnpackError};

/// Why an image could not be imported or used.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A file of the source could not be read.
    #[error("read {file}")]
    Read {
        /// The file; below an archive's path the name in the archive.
        file: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file that another one names is not there.
    #[error("find {file}, which the image needs")]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The archive that holds the images is damaged.
    #[error("read the archive {file}")]
    Archive {
        /// The archive.
        file: PathBuf,
        /// The reason.
        source: TarError,
    },
    /// There is something else at the path.
    #[error("recognise {path} as an OCI layout or an archive of images: {found}")]
    NotAnImage {
        /// The path.
        path: PathBuf,
        /// What was seen.
        found: String,
    },
    /// A document of the image is no JSON or lacks members.
    #[error("understand {file}")]
    Json {
        /// The document.
        file: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A document is beyond any real one.
    #[error("accept {file}: it has more than {limit_bytes} bytes")]
    TooLarge {
        /// The document.
        file: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// The image uses something that is not supported, or contradicts itself.
    #[error("use {file}: it has {what}")]
    Unsupported {
        /// Where it was seen.
        file: PathBuf,
        /// What it is.
        what: String,
    },
    /// Content is not what its digest says.
    #[error("trust {file}: its digest is {found} instead of {expected}")]
    Digest {
        /// The content.
        file: PathBuf,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// The image is for other machines.
    #[error("use {image}: it is for {} and this host runs {}", .found.join(", "), host_platforms())]
    Platform {
        /// The image.
        image: String,
        /// Its platforms.
        found: Vec<String>,
    },
    /// A layer could not be unpacked.
    #[error("unpack {file}")]
    Unpack {
        /// The layer's file.
        file: PathBuf,
        /// The reason.
        source: UnpackError,
    },
    /// The source does not name its image and the caller did not either.
    #[error("name the image in {path}: it has no name of its own, give one")]
    Nameless {
        /// The source.
        path: PathBuf,
    },
    /// A name was given for several images.
    #[error("give one name to the {} images in {path}: {}", .names.len(), .names.join(", "))]
    Several {
        /// The source.
        path: PathBuf,
        /// Their names, or ids of those that have none.
        names: Vec<String>,
    },
    /// A name is no reference.
    #[error("use an image's name")]
    Reference {
        /// The reason.
        #[from]
        source: ReferenceError,
    },
    /// The store itself could not be read or written.
    #[error("{action} {path} in the image store")]
    Store {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A record or configuration in the store is damaged.
    #[error("use {path} in the image store: {what}; import the image again")]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

fn host_platforms() -> String {
    let names: Vec<String> = candidate::host_architectures()
        .iter()
        .map(|architecture| format!("linux/{architecture}"))
        .collect();
    names.join(", ")
}

/// Whether this test can give files away and make device nodes; says so when it cannot and is skipped.
#[cfg(test)]
fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: layers can only be unpacked by root");
    }
    root
}
