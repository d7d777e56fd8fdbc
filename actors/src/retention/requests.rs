//! How the command line has a running server erase somebody: by a file in the data folder, which the server removes when it
//! is done. Should it end in between, the file is there at its next start.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chappe_proto::UserId;

const BEGINNING: &str = "erase-";

fn path(folder: &Path, user: UserId) -> PathBuf {
    folder.join(format!("{BEGINNING}{user}"))
}

/// Asks for a user to be erased.
///
/// # Errors
/// If the file cannot be written.
pub fn ask(folder: &Path, user: UserId) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path(folder, user))?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Whether a user is still to be erased.
pub fn is_open(folder: &Path, user: UserId) -> bool {
    path(folder, user).exists()
}

/// It is done.
///
/// # Errors
/// If the file cannot be removed.
pub fn done(folder: &Path, user: UserId) -> io::Result<()> {
    match std::fs::remove_file(path(folder, user)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Who is to be erased.
pub fn all(folder: &Path) -> Vec<UserId> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(BEGINNING)?.parse().ok()).collect()
}
