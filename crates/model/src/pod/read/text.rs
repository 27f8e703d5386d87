//! The texts that the schema knows (marathon: `docs/docs/rest-api/public/api/v2/types/stringTypes.raml`).

use std::sync::LazyLock;

use regex::Regex;

use super::place::TextRule;

/// Anything.
pub(super) const ANY: TextRule = TextRule {
    length: (0, usize::MAX),
    pattern: None,
};

/// Anything but nothing.
pub(super) const NOT_EMPTY: TextRule = TextRule {
    length: (1, usize::MAX),
    pattern: None,
};

/// A path or a reference.
pub(super) const PATH: TextRule = TextRule {
    length: (1, 1024),
    pattern: None,
};

/// A name of a container, an endpoint or a volume.
pub(super) const NAME: TextRule = TextRule {
    length: (1, 63),
    pattern: Some(is_name),
};

/// A name of a network.
pub(super) const NETWORK_NAME: TextRule = TextRule {
    length: (1, 63),
    pattern: Some(is_network_name),
};

/// A pod's path, as far as the schema goes.
pub(super) const POD_ID: TextRule = TextRule {
    length: (1, usize::MAX),
    pattern: Some(is_pod_path),
};

/// `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
fn is_name(text: &str) -> bool {
    is_network_name(text) && !text.contains('_')
}

/// `^[a-z0-9]([-a-z0-9_]*[a-z0-9])?$`
fn is_network_name(text: &str) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || matches!(b, b'-' | b'_'))
}

/// `^[a-zA-Z_][a-zA-Z0-9_]{0,253}?$`
pub(super) fn is_variable_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 254
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(plain)
}

/// Whether the text is any key at all.
pub(super) fn is_any_key(_: &str) -> bool {
    true
}

fn is_pod_path(text: &str) -> bool {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"^(/?((\.\.)|(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9]))?($|/))+$",
        )
        .expect("a constant, tried by every test that reads a definition")
    });
    PATTERN.is_match(text)
}
