//! What is put on a disk for good, and whether there is room: folders and small files, with their names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes a folder and those it lies in, where they are not there; they are on disk afterwards.
///
/// # Errors
/// If they cannot be made.
pub fn make(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(flush)
}

/// A disk counts as full with less: room for a page says nothing about the next message.
const ENOUGH_BYTES: u64 = 1024 * 1024;

/// How much the disk under `path` still takes.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// Whether the disk under `path` is full.
pub(crate) fn is_full(path: &Path) -> bool {
    free_bytes(path).is_ok_and(|free| free < ENOUGH_BYTES)
}

/// Writes a file whole or not at all, and has it on disk, name and all. Nobody may read it in between who may not read it
/// afterwards (`mode`).
///
/// # Errors
/// If the disk does not take it.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    // One that was left behind may have other rights.
    remove(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), flush)
}

/// Removes a file, if it is there. Its name is gone for good once the folder is flushed.
///
/// # Errors
/// If it cannot be removed.
pub(crate) fn remove(path: impl AsRef<Path>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What was made, renamed or removed in a folder is so on disk.
///
/// # Errors
/// If the disk does not take it.
pub fn flush(folder: &Path) -> io::Result<()> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(here)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_written_whole_with_its_own_rights_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, beside) = (folder.path().join("file"), folder.path().join("file.new"));
        for text in ["first", "other"] {
            // As a start that was killed may leave it.
            fs::write(&beside, "half of somethi").unwrap();
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o666)).unwrap();
            write_whole(&file, text.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(!beside.exists());
        assert!(write_whole(&folder.path().join("missing/file"), b"x", 0o600).is_err());
        assert!(!is_full(folder.path()) && free_bytes(folder.path()).unwrap() > 0);
    }
}
