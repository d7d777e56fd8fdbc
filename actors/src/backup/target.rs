//! The file that a backup becomes: another name until it is whole and on disk, so that under its own name there is the
//! earlier one, or this one, whatever ends the process.

use std::ffi::OsString;
use std::fs::{self, DirEntry, File, OpenOptions};
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

/// Only a backup is written over by a backup: the name may be a slip. What is no plain file is not even looked into: a
/// pipe has nothing to read, and a link leads elsewhere.
fn is_ours(to: &Path) -> Result<(), BackupError> {
    let in_the_way = || BackupError::InTheWay(to.display().to_string());
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io(to)(source)),
        Ok(found) if !found.is_file() => return Err(in_the_way()),
        Ok(_) => {}
    }
    let beginning = beginning(&File::open(to).map_err(io(to))?).map_err(io(to))?;
    if beginning.is_empty() || beginning == BEGINNING { Ok(()) } else { Err(in_the_way()) }
}

fn beginning(file: &File) -> std::io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    file.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Removes what backups left in this folder that were cut off: those to this name, and those to others, which are named
/// after the day and never made again. Those whose process lives are locked.
fn remove_leftovers(to: &Path) -> Result<(), BackupError> {
    let folder = folder_of(to);
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let entry = entry.map_err(io(folder))?;
        let path = entry.path();
        // It may be gone by now: another backup tidies up as well.
        if let Some(name) = unfinished_name(&entry)
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
            && (to.file_name() == Some(name.as_os_str()) || beginning(&file).is_ok_and(|found| found == BEGINNING))
        {
            let _ = fs::remove_file(scratch(&path));
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
}

/// The name that a file would have got, if it is called like an unfinished backup.
fn unfinished_name(entry: &DirEntry) -> Option<OsString> {
    if !entry.file_type().ok()?.is_file() {
        return None;
    }
    let name = entry.file_name().into_string().ok()?;
    let (name, pid) = name.strip_suffix(UNFINISHED)?.strip_suffix('.')?.rsplit_once('.')?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.into())
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
