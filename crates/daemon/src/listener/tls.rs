//! The certificate of TCP connections, read again when its files change.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
    },
    server::TlsStream,
};
use tracing::{error, info};

use crate::event_loop::chain;

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// A file cannot be read, or is not PEM.
    #[error("read the {what} {path}", path = path.display())]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("find a certificate in {path}", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// They do not belong together, or are of a kind that is not known.
    #[error("use the certificate {certificate} with the key {key}", certificate = certificate.display(), key = key.display())]
    Pair {
        /// The file.
        certificate: PathBuf,
        /// The file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate and its key, and the files they are from.
#[derive(Debug)]
pub(super) struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// The files that were last read, also those that could not be used.
    files: Files,
    config: Arc<ServerConfig>,
}

/// What tells one state of both files from another.
type Files = [Option<(u64, u64, i64, i64)>; 2];

impl Certificate {
    /// Reads both.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let files = [certificate, key].map(state_of);
        let config = server_config(certificate, key)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current: Mutex::new(Current { files, config }),
        })
    }

    /// Reads both again. A pair that cannot be used changes nothing but the log.
    pub(super) fn reload(&self) {
        let files = [&*self.certificate, &*self.key].map(state_of);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(&mut current, files);
    }

    fn replace(&self, current: &mut Current, files: Files) {
        current.files = files;
        match server_config(&self.certificate, &self.key) {
            Ok(config) => {
                current.config = config;
                info!(path = %self.certificate.display(), "the new certificate is in use");
            }
            Err(error) => error!(
                error = chain(&error),
                "the new certificate cannot be used, the one before stays in use"
            ),
        }
    }

    /// What new connections are shaken hands with: files that were changed since are read, once.
    fn config(&self) -> Arc<ServerConfig> {
        let files = [&*self.certificate, &*self.key].map(state_of);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.files != files {
            self.replace(&mut current, files);
        }
        Arc::clone(&current.config)
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// What the other end did wrong; [`io::ErrorKind::TimedOut`] if it did nothing.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let handshake = TlsAcceptor::from(self.config()).accept(stream);
        timeout(HANDSHAKE_WITHIN, handshake)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn state_of(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.ino(),
        metadata.size(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let unreadable = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Read { what, path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(unreadable("certificate", certificate))?
        .collect();
    let chain = chain.map_err(unreadable("certificate", certificate))?;
    if chain.is_empty() {
        let path = certificate.to_owned();
        return Err(CertificateError::Empty { path });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("key", key))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| {
        builder
            .with_no_client_auth()
            .with_single_cert(chain, private)
    });
    let mut config = config.map_err(|source| CertificateError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(dir: &Path) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(dir.join("certificate.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn a_new_pair_is_used_and_a_bad_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (
            dir.path().join("certificate.pem"),
            dir.path().join("key.pem"),
        );
        assert!(Certificate::read(&certificate, &key).is_err(), "no files");
        write_pair(dir.path());
        let read = Certificate::read(&certificate, &key).unwrap();
        let first = read.config();
        assert!(Arc::ptr_eq(&first, &read.config()), "nothing changed");

        let old_key = fs::read(&key).unwrap();
        write_pair(dir.path());
        let second = read.config();
        assert!(!Arc::ptr_eq(&first, &second), "a new pair");

        fs::write(&key, old_key).unwrap();
        assert!(Arc::ptr_eq(&second, &read.config()), "of two pairs");
        fs::remove_file(&key).unwrap();
        read.reload();
        assert!(Arc::ptr_eq(&second, &read.config()), "no key");
        let error = Certificate::read(&certificate, &key).unwrap_err();
        assert!(chain(&error).contains("key.pem"), "{error}");
    }
}
