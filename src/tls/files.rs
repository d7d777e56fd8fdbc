//! The files of TLS: reads certificates and keys, checks that they can be used, and notices when they change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};

use super::error::TlsError;
use super::validity;
use crate::bounded;

/// Where the certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's certificate and those between it and the root, as PEM.
    pub cert: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
    /// Whose certificates TCP clients have to show, as PEM.
    pub client_ca: Option<PathBuf>,
}

/// What a file looked like. A change of any of it is a change of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<(i64, i64, u64, u64)>>);

/// What the doors need.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) http: Arc<ServerConfig>,
    pub(super) tcp: Arc<ServerConfig>,
    /// When the certificate runs out, if it can be told.
    pub(super) not_after: Option<SystemTime>,
    /// The certificate itself, without those behind it.
    pub(super) leaf: CertificateDer<'static>,
}

impl Files {
    /// What the files look like now.
    pub(super) fn stamp(&self) -> Stamp {
        let look = |path: &PathBuf| {
            let file = fs::metadata(path).ok()?;
            Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
        };
        Stamp([&self.cert, &self.key].into_iter().chain(&self.client_ca).map(look).collect())
    }

    /// Reads them all.
    pub(super) fn read(&self) -> Result<Ready, TlsError> {
        let certs = certificates(&self.cert)?;
        let bytes = bytes(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_| TlsError::Missing { path: self.key.clone(), what: "private key" })?;
        let roots = self.client_ca.as_deref().map(roots).transpose()?;
        let leaf =
            certs.first().cloned().ok_or_else(|| TlsError::Missing { path: self.cert.clone(), what: "certificate" })?;
        let mut http = self.build(certs.clone(), key.clone_key(), None)?;
        http.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = self.build(certs, key, roots)?;
        Ok(Ready { http: http.into(), tcp: tcp.into(), not_after: validity::not_after(&leaf), leaf })
    }

    fn build(
        &self,
        certs: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: Option<RootCertStore>,
    ) -> Result<ServerConfig, TlsError> {
        let provider: Arc<CryptoProvider> = aws_lc_rs::default_provider().into();
        let of_cert = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { cert: self.cert.clone(), key: self.key.clone() },
            error => TlsError::Unusable { path: self.cert.clone(), reason: error.to_string() },
        };
        // TLS 1.2 and 1.3. Early data stays off: it can be replayed.
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(of_cert)?;
        let builder = match (clients, &self.client_ca) {
            (Some(roots), Some(path)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let unusable = |error: rustls::server::VerifierBuilderError| TlsError::Unusable {
                    path: path.clone(),
                    reason: error.to_string(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(unusable)?)
            }
            _ => builder.with_no_client_auth(),
        };
        builder.with_single_cert(certs, key).map_err(of_cert)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    bounded::read_file(path, bounded::SETTINGS_BYTES).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = bytes(path)?;
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    all.ok()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| TlsError::Missing { path: path.to_owned(), what: "certificate" })
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let unusable = |error: rustls::Error| TlsError::Unusable { path: path.to_owned(), reason: error.to_string() };
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}
