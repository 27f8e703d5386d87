//! `listen` and `[access]`: who may come in over TCP.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Who may come in over TCP (`[access]`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// PEM file with the certificate, and those between it and its authority. With it, TCP speaks TLS.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub tls_key: Option<PathBuf>,
    /// Names under which clients call this host, beside `localhost` and its addresses.
    pub allowed_hosts: BTreeSet<String>,
}

impl AccessConfig {
    /// The key and what is wrong with it, if these addresses cannot be listened on so.
    pub(super) fn problem(&self, listen: &ListenAddresses) -> Option<(&'static str, &'static str)> {
        let has_tls = self.tls_certificate.is_some();
        if has_tls != self.tls_key.is_some() {
            return Some((
                "access",
                "must have both tls_certificate and tls_key, or neither",
            ));
        }
        if listen.0.is_empty() {
            return Some(("listen", "must have an address"));
        }
        let is_open = listen.iter().any(|address| !address.ip().is_loopback());
        (is_open && !has_tls).then_some((
            "listen",
            "must be a loopback address, because the API is as powerful as root; for others set tls_certificate \
             and tls_key in [access]",
        ))
    }
}

/// One address or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
pub struct ListenAddresses(Vec<SocketAddr>);

impl ListenAddresses {
    /// These.
    pub const fn new(addresses: Vec<SocketAddr>) -> Self {
        Self(addresses)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &SocketAddr> {
        self.0.iter()
    }
}

impl Default for ListenAddresses {
    fn default() -> Self {
        Self(vec![SocketAddr::from(([127, 0, 0, 1], 8080))])
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
}

impl From<OneOrMany> for ListenAddresses {
    fn from(addresses: OneOrMany) -> Self {
        match addresses {
            OneOrMany::One(address) => Self(vec![address]),
            OneOrMany::Many(addresses) => Self(addresses),
        }
    }
}

impl From<ListenAddresses> for OneOrMany {
    fn from(ListenAddresses(addresses): ListenAddresses) -> Self {
        match addresses.as_slice() {
            [address] => Self::One(*address),
            _ => Self::Many(addresses),
        }
    }
}
