//! Image references, written as Docker writes them.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::digest::Digest;

/// Registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The most characters of a whole reference (marathon: the pod's `image.id`).
const REFERENCE_LENGTH_MAX: usize = 1024;

/// A complete reference: `nginx` is `docker.io/library/nginx:latest`.
///
/// With a digest the tag is only informative. Source: distribution's reference grammar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Registry and path, such as `docker.io/library/nginx`.
    pub repository: String,
    /// Tag; `latest` where neither tag nor digest was given.
    pub tag: Option<String>,
    /// Digest of the manifest or index.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("understand the image reference '{text}': {reason}")]
pub struct ReferenceError {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub reason: &'static str,
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|reason| ReferenceError {
            text: text.chars().take(200).collect(),
            reason,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() || text.len() > REFERENCE_LENGTH_MAX {
        return Err("it needs 1 to 1024 characters");
    }
    let (name, digest) = match text.split_once('@') {
        None => (text, None),
        Some((name, digest)) => (
            name,
            Some(
                digest
                    .parse()
                    .map_err(|_| "its digest is not sha256 and 64 hex digits")?,
            ),
        ),
    };
    let (name, tag) = match name.rsplit_once(':') {
        // A colon before a slash is a port's.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        Some(_) | None => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not 1 to 128 letters, digits, '_', '.' and '-'");
    }
    let tag = match (tag, &digest) {
        (None, None) => Some("latest".to_owned()),
        (tag, _) => tag.map(str::to_owned),
    };
    Ok(Reference {
        repository: repository(name)?,
        tag,
        digest,
    })
}

fn repository(name: &str) -> Result<String, &'static str> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (first, path),
        Some(_) | None => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" {
        DEFAULT_REGISTRY
    } else {
        registry
    };
    let plain = |c: char| c.is_ascii_alphanumeric();
    if !registry.starts_with(|c| plain(c) || c == '[')
        || !registry.ends_with(|c| plain(c) || c == ']')
        || !registry.chars().all(|c| plain(c) || ".-:[]".contains(c))
    {
        return Err("its registry is no host name");
    }
    if !path.split('/').all(is_component) {
        return Err("its name is not of lower-case letters, digits, '.', '_', '-' and '/'");
    }
    let library = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        "library/"
    } else {
        ""
    };
    Ok(format!("{registry}/{library}{path}"))
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

fn is_component(component: &str) -> bool {
    let plain = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = component.as_bytes();
    plain(bytes.first())
        && plain(bytes.last())
        && bytes
            .iter()
            .all(|byte| plain(Some(byte)) || b"._-".contains(byte))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_completed_as_docker_does() {
        let hex = "a".repeat(64);
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("user/app", "docker.io/user/app:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            (
                "index.docker.io/library/nginx",
                "docker.io/library/nginx:latest",
            ),
            ("localhost/app:v1", "localhost/app:v1"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
            ("host:5000/a:T_1.x", "host:5000/a:T_1.x"),
            ("quay.io/a/b_c", "quay.io/a/b_c:latest"),
            (
                &format!("nginx@sha256:{hex}"),
                &format!("docker.io/library/nginx@sha256:{hex}"),
            ),
            (
                &format!("a:b@sha256:{hex}"),
                &format!("docker.io/library/a:b@sha256:{hex}"),
            ),
        ];
        for (text, expected) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), expected, "{text}");
            assert_eq!(expected.parse::<Reference>().unwrap(), reference, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let long = "a".repeat(1025);
        let cases = [
            "",
            "UPPER",
            "a//b",
            "../a",
            "a/..",
            "a:",
            "a:b:c/",
            "a:-x",
            "a b",
            "a@sha256:12",
            "a@md5:12",
            "-a",
            "a/.b",
            ":tag",
            "/a",
            "a/",
            "ho st.x/a",
            &long,
        ];
        for text in cases {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(!error.reason.is_empty(), "{text}");
        }
    }
}
