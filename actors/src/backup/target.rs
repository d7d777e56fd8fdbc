//! The file that a backup becomes: another name until it is whole and on disk, so that under its own name there is the
//! earlier one, or this one, whatever ends the process.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::format::BEGINNING;
use super::{BackupError, io};

/// How the name of an unfinished one ends.
const UNFINISHED: &str = "unfinished";

/// A backup on its way.
#[derive(Debug)]
pub(super) struct Target {
    to: PathBuf,
    /// What it is called until it is whole.
    pub(super) unfinished: PathBuf,
    /// Locked, so that no other backup takes it for a leftover.
    pub(super) file: File,
}

impl Target {
    /// Makes the file, for our eyes only, and removes what earlier ones left that were cut off.
    ///
    /// # Errors
    /// [`BackupError::InTheWay`] or [`BackupError::Io`].
    pub(super) fn begin(to: &Path) -> Result<Self, BackupError> {
        is_ours(to)?;
        remove_leftovers(to)?;
        let unfinished = beside(to, &format!("{}.{UNFINISHED}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&unfinished);
        let file = file.map_err(io(&unfinished))?;
        file.try_lock().map_err(|error| io(&unfinished)(error.into()))?;
        Ok(Self { to: to.to_owned(), unfinished, file })
    }

    /// A second file, for what has to be a file on its way into the backup.
    pub(super) fn scratch(&self) -> PathBuf {
        scratch(&self.unfinished)
    }

    /// Gives it its name, for good.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub(super) fn finish(self) -> Result<(), BackupError> {
        fs::rename(&self.unfinished, &self.to).map_err(io(&self.to))?;
        let folder = folder_of(&self.to);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Gone where it was finished. Else something failed, and there is no use for half of it.
        let _ = fs::remove_file(self.scratch());
        let _ = fs::remove_file(&self.unfinished);
    }
}

/// Only a backup is written over by a backup: the name may be a slip.
fn is_ours(to: &Path) -> Result<(), BackupError> {
    let mut beginning = Vec::new();
    match File::open(to).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut beginning)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io(to)(source)),
        Ok(_) if beginning.is_empty() || beginning == BEGINNING => Ok(()),
        Ok(_) => Err(BackupError::InTheWay(to.display().to_string())),
    }
}

/// Removes files of backups to this name that were cut off. Those whose process lives are locked.
fn remove_leftovers(to: &Path) -> Result<(), BackupError> {
    let folder = folder_of(to);
    let Some(name) = to.file_name() else { return Ok(()) };
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let entry = entry.map_err(io(folder))?;
        let is_leftover = || {
            let rest = entry.file_name().into_string().ok()?;
            let rest = rest.strip_prefix(name.to_str()?)?.strip_prefix('.')?.strip_suffix(UNFINISHED)?;
            rest.strip_suffix('.')?.bytes().all(|byte| byte.is_ascii_digit()).then_some(())
        };
        let path = entry.path();
        // It may be gone by now: another backup tidies up as well.
        if is_leftover().is_some()
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(scratch(&path));
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

fn beside(to: &Path, suffix: &str) -> PathBuf {
    let mut name = to.file_name().map(OsString::from).unwrap_or_default();
    name.push(".");
    name.push(suffix);
    to.with_file_name(name)
}

fn scratch(unfinished: &Path) -> PathBuf {
    beside(unfinished, "part")
}

/// The folder that a file stands in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
