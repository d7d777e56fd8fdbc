//! The log, or what a chat has of it, as lines of JSON. The log is only read, in short transactions: a server may be
//! using it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chappe_actors::folder::open_beside;
use chappe_actors::log::record::{Entry, Fact, Position, Record};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_proto::ChatId;

use super::line::{self, Mark, VERSION};
use super::{TransferError, io, of_log, resume};

/// So much of the log is read at once.
const PAGE_BYTES: usize = 1 << 20;

/// Which records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Those behind this position.
    pub after: Position,
    /// Only those of this chat.
    pub chat: Option<ChatId>,
}

impl Wanted {
    /// The first line.
    pub fn header(&self) -> Mark {
        Mark::Export { version: VERSION, after: self.after.0, chat_id: self.chat }
    }

    fn has(&self, Entry { numbered, fact, .. }: &Entry) -> bool {
        let of = match fact {
            Fact::ReadMarked { chat, .. } | Fact::Trimmed { chat, .. } => Some(*chat),
            _ => numbered.map(|(chat, _)| chat),
        };
        self.chat.is_none() || of == self.chat
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// How many records.
    pub records: u64,
    /// The position behind which they are: later than asked for if a file was continued.
    pub after: Position,
    /// The last position of the log when it began.
    pub head: Position,
}

/// Writes to the file `to`, or goes on where it ends: what was cut off there is taken off. It is for its owner's eyes only.
///
/// # Errors
/// [`TransferError`]. What stands in the file then can be continued.
pub fn to_file(
    folder: &Path,
    wanted: Wanted,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, TransferError> {
    let mut log = open_beside(folder)?;
    // Before it is opened: a pipe would be waited for.
    may_be_written(to)?;
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = open.open(to).map_err(io(to))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let why = "another export is writing it".to_owned();
            return Err(TransferError::Another { path: to.display().to_string(), why });
        }
        Err(TryLockError::Error(source)) => return Err(io(to)(source)),
    }
    let place = resume::place(&mut file, to, &mut log, folder, wanted)?;
    file.set_len(place.keep).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io(to))?;
    if place.keep == 0 {
        file.write_all(wanted.header().line().as_bytes()).map_err(io(to))?;
    }
    let done = records(&mut log, folder, wanted, place.after, to, &mut file, progress)?;
    file.sync_all().and_then(|()| File::open(resume::folder_of(to))?.sync_all()).map_err(io(to))?;
    Ok(done)
}

/// Refuses what is no file, and a file that others can read: all messages are to stand in it.
fn may_be_written(to: &Path) -> Result<(), TransferError> {
    let another = |why: String| TransferError::Another { path: to.display().to_string(), why };
    let there = match std::fs::metadata(to) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io(to)(source)),
    };
    if !there.is_file() {
        return Err(another("it is no regular file; without a file, the export goes to stdout".to_owned()));
    }
    if there.uid() != rustix::process::geteuid().as_raw() {
        return Err(another("it belongs to another user, who can read it".to_owned()));
    }
    let mode = there.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(another(format!("others can read or write it (mode {mode:o}): chmod 600 makes it yours alone")));
    }
    Ok(())
}

/// Writes to a stream, from the beginning of what is wanted.
///
/// # Errors
/// [`TransferError`].
pub fn to_stream(
    folder: &Path,
    wanted: Wanted,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, TransferError> {
    let stream = Path::new("stdout");
    let mut log = open_beside(folder)?;
    out.write_all(wanted.header().line().as_bytes()).map_err(io(stream))?;
    let done = records(&mut log, folder, wanted, wanted.after, stream, out, progress)?;
    out.flush().map_err(io(stream))?;
    Ok(done)
}

fn records(
    log: &mut SqliteLog,
    folder: &Path,
    wanted: Wanted,
    after: Position,
    path: &Path,
    out: &mut impl Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, TransferError> {
    let failed = of_log(folder);
    let head = log.last().map_err(&failed)?;
    let mut done = Exported { records: 0, after, head };
    let (mut at, mut lines) = (after, Vec::new());
    while at < head {
        let page = log.page(at, PAGE_BYTES).map_err(&failed)?;
        if page.is_empty() {
            break;
        }
        lines.clear();
        for record in page.into_iter().take_while(|record| record.position <= head) {
            at = record.position;
            if wanted.has(&record.entry) {
                put(record, &mut lines).map_err(io(path))?;
                done.records += 1;
            }
        }
        out.write_all(&lines).map_err(io(path))?;
        progress(at.0, head.0);
    }
    out.write_all(Mark::ExportEnd { position: head.0 }.line().as_bytes()).map_err(io(path))?;
    Ok(done)
}

/// Appends the line of a record.
fn put(record: Record, lines: &mut Vec<u8>) -> std::io::Result<()> {
    let position = record.position.0;
    if line::write(record, lines) {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("the record at position {position} has no form in JSON")))
    }
}
