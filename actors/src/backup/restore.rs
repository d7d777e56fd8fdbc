//! Making a data folder of a backup. Everything is checked before anything is made, and the folder is no server's before
//! all of it is on disk and was read as a start reads it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256, digest};
use chappe_proto::Millis;

use super::check::read;
use super::format::Block;
use super::{BackupError, Contents, Doing, Progress, check, damaged, io};
use crate::accounts::store;
use crate::folder::{Filling, Folder};
use crate::log::sqlite;
use crate::log::sqlite::refill::Refill;
use crate::log::{LogError, Numbering};

/// What the work is called in a folder where it was cut off.
const WORK: &str = "restore";

/// Makes a data folder of the backup in `from`, with those of its files that are among `files`. The log begins a new
/// epoch, for clients may have seen what came behind the backup's end.
///
/// # Errors
/// [`BackupError`]. The folder is no server's then; the same again begins anew.
pub fn restore(
    from: &Path,
    folder: &Path,
    files: &[&str],
    now: Millis,
    progress: Progress<'_>,
) -> Result<Contents, BackupError> {
    let contents = check(from, progress)?;
    let known = |name: &str| name == store::FILE || files.contains(&name);
    if let Some(unknown) = contents.files.iter().find(|name| !known(name)) {
        return Err(damaged(from, format!("it has a file {unknown:?}, which is none of chappe's")));
    }
    let filling = Folder::fill(folder, WORK)?;
    remove_begun(folder, files)?;
    // The time, as a new log has it: of two restores of one backup, each is a log of its own.
    let epoch = now.0.max(contents.epoch.saturating_add(1));
    let of_log = |source: LogError| BackupError::from(filling.folder.log_error(source));
    let mut log = Refill::begin(folder, epoch).map_err(of_log)?;
    let mut restored: Vec<(String, Context)> = Vec::new();
    let put = |block: &Block<'_>| {
        match block {
            Block::Records { first, count, bytes } => {
                log.append(*first, *count, bytes).map_err(of_log)?;
                progress(Doing::Restoring, first.0 + count - 1, contents.head.0);
            }
            Block::File { name, bytes } => {
                let is_new = restored.last().is_none_or(|(last, _)| last != name);
                append(&folder.join(name), bytes, is_new)?;
                if is_new {
                    restored.push(((*name).to_owned(), Context::new(&SHA256)));
                }
                restored.iter_mut().last().into_iter().for_each(|(_, sum)| sum.update(bytes));
            }
            Block::Header { .. } | Block::End { .. } => {}
        }
        Ok(())
    };
    // It is checked once more on the way: what was checked a moment ago may be another file by now.
    if read(from, put, |_, _| {})? != contents {
        return Err(damaged(from, "it was changed while it was read"));
    }
    log.finish().map_err(of_log)?;
    read_back(&filling, epoch, &contents, progress)?;
    for (name, sum) in restored {
        let path = folder.join(name);
        let there = std::fs::read(&path).map_err(io(&path))?;
        if digest(&SHA256, &there).as_ref() != sum.finish().as_ref() {
            let another = "somebody else has written to it meanwhile: run the restore again";
            return Err(io(&path)(std::io::Error::other(another)));
        }
    }
    filling.finish()?;
    Ok(Contents { epoch, ..contents })
}

/// Removes what a restore that was cut off has made.
fn remove_begun(folder: &Path, files: &[&str]) -> Result<(), BackupError> {
    for name in [sqlite::FILE, store::FILE].iter().chain(files) {
        for suffix in ["", "-wal", "-shm"] {
            let path = folder.join(format!("{name}{suffix}"));
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&path)(error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Appends to a file that nobody else can read. Its first part makes it: one that is there is somebody else's.
fn append(path: &Path, bytes: &[u8], is_new: bool) -> Result<(), BackupError> {
    let file = OpenOptions::new().create_new(is_new).append(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(io(path))
}

/// Reads the new log as a start does.
fn read_back(filling: &Filling, epoch: u64, contents: &Contents, progress: Progress<'_>) -> Result<(), BackupError> {
    let folder = &filling.folder;
    let mut log = folder.open_log(epoch)?;
    let torn = folder.read_log(&mut log, Numbering::default(), |record| {
        if record.position.0.is_multiple_of(4096) {
            progress(Doing::Reading, record.position.0, contents.head.0);
        }
    })?;
    if torn.is_some() || log.head() != contents.head {
        let source = LogError::Missing { after: log.head().0, found: 0 };
        return Err(folder.log_error(source).into());
    }
    Ok(())
}
