//! The file of read-only tokens: names and hashes.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use model::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{TokenError, file, fresh, hash};

/// A token that may only look, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadOnlyToken {
    /// What it is called.
    pub name: String,
    /// SHA-256 of the token, which itself is kept nowhere.
    #[serde(
        rename = "sha256",
        serialize_with = "as_hex",
        deserialize_with = "from_hex"
    )]
    pub hash: [u8; 32],
    /// When it was made.
    pub created: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    tokens: Vec<ReadOnlyToken>,
}

/// The file below a state directory.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("read-only-tokens.json")
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<ReadOnlyToken>, TokenError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document: Document = serde_json::from_str(text).map_err(|source| TokenError::Form {
        path: path.to_owned(),
        source,
    })?;
    Ok(document.tokens)
}

/// All read-only tokens.
///
/// # Errors
/// [`TokenError::File`] and [`TokenError::Form`].
pub fn list(state_dir: &Path) -> Result<Vec<ReadOnlyToken>, TokenError> {
    let path = path(state_dir);
    parse(&path, &file::read(&path)?.unwrap_or_default())
}

/// Makes a token that may only look, and tells it this once.
///
/// # Errors
/// [`TokenError`].
pub fn create_read_only(
    state_dir: &Path,
    name: &str,
    now: Timestamp,
) -> Result<String, TokenError> {
    let owned = || name.to_owned();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        return Err(TokenError::Name { name: owned() });
    }
    let token = fresh();
    change(state_dir, |tokens| {
        if tokens.iter().any(|token| token.name == name) {
            return Err(TokenError::NameTaken { name: owned() });
        }
        tokens.push(ReadOnlyToken {
            name: owned(),
            hash: hash(&token),
            created: now,
        });
        Ok(())
    })?;
    Ok(token)
}

/// Ends the token of that name; a running daemon refuses it at once.
///
/// # Errors
/// [`TokenError`].
pub fn revoke(state_dir: &Path, name: &str) -> Result<(), TokenError> {
    change(state_dir, |tokens| {
        let before = tokens.len();
        tokens.retain(|token| token.name != name);
        if tokens.len() == before {
            let name = name.to_owned();
            return Err(TokenError::NameUnknown { name });
        }
        Ok(())
    })
}

fn change(
    state_dir: &Path,
    edit: impl FnOnce(&mut Vec<ReadOnlyToken>) -> Result<(), TokenError>,
) -> Result<(), TokenError> {
    let path = path(state_dir);
    let _lock = file::lock(&path)?;
    let mut document = Document {
        tokens: list(state_dir)?,
    };
    edit(&mut document.tokens)?;
    let text = serde_json::to_vec_pretty(&document).map_err(|source| TokenError::Form {
        path: path.clone(),
        source,
    })?;
    file::replace(&path, &text)
}

fn as_hex<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(64);
    for byte in hash {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    serializer.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let expected = || de::Error::custom("a SHA-256 in 64 hexadecimal digits is expected");
    if text.len() != 64 || !text.is_ascii() {
        return Err(expected());
    }
    let mut hash = [0; 32];
    for (byte, index) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[index..index + 2], 16).map_err(|_| expected())?;
    }
    Ok(hash)
}
