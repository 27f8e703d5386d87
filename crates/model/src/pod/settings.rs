//! The server's settings that decide how a definition is completed and what it may use.

use std::collections::BTreeSet;

/// Settings of the server (marathon: `src/main/scala/mesosphere/marathon/MarathonConf.scala`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of container networks that have none; without it they are refused.
    pub default_network_name: Option<String>,
    /// Role of pods that have none.
    pub default_role: String,
    /// What definitions may use beyond the plain.
    pub features: BTreeSet<Feature>,
    /// Name that `container/bridge` networks get in status documents.
    pub bridge_name: String,
}

/// A feature that is off unless the server enables it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// `secrets` and everything that refers to them.
    Secrets,
}

impl Default for Settings {
    /// No default network, role `*`, no features, bridge `mesos-bridge`.
    fn default() -> Self {
        Self {
            default_network_name: None,
            default_role: "*".to_owned(),
            features: BTreeSet::new(),
            bridge_name: "mesos-bridge".to_owned(),
        }
    }
}
