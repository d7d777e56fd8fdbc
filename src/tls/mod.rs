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

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use chappe_actors::metrics::metrics;
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

/// How often it is warned of.
const DAY: Duration = Duration::from_secs(24 * 3600);

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
    /// When it was last warned of the end of the certificate at hand.
    warned: Cell<Option<SystemTime>>,
}

impl Keeper {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`TlsError`]: they cannot be used.
    pub fn start(files: Files) -> Result<Self, TlsError> {
        let stamp = files.stamp();
        let ready = files.read()?;
        tell_the_end(&ready);
        let tls = Tls(Arc::new(ArcSwap::from_pointee(ready)));
        let keeper = Self { tls, seen: RefCell::new((files, stamp)), warned: Cell::new(None) };
        keeper.warn_of_the_end(SystemTime::now());
        Ok(keeper)
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
        self.seen.replace((files, stamp));
        let ready = read?;
        tell_the_end(&ready);
        self.tls.0.store(ready.into());
        self.warned.set(None);
        self.warn_of_the_end(SystemTime::now());
        Ok(())
    }

    /// Looks at the files for ever, and takes them over when they change.
    pub async fn watch(&self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            self.look(SystemTime::now());
        }
    }

    /// Takes over files that changed; warns of the end of what there is now, and says whether it did.
    fn look(&self, now: SystemTime) -> bool {
        let (files, before) = self.seen.borrow().clone();
        // Half of a new pair may be there; the other half is another change.
        if files.stamp() != before {
            match self.reload(files) {
                Ok(()) => tracing::info!(fingerprint = self.tls.fingerprint(), "take over a new TLS certificate"),
                Err(error) => tracing::error!(%error, "keep the TLS certificate: the new one cannot be used"),
            }
        }
        self.warn_of_the_end(now)
    }

    fn warn_of_the_end(&self, now: SystemTime) -> bool {
        let Some(end) = self.tls.0.load().not_after else { return false };
        let left = end.duration_since(now).ok();
        // Not so by a clock that was set back meanwhile.
        let is_told = |at: SystemTime| now.duration_since(at).is_ok_and(|since| since < DAY);
        if left.is_some_and(|left| left >= SOON) || self.warned.get().is_some_and(is_told) {
            return false;
        }
        self.warned.set(Some(now));
        let (cert, fingerprint) = (self.seen.borrow().0.cert.display().to_string(), self.tls.fingerprint());
        match left {
            None => tracing::warn!(cert, fingerprint, "the TLS certificate has expired: clients will refuse it"),
            Some(left) => {
                let days = left.as_secs() / 86_400;
                tracing::warn!(cert, fingerprint, days, "the TLS certificate expires soon");
            }
        }
        true
    }
}

/// For whoever watches.
fn tell_the_end(ready: &Ready) {
    let since = ready.not_after.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    metrics().tls_not_after.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key, and a certificate that runs out at the end of that year.
    fn until_year(folder: &std::path::Path, year: i32) -> Files {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        let files = Files { cert: folder.join("cert.pem"), key: folder.join("key.pem"), client_ca: None };
        std::fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn a_certificate_that_runs_out_under_a_running_server_is_warned_of_once_a_day() {
        const HOUR: Duration = Duration::from_secs(3600);
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(until_year(folder.path(), 2100)).unwrap();
        let end = keeper.tls.0.load().not_after.unwrap();
        let warnings =
            |from: SystemTime, days: u32| (0..days * 24).filter(|hour| keeper.look(from + HOUR * *hour)).count();
        assert_eq!(warnings(end - SOON - HOUR * 24, 1), 0, "there is time");
        assert_eq!(warnings(end - SOON + HOUR, 20), 20, "also when it is over");
        // A clock that was set back does not silence it.
        assert!(keeper.look(end - SOON + HOUR) && !keeper.look(end - SOON + HOUR * 2));
        // The next one is another.
        let next = until_year(folder.path(), 2101);
        assert!(!keeper.look(end) && !keeper.look(end + HOUR * 48), "it is taken over");
        keeper.reload(next).unwrap();
        assert!(keeper.look(end + HOUR * 24 * 365));
    }
}
