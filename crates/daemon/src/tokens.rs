//! The tokens that callers over TCP show, and the two files of the state directory that hold them.
//!
//! `token` holds the one token that may do everything; root reads it there. `read-only-tokens.json` holds hashes of
//! tokens that may only look. The command line replaces these files; the daemon looks at their identity with each
//! request that shows a token, so that a change counts from the next request on, whoever made it.

mod file;
mod read_only;

use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use uuid::Uuid;

use self::file::Watched;
pub use self::read_only::{ReadOnlyToken, create_read_only, list, revoke};

/// The file with the token that may do everything.
const FULL: &str = "token";

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file cannot be read or written.
    #[error("{attempt} the token file {path}", path = path.display())]
    File {
        /// What was tried.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of read-only tokens is not of its form.
    #[error("understand {path}; move it away to begin without read-only tokens", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A name that no token may have.
    #[error("use '{name}' as a name: 1 to 64 letters, digits, '.', '_' and '-' are expected")]
    Name {
        /// As given.
        name: String,
    },
    /// The name is in use.
    #[error("create the read-only token '{name}': there is one already, revoke it first")]
    NameTaken {
        /// As given.
        name: String,
    },
    /// There is no such token.
    #[error("revoke the read-only token '{name}': there is none of that name")]
    NameUnknown {
        /// As given.
        name: String,
    },
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Everything.
    Full,
    /// To look.
    ReadOnly {
        /// The token's name.
        name: String,
    },
}

/// The daemon's view of both files.
#[derive(Debug)]
pub struct Tokens {
    full: Watched<Option<[u8; 32]>>,
    read_only: Watched<Vec<ReadOnlyToken>>,
}

impl Tokens {
    /// Opens both; at the first start makes the token, readable by its owner only.
    ///
    /// # Errors
    /// [`TokenError::File`] and [`TokenError::Form`].
    pub fn open(state_dir: &Path) -> Result<Self, TokenError> {
        let path = state_dir.join(FULL);
        if read_full(state_dir)?.is_none() {
            file::replace(&path, fresh().as_bytes())?;
        }
        file::make_private(&path)?;
        let tokens = Self {
            full: Watched::new(path, |_, text| {
                let text = text.trim();
                Ok((!text.is_empty()).then(|| hash(text)))
            }),
            read_only: Watched::new(read_only::path(state_dir), read_only::parse),
        };
        tokens.read_only.current()?;
        Ok(tokens)
    }

    /// What the request's token allows, in the form of DC/OS (`token=…`) or as a bearer token; none without one, or
    /// with one that is not valid now.
    ///
    /// # Errors
    /// [`TokenError`] if a file was changed and cannot be read: then nobody is known.
    pub fn permission(&self, headers: &HeaderMap) -> Result<Option<Permission>, TokenError> {
        let Some(shown) = shown(headers).map(hash) else {
            return Ok(None);
        };
        let same = |hash: &[u8; 32]| shown.ct_eq(hash);
        let full = self.full.current()?;
        let is_full = full.as_ref().as_ref().map_or(Choice::from(0), same);
        // Every hash is compared, so that time tells nothing about which one was nearly met.
        let tokens = self.read_only.current()?;
        let mut found = None;
        for token in tokens.iter() {
            if same(&token.hash).into() {
                found = Some(Permission::ReadOnly {
                    name: token.name.clone(),
                });
            }
        }
        Ok(if is_full.into() {
            Some(Permission::Full)
        } else {
            found
        })
    }
}

