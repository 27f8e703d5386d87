//! Where a pod definition comes from: a file or standard input.

use std::{
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use serde::de::IgnoredAny;

/// Why no definition could be read; the texts are those of the DC/OS command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file cannot be read.
    #[error("Can't read from resource: {path} ({source}).\nPlease check that it exists.", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody wrote a definition to standard input.
    #[error(
        "We currently don't support reading from the TTY. Please specify an application JSON.\n\
         E.g.: monopod pod add < pod.json"
    )]
    Terminal,
    /// Standard input cannot be read.
    #[error("Can't read from standard input ({source}).")]
    Stdin {
        /// Why.
        source: io::Error,
    },
    /// What was read is no JSON.
    #[error("Error loading JSON: {source}")]
    Json {
        /// Line, column and why.
        source: serde_json::Error,
    },
}

/// Reads JSON text from the file, or from standard input where there is none or it is `-`.
///
/// # Errors
/// [`SourceError`], also where the text is no JSON.
pub(crate) fn read(file: Option<&Path>) -> Result<Vec<u8>, SourceError> {
    let text = read_bytes(file)?;
    serde_json::from_slice::<IgnoredAny>(&text).map_err(|source| SourceError::Json { source })?;
    Ok(text)
}

/// Reads the file or standard input as it is.
///
/// # Errors
/// [`SourceError`] except [`SourceError::Json`].
pub(crate) fn read_bytes(file: Option<&Path>) -> Result<Vec<u8>, SourceError> {
    match file {
        Some(path) if path != Path::new("-") => {
            std::fs::read(path).map_err(|source| SourceError::File {
                path: path.to_owned(),
                source,
            })
        }
        Some(_) | None => read_stdin(),
    }
}

fn read_stdin() -> Result<Vec<u8>, SourceError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(SourceError::Terminal);
    }
    let mut text = Vec::new();
    stdin
        .lock()
        .read_to_end(&mut text)
        .map_err(|source| SourceError::Stdin { source })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod.json");
        let missing = read(Some(&path)).unwrap_err().to_string();
        assert!(
            missing.starts_with("Can't read from resource: "),
            "{missing}"
        );
        assert!(
            missing.ends_with("\nPlease check that it exists."),
            "{missing}"
        );

        std::fs::write(&path, "{\"id\": \n").unwrap();
        let truncated = read(Some(&path)).unwrap_err().to_string();
        assert_eq!(
            truncated,
            "Error loading JSON: EOF while parsing a value at line 2 column 0"
        );

        std::fs::write(&path, "{\"id\": \"/a\"}").unwrap();
        assert_eq!(read(Some(&path)).unwrap(), b"{\"id\": \"/a\"}");
    }
}
