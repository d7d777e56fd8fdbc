//! Making a backup, beside a running server or without one.
//!
//! The log is read in slices of about 256 KiB, each in a read transaction of its own, from the first record to the one that
//! was the last when it began: a reader that stands in one place keeps the write-ahead file from beginning anew, and it
//! would grow for as long as the backup takes. What is read never changes under it, for the log is only appended to.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use chappe_proto::Millis;
use rustix::fs::{Advice, fadvise};

use super::format::{Block, Writer};
use super::pace::Pace;
use super::target::Target;
use super::{BackupError, Contents, Doing, Progress, check, io};
use crate::accounts::store;
use crate::folder::{Use, in_use, open_beside};
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError};

/// So much is read at once, and put into one block.
const SLICE_BYTES: usize = 256 << 10;
/// The file goes to the disk in pieces of this size: a large one at the end would keep the log's commits waiting.
const SYNC_BYTES: u64 = 1 << 20;

/// What a backup is made of, and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The data folder.
    pub folder: &'a Path,
    /// Small files in it that belong to it, if they are there.
    pub files: &'a [&'a str],
    /// The backup. One that is there is replaced, once this is whole.
    pub to: &'a Path,
    /// The time.
    pub now: Millis,
}

/// Makes a backup, reads it back from the disk, and only then gives it its name.
///
/// # Errors
/// [`BackupError`]. An earlier backup of that name is still there then.
pub fn take(order: Order<'_>, progress: Progress<'_>) -> Result<Contents, BackupError> {
    let Order { folder, files, to, now } = order;
    let mut pace = Pace::new(in_use(folder)? != Use::Free);
    let mut log = open_beside(folder)?;
    let of_log = |source| BackupError::Log { folder: folder.display().to_string(), source };
    let (head, epoch) = (log.last().map_err(of_log)?, log.epoch());
    let target = Target::begin(to)?;
    let unfinished = target.unfinished.clone();
    let failed = io(&unfinished);
    let mut out = Writer::begin(&target.file).map_err(&failed)?;
    out.block(&Block::Header { epoch, head, created: now }).map_err(&failed)?;
    let mut synced = 0;
    let (mut at, mut slice) = (Position::default(), Vec::new());
    while at < head {
        let count = read_slice(&mut log, at, head, &mut slice).map_err(of_log)?;
        out.block(&Block::Records { first: at.next(), count, bytes: &slice }).map_err(&failed)?;
        at = at.plus(count);
        if out.bytes() - synced >= SYNC_BYTES {
            out.file().sync_data().map_err(&failed)?;
            synced = out.bytes();
        }
        progress(Doing::Copying, at.0, head.0);
        pace.rest();
    }
    drop(log);
    let scratch = target.scratch();
    if store::copy(folder, &scratch)? {
        put_file(&mut out, store::FILE, &scratch)?;
        std::fs::remove_file(&scratch).map_err(io(&scratch))?;
    }
    for name in files {
        put_file(&mut out, name, &folder.join(name))?;
    }
    out.end(head.0).map_err(&failed)?;
    target.file.sync_all().map_err(&failed)?;
    // What is read back shall come from the disk, and not from where it was put a moment ago. No promise, so no failure.
    let _ = fadvise(&target.file, 0, None, Advice::DontNeed);
    let contents = check(&unfinished, &mut |doing, done, total| {
        progress(doing, done, total);
        pace.rest();
    })?;
    target.finish()?;
    Ok(contents)
}

/// Reads about a slice's worth of records behind `at` into `slice`; how many they are.
fn read_slice(log: &mut SqliteLog, at: Position, head: Position, slice: &mut Vec<u8>) -> Result<u64, LogError> {
    slice.clear();
    let mut found = 0;
    log.visit_rows(at, head, |_, count, bytes| {
        slice.extend_from_slice(bytes);
        found += count;
        Ok(slice.len() < SLICE_BYTES)
    })?;
    // They were there when the backup began.
    if found == 0 { Err(LogError::Missing { after: at.0, found: 0 }) } else { Ok(found) }
}

/// Puts a file into the backup, if it is there.
fn put_file(out: &mut Writer<&File>, name: &str, path: &Path) -> Result<(), BackupError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io(path)(source)),
    };
    let mut bytes = Vec::new();
    let mut parts = 0;
    loop {
        bytes.clear();
        file.by_ref().take(SLICE_BYTES as u64).read_to_end(&mut bytes).map_err(io(path))?;
        // An empty file is one as well.
        if bytes.is_empty() && parts > 0 {
            return Ok(());
        }
        out.block(&Block::File { name, bytes: &bytes }).map_err(io(path))?;
        parts += 1;
    }
}
