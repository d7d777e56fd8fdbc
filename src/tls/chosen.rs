//! Which files the settings choose.

use std::path::Path;
use std::time::SystemTime;

use super::error::TlsError;
use super::files::Files;
use super::self_signed;
use crate::config;

/// The files that the settings name. With `tls.self_signed` they are made if need be, in the data folder, which has to be
/// there. `None` without TLS.
///
/// # Errors
/// [`TlsError`]: a certificate cannot be made.
pub fn files(config: &config::Config) -> Result<Option<Files>, TlsError> {
    let config::Tls { cert_file, key_file, client_ca_file, self_signed } = &config.tls;
    let client_ca = client_ca_file.as_deref();
    match (cert_file, key_file) {
        _ if *self_signed => self_signed::in_folder(&config.data, client_ca).map(Some),
        (Some(cert), Some(key)) => {
            Ok(Some(Files { cert: cert.clone(), key: key.clone(), client_ca: client_ca.map(Path::to_owned) }))
        }
        _ => Ok(None),
    }
}

/// Checks the files that the settings name, before anything starts. A certificate of the server's own is not looked at.
///
/// # Errors
/// [`TlsError`]: they cannot be used.
pub fn check(config: &config::Config) -> Result<(), TlsError> {
    if config.tls.self_signed {
        return Ok(());
    }
    files(config)?.map_or(Ok(()), |files| files.read().map(drop))
}

/// What can be said of the certificate that the settings choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    /// There is no TLS.
    Off,
    /// The server makes one at its first start.
    ToBeMade,
    /// It can be used until then, if it says so in a form that is known.
    Until(Option<SystemTime>),
}

/// Looks at the certificate that the settings choose. Makes nothing.
///
/// # Errors
/// [`TlsError`]: it cannot be used.
pub fn look(config: &config::Config) -> Result<Certificate, TlsError> {
    if config.tls.self_signed && !config.data.join(self_signed::CERT).exists() {
        return Ok(Certificate::ToBeMade);
    }
    match files(config)? {
        None => Ok(Certificate::Off),
        Some(files) => Ok(Certificate::Until(files.read()?.not_after)),
    }
}
