//! Which servers are trusted when the daemon is called by https.

use std::{path::PathBuf, sync::Arc};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// Where distributions keep the authorities that everybody trusts.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// A PEM file of certificates; the system's where none is named.
    pub(crate) certificates: Option<PathBuf>,
}

/// Why there is no secure connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// No certificate of an authority could be read.
    #[error(
        "trust the certificates in {path}: {problem}; name a PEM file of certificates with --ca-certificate"
    )]
    Certificates {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The URL's host is neither a name nor an address.
    #[error("use '{host}' as the name of a server")]
    Name {
        /// As given.
        host: String,
    },
}

impl Trust {
    /// What shakes hands with servers that these certificates speak for.
    ///
    /// # Errors
    /// [`TlsError::Certificates`].
    fn connector(&self) -> Result<TlsConnector, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let (path, roots) = self.roots()?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificates {
                path,
                problem: error.to_string(),
            })?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<(String, RootCertStore), TlsError> {
        let bundle = SYSTEM_BUNDLES.iter().map(PathBuf::from);
        let path = self
            .certificates
            .clone()
            .or_else(|| bundle.clone().find(|path| path.exists()))
            .unwrap_or_else(|| PathBuf::from(SYSTEM_BUNDLES[0]));
        let refuse = |problem: String| TlsError::Certificates {
            path: path.display().to_string(),
            problem,
        };
        let certificates =
            CertificateDer::pem_file_iter(&path).map_err(|error| refuse(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        // The system's bundle may hold some that are not understood; one that is enough.
        let (added, _) = roots.add_parsable_certificates(certificates.flatten());
        if added == 0 {
            return Err(refuse("there is none".to_owned()));
        }
        Ok((path.display().to_string(), roots))
    }
}

/// What a TLS connection to `host` needs.
///
/// # Errors
/// [`TlsError`].
pub(crate) fn prepare(
    trust: &Trust,
    host: &str,
) -> Result<(TlsConnector, ServerName<'static>), TlsError> {
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(plain.to_owned()).map_err(|_| TlsError::Name {
        host: host.to_owned(),
    })?;
    Ok((trust.connector()?, name))
}