/// The token that may do everything; none before the daemon's first start.
///
/// # Errors
/// [`TokenError::File`].
pub fn read_full(state_dir: &Path) -> Result<Option<String>, TokenError> {
    let path = state_dir.join(FULL);
    let text = file::read(&path)?;
    let text = text.as_deref().map(str::trim).unwrap_or_default();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Replaces the token that may do everything; a running daemon refuses the one before at once.
///
/// # Errors
/// [`TokenError::File`].
pub fn rotate(state_dir: &Path) -> Result<String, TokenError> {
    let token = fresh();
    file::replace(&state_dir.join(FULL), token.as_bytes())?;
    Ok(token)
}

/// A token nobody has seen: 244 random bits, so that its hash needs neither salt nor stretching.
fn fresh() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The token that the request shows. A scheme's name is read in any case (RFC 9110, 11.1).
fn shown(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    for scheme in ["token=", "bearer "] {
        if let (Some(start), Some(rest)) = (value.get(..scheme.len()), value.get(scheme.len()..))
            && start.eq_ignore_ascii_case(scheme)
        {
            return Some(rest.trim()).filter(|token| !token.is_empty());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use model::time::Timestamp;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn read_only(name: &str) -> Option<Permission> {
        let name = name.to_owned();
        Some(Permission::ReadOnly { name })
    }

    #[test]
    fn the_token_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        Tokens::open(dir.path()).unwrap();
        let first = read_full(dir.path()).unwrap().unwrap();
        assert_eq!(first.len(), 64);
        let path = dir.path().join(FULL);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        Tokens::open(dir.path()).unwrap();
        assert_eq!(read_full(dir.path()).unwrap().unwrap(), first);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn tokens_in_both_forms_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FULL), "secret\n").unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let full = Some(Permission::Full);
        let cases = [
            ("token=secret", full.clone()),
            ("Bearer secret", full.clone()),
            ("bearer  secret ", full),
            ("token=secre", None),
            ("token=secret2", None),
            ("secret", None),
            ("Bearer ", None),
            ("token=", None),
            ("Basic secret", None),
            ("t\u{f6}ken=secret", None),
        ];
        for (value, expected) in cases {
            assert_eq!(
                tokens.permission(&headers(value)).unwrap(),
                expected,
                "{value}"
            );
        }
        assert_eq!(tokens.permission(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn changes_count_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let old = read_full(dir.path()).unwrap().unwrap();
        let allows = |token: &str| {
            tokens
                .permission(&headers(&format!("token={token}")))
                .unwrap()
        };
        assert_eq!(allows(&old), Some(Permission::Full));
        let new = rotate(dir.path()).unwrap();
        assert_eq!(allows(&old), None);
        assert_eq!(allows(&new), Some(Permission::Full));

        let now = Timestamp::from_millis(0);
        let looking = create_read_only(dir.path(), "grafana", now).unwrap();
        assert_eq!(allows(&looking), read_only("grafana"));
        let stored = std::fs::read_to_string(read_only::path(dir.path())).unwrap();
        assert!(!stored.contains(&looking), "only its hash is kept");
        revoke(dir.path(), "grafana").unwrap();
        assert_eq!(allows(&looking), None);

        std::fs::remove_file(dir.path().join(FULL)).unwrap();
        assert_eq!(allows(&new), None, "without a file nobody is known");
    }

    #[test]
    fn names_are_plain_and_used_once() {
        let dir = tempfile::tempdir().unwrap();
        let create = |name: &str| create_read_only(dir.path(), name, Timestamp::from_millis(0));
        create("a.b-c_1").unwrap();
        assert!(matches!(
            create("a.b-c_1"),
            Err(TokenError::NameTaken { .. })
        ));
        for name in ["", "a b", "a/b", "\u{e4}", &"n".repeat(65)] {
            assert!(
                matches!(create(name), Err(TokenError::Name { .. })),
                "{name}"
            );
        }
        let gone = revoke(dir.path(), "never");
        assert!(matches!(gone, Err(TokenError::NameUnknown { .. })));
        let names: Vec<_> = list(dir.path())
            .unwrap()
            .into_iter()
            .map(|t| t.name)
            .collect();
        assert_eq!(names, ["a.b-c_1"]);
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_told_and_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        std::fs::write(read_only::path(dir.path()), "{").unwrap();
        let error = tokens.permission(&headers("token=x")).unwrap_err();
        assert!(error.to_string().contains("move it away"), "{error}");
        assert!(Tokens::open(dir.path()).is_err());
    }
}
