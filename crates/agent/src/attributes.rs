//! The host's attributes, in the text form of Mesos's `--attributes`.

use std::collections::BTreeMap;

/// Why a text states no attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributesError {
    /// A piece lacks its name, its value or the colon between them.
    #[error("read attribute '{piece}': expected NAME:VALUE, such as rack:a1")]
    NotNameAndValue {
        /// The piece between semicolons, as given.
        piece: String,
    },
    /// A name has two values, so a constraint could not tell which one counts.
    #[error("read attribute '{piece}': '{name}' already has a value")]
    NamedTwice {
        /// The second piece, as given.
        piece: String,
        /// The name.
        name: String,
    },
}

/// Reads text such as `rack:abc;size:3`; newlines separate as semicolons do, empty pieces are passed over.
///
/// A value is what follows the first colon, so it may hold colons itself; it stays text whatever it looks
/// like (mesos: `src/common/attributes.cpp`).
///
/// # Errors
/// The first piece that is no attribute.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, AttributesError> {
    let mut attributes = BTreeMap::new();
    let pieces = text.split([';', '\n']).map(str::trim);
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        let (name, value) = piece
            .split_once(':')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| AttributesError::NotNameAndValue {
                piece: piece.to_owned(),
            })?;
        if attributes
            .insert(name.to_owned(), value.to_owned())
            .is_some()
        {
            return Err(AttributesError::NamedTwice {
                piece: piece.to_owned(),
                name: name.to_owned(),
            });
        }
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_values() {
        let cases: [(&str, &[(&str, &str)]); 5] = [
            ("", &[]),
            ("rack:abc;size:3", &[("rack", "abc"), ("size", "3")]),
            (" rack : abc ;\n", &[("rack", "abc")]),
            ("a:1\nb:2", &[("a", "1"), ("b", "2")]),
            ("url:http://x:80", &[("url", "http://x:80")]),
        ];
        for (text, expected) in cases {
            let attributes = parse(text).unwrap();
            let pairs: Vec<_> = attributes
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(pairs, expected, "{text:?}");
        }
    }

    #[test]
    fn says_which_piece_is_wrong() {
        let cases = [
            ("a:1;rack", "read attribute 'rack': expected NAME:VALUE"),
            ("a:1;:x", "read attribute ':x': expected NAME:VALUE"),
            ("a:1;rack:", "read attribute 'rack:': expected NAME:VALUE"),
            ("a:1;a:2", "read attribute 'a:2': 'a' already has a value"),
        ];
        for (text, expected) in cases {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{text:?}: {message}");
        }
    }
}
