//! One row's name, under which its columns are read and written.

use std::{error::Error, fmt, str::FromStr};

use model::time::Timestamp;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::StoreError;

/// The table and key of a row; turns column values into model values, and names the row where that fails.
pub(crate) struct RowKey<'a> {
    table: &'static str,
    id: &'a (dyn fmt::Display + Sync),
}

/// A text that is none of its column's values.
#[derive(Debug, thiserror::Error)]
#[error("unknown value '{text}'")]
struct UnknownValue {
    text: String,
}

impl<'a> RowKey<'a> {
    /// Names a row by its table and key.
    pub(crate) fn new(table: &'static str, id: &'a (dyn fmt::Display + Sync)) -> Self {
        Self { table, id }
    }

    /// The stored value of `column` makes no sense.
    pub(crate) fn bad(
        &self,
        column: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Row {
            table: self.table,
            column,
            id: self.id.to_string(),
            source: source.into(),
        }
    }

    /// The value for `column` cannot be stored.
    pub(crate) fn unstorable(
        &self,
        column: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Value {
            table: self.table,
            column,
            id: self.id.to_string(),
            source: source.into(),
        }
    }

    /// For `map_err`: the row could not be written.
    pub(crate) fn writing(&self) -> impl FnOnce(sqlx::Error) -> StoreError {
        |source| StoreError::Write {
            table: self.table,
            id: self.id.to_string(),
            source,
        }
    }

    /// Reads an identifier.
    pub(crate) fn parse<T>(&self, column: &'static str, text: &str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: Error + Send + Sync + 'static,
    {
        text.parse()
            .map_err(|source: T::Err| self.bad(column, source))
    }

    /// Reads one value of an enum with `read`.
    pub(crate) fn state<T>(
        &self,
        column: &'static str,
        text: &str,
        read: fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        read(text).ok_or_else(|| {
            self.bad(
                column,
                UnknownValue {
                    text: text.to_owned(),
                },
            )
        })
    }

    /// Reads a number of a narrower type than the column's.
    pub(crate) fn number<T>(&self, column: &'static str, number: i64) -> Result<T, StoreError>
    where
        T: TryFrom<i64>,
        T::Error: Error + Send + Sync + 'static,
    {
        T::try_from(number).map_err(|source| self.bad(column, source))
    }

    /// Reads a JSON document.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|source| self.bad(column, source))
    }

    /// A number as the column keeps it.
    pub(crate) fn to_number(&self, column: &'static str, number: u64) -> Result<i64, StoreError> {
        i64::try_from(number).map_err(|source| self.unstorable(column, source))
    }

    /// A JSON document as the column keeps it.
    pub(crate) fn to_json<T: Serialize>(
        &self,
        column: &'static str,
        value: &T,
    ) -> Result<String, StoreError> {
        serde_json::to_string(value).map_err(|source| self.unstorable(column, source))
    }
}

/// A point in time from its column.
pub(crate) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
