//! TLS for HTTP, WebSocket and TCP: which certificate is shown, and how it is replaced while the server runs.
//!
//! A new certificate is a new pair of configurations, swapped in whole: handshakes from then on see it, and no session
//! of the old one can be resumed. Connections that are there are not touched.

mod chosen;
mod error;
mod files;
mod self_signed;
pub mod stream;
mod validity;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::server::ServerConfig;

pub use self::chosen::{Certificate, check, files, look};
pub use self::error::TlsError;
pub use self::files::Files;
use self::files::{Ready, Stamp};
pub use self::self_signed::{CERT as OWN_CERT, KEY as OWN_KEY};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A certificate that runs out sooner is warned of.
pub(crate) const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What the doors show. One for all threads.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ArcSwap<Ready>>);

impl Tls {
    /// For a new connection on the HTTP door.
    pub fn http(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().http)
    }

    /// For a new connection on the TCP door.
    pub fn tcp(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().tcp)
    }

    /// The certificate's SHA-256, as people compare it: hexadecimal, in pairs.
    pub fn fingerprint(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.0.load().leaf);
        let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// Keeps [`Tls`] in step with the files. It lives on one thread.
#[derive(Debug)]
pub struct Keeper {
    tls: Tls,
    seen: RefCell<(Files, Stamp)>,
}

impl Keeper {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`TlsError`]: they cannot be used.
    pub fn start(files: Files) -> Result<Self, TlsError> {
        let stamp = files.stamp();
        let ready = files.read()?;
        warn_of_the_end(&files, &ready);
        Ok(Self { tls: Tls(Arc::new(ArcSwap::from_pointee(ready))), seen: RefCell::new((files, stamp)) })
    }

    /// For the doors.
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Reads these files, whether they changed or not. What was there stays if they cannot be used.
    ///
    /// # Errors
    /// [`TlsError`]: why not.
    pub fn reload(&self, files: Files) -> Result<(), TlsError> {
        let stamp = files.stamp();
        let read = files.read();
        // Also of files that cannot be used: they are complained of once, and read again when they change.
        let result = read.map(|ready| {
            warn_of_the_end(&files, &ready);
            self.tls.0.store(ready.into());
        });
        self.seen.replace((files, stamp));
        result
    }

    /// Looks at the files for ever, and takes them over when they change.
    pub async fn watch(&self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            let (files, before) = self.seen.borrow().clone();
            // Half of a new pair may be there; the other half is another change.
            if files.stamp() != before {
                match self.reload(files) {
                    Ok(()) => tracing::info!(fingerprint = self.tls.fingerprint(), "take over a new TLS certificate"),
                    Err(error) => tracing::error!(%error, "keep the TLS certificate: the new one cannot be used"),
                }
            }
        }
    }
}

fn warn_of_the_end(files: &Files, ready: &Ready) {
    let Some(end) = ready.not_after else { return };
    let cert = files.cert.display();
    match end.duration_since(SystemTime::now()) {
        Err(_) => tracing::warn!(%cert, "the TLS certificate has expired: clients will refuse it"),
        Ok(left) if left < SOON => {
            tracing::warn!(%cert, days = left.as_secs() / 86_400, "the TLS certificate expires soon");
        }
        Ok(_) => {}
    }
}
