//! Table `settings`: facts about this installation, by name.

use sqlx::SqliteConnection;

use crate::{error::StoreError, row_key::RowKey};

const TABLE: &str = "settings";

/// What a setting is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The agent's id; never changes once written.
    AgentId,
    /// The agent's resources as last detected, as JSON.
    DetectedTotal,
    /// The kernel's boot id when the store was last used.
    BootId,
    /// Where runs were kept when the store was last used, as JSON.
    Places,
}

impl Setting {
    /// The name under which it is kept.
    const fn key(self) -> &'static str {
        match self {
            Self::AgentId => "agent_id",
            Self::DetectedTotal => "detected_total",
            Self::BootId => "boot_id",
            Self::Places => "places",
        }
    }
}

/// Reads a setting.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    setting: Setting,
) -> Result<Option<String>, StoreError> {
    let key = setting.key();
    sqlx::query_scalar!("SELECT value FROM settings WHERE key = ?", key)
        .fetch_optional(connection)
        .await
        .map_err(StoreError::reading(TABLE))
}

/// Writes a setting.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    setting: Setting,
    value: &str,
) -> Result<(), StoreError> {
    let key = setting.key();
    sqlx::query!(
        "INSERT INTO settings (key, value) VALUES (?, ?)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        key,
        value,
    )
    .execute(connection)
    .await
    .map_err(RowKey::new(TABLE, &key).writing())?;
    Ok(())
}
