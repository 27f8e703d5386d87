//! What the store remembers of an image, one small file per name.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{ImageError, digest::Digest};

/// Version of a record's file.
const RECORD_VERSION: u32 = 1;

/// An image under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: u32,
    /// The name as it was given.
    pub(super) reference: String,
    /// The complete name.
    pub(super) name: String,
    /// Digest of the configuration.
    pub(super) id: Digest,
    /// Digests of the manifest and of the index that held it.
    pub(super) digests: Vec<Digest>,
    /// Lowest first.
    pub(super) layers: Vec<Digest>,
}

impl Record {
    pub(super) fn new(reference: String, name: String, id: Digest) -> Self {
        Self {
            version: RECORD_VERSION,
            reference,
            name,
            id,
            digests: Vec::new(),
            layers: Vec::new(),
        }
    }
}

/// The directory with the records.
pub(super) struct Records {
    directory: PathBuf,
}

impl Records {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), ImageError> {
        let text = serde_json::to_vec_pretty(record).expect("a record is plain data");
        write_durably(&self.file(&record.name), &text)
    }

    /// The record of a complete name.
    pub(super) fn get(&self, name: &str) -> Result<Option<Record>, ImageError> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes).map(Some),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// All records, by name.
    pub(super) fn all(&self) -> Result<Vec<Record>, ImageError> {
        let failed = |source| failed("list", &self.directory, source);
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let bytes = fs::read(&path).map_err(failed)?;
                records.push(parse(&path, &bytes)?);
            }
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Names have slashes and may be longer than a file name, so a digest stands for them.
    fn file(&self, name: &str) -> PathBuf {
        self.directory
            .join(format!("{}.json", Digest::of(name.as_bytes()).hex()))
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Record, ImageError> {
    let damaged = |what: String| ImageError::Damaged {
        path: path.to_path_buf(),
        what,
    };
    let record: Record = serde_json::from_slice(bytes)
        .map_err(|error| damaged(format!("it is no record ({error})")))?;
    if record.version != RECORD_VERSION {
        return Err(damaged(format!("its version is {}", record.version)));
    }
    Ok(record)
}

/// Writes a file that is there whole or not at all, and still there after a power cut.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let directory = path
        .parent()
        .expect("a file of the store is in a directory");
    let attempt = || -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(directory)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|refused| refused.error)?;
        File::open(directory)?.sync_all()
    };
    attempt().map_err(|source| failed("write", path, source))
}

pub(super) fn failed(action: &'static str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Store {
        action,
        path: path.to_path_buf(),
        source,
    }
}
