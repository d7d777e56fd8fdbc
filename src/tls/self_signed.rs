//! A certificate of the server's own, for trying TLS without anybody else: made at the first start, kept in the data
//! folder. Nobody vouches for it; its fingerprint is what a client can check.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use chappe_actors::folder;

use super::error::TlsError;
use super::files::Files;

/// The certificate, in the data folder.
pub const CERT: &str = "tls-cert.pem";
/// Its key.
pub const KEY: &str = "tls-key.pem";
/// For how many years it is valid, to the end of the last.
const YEARS: i32 = 10;

/// The certificate in the data folder, made now if there is none.
pub(super) fn in_folder(data: &Path, client_ca: Option<&Path>) -> Result<Files, TlsError> {
    let files = Files { cert: data.join(CERT), key: data.join(KEY), client_ca: client_ca.map(Path::to_owned) };
    if !files.cert.exists() || !files.key.exists() {
        make(&files)?;
    }
    Ok(files)
}

fn make(files: &Files) -> Result<(), TlsError> {
    let mut params = rcgen::CertificateParams::new(names())?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "chappe, self-signed");
    params.not_before = rcgen::date_time_ymd(this_year(), 1, 1);
    params.not_after = rcgen::date_time_ymd(this_year() + YEARS, 12, 31);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    // Of an earlier pair nothing stays: half of each would be no pair.
    let _ = fs::remove_file(&files.cert);
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.cert, &certificate.pem(), 0o644)
}

/// Under which names the server may be called.
fn names() -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy().to_ascii_lowercase();
    let is_name =
        !machine.is_empty() && machine.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if is_name && !names.contains(&machine) {
        names.push(machine);
    }
    names
}

/// Good enough for a year: it may be off by a day around New Year.
fn this_year() -> i32 {
    const SECONDS_OF_A_YEAR: u64 = 31_556_952;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i32::try_from(1970 + now / SECONDS_OF_A_YEAR).unwrap_or(1970)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    folder::write_whole(path, text.as_bytes(), mode).map_err(|source| TlsError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = in_folder(folder.path(), None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files.key), mode(&files.cert)), (0o600, 0o644));
        let made = files.read().unwrap();
        assert!(made.not_after.unwrap() > SystemTime::now());
        assert_eq!(in_folder(folder.path(), None).unwrap().read().unwrap().leaf, made.leaf, "the next start finds it");
    }

    #[test]
    fn of_half_a_pair_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = in_folder(folder.path(), None).unwrap();
        for missing in [&files.key, &files.cert] {
            let before = files.read().unwrap().leaf;
            fs::remove_file(missing).unwrap();
            assert_ne!(in_folder(folder.path(), None).unwrap().read().unwrap().leaf, before);
        }
        // Killed between the two: there is no pair that does not fit.
        fs::remove_file(&files.key).unwrap();
        fs::create_dir(folder.path().join("tls-cert.pem.new")).unwrap();
        assert!(matches!(in_folder(folder.path(), None), Err(TlsError::Write { .. })));
        fs::remove_dir(folder.path().join("tls-cert.pem.new")).unwrap();
        in_folder(folder.path(), None).unwrap().read().unwrap();
    }
}
