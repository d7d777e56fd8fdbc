//! Whom the client trusts to be the server, and the TLS session with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, client,
};

/// Where systems keep the certificates that they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Whom the client trusts to be the server it means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Who shows a certificate that the system's roots vouch for; `SSL_CERT_FILE` names others.
    #[default]
    System,
    /// Who shows a certificate that is in this PEM file, or that one in it vouches for.
    File(PathBuf),
    /// Who shows the certificate with this SHA-256 fingerprint, whatever name and date are in it.
    Fingerprint([u8; 32]),
    /// Anybody: what is said can be read and changed on the way.
    Anybody,
}

/// How the client shows who it is, where a server asks for certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// A PEM file: the certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// A PEM file: its key.
    pub key: PathBuf,
}

/// TLS cannot be set up as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

fn failed(what: &str, error: impl std::fmt::Display) -> TlsError {
    TlsError(format!("{what}: {error}"))
}

/// Puts together what a connection needs.
pub(crate) fn config(trust: &Trust, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS", error))?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::File(path) => {
            let certificates = certificates(path)?;
            let roots = Some(verifier_of(&certificates, &provider)?);
            dangerous(builder, Verifier { known: Known::Certificates(certificates), roots, provider })
        }
        Trust::Fingerprint(sha256) => {
            dangerous(builder, Verifier { known: Known::Fingerprint(*sha256), roots: None, provider })
        }
        Trust::Anybody => dangerous(builder, Verifier { known: Known::Anybody, roots: None, provider }),
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let name = identity.key.display().to_string();
            let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|error| failed(&name, error))?;
            let chain = certificates(&identity.certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| failed(&name, error))?
        }
    };
    Ok(Arc::new(config))
}

type Builder<T> = ConfigBuilder<ClientConfig, T>;

fn dangerous(builder: Builder<rustls::WantsVerifier>, verifier: Verifier) -> Builder<client::WantsClientCert> {
    builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let name = path.display().to_string();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = read.map_err(|error| failed(&name, error))?;
    if all.is_empty() { Err(failed(&name, "there is no certificate in it")) } else { Ok(all) }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let usual = SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
    let path = named.or(usual).ok_or_else(|| TlsError("this system has no trusted roots: name a file".to_owned()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&path)?);
    Ok(roots)
}

fn verifier_of(
    certificates: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| failed("the certificates", error))
}

/// Which certificates are taken by themselves.
#[derive(Debug)]
enum Known {
    Certificates(Vec<CertificateDer<'static>>),
    Fingerprint([u8; 32]),
    Anybody,
}

/// Takes a certificate that is known by itself, or that known roots vouch for. A self-signed one is usually no root:
/// it is known by its bytes.
#[derive(Debug)]
struct Verifier {
    known: Known,
    roots: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_known = match &self.known {
            Known::Certificates(known) => known.iter().any(|known| known.as_ref() == certificate.as_ref()),
            Known::Fingerprint(known) => fingerprint(certificate).as_ref() == known,
            Known::Anybody => true,
        };
        match &self.roots {
            _ if is_known => Ok(ServerCertVerified::assertion()),
            Some(roots) => roots.verify_server_cert(certificate, between, name, stapled, now),
            None => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn fingerprint(certificate: &CertificateDer<'_>) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.as_ref())
}
