//! Where a file that is there goes on: behind the last whole line of an export of the same records.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use chappe_actors::log::EventLog;
use chappe_actors::log::record::{Entry, Fact, Position, Record};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_actors::retention::Limits;

use super::export::Wanted;
use super::line::{self, Mark};
use super::{TransferError, io, of_log};

/// So much of the end is read at first; more if the last lines are longer.
const END_BYTES: u64 = 64 * 1024;

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// What comes behind this position is to be written.
    pub(super) after: Position,
    /// So many bytes stay.
    pub(super) keep: u64,
}

/// Finds the place in `file`.
///
/// # Errors
/// [`TransferError::Another`] if it is not an export of the same records of this log.
pub(super) fn place(
    file: &mut File,
    path: &Path,
    log: &mut SqliteLog,
    folder: &Path,
    wanted: Wanted,
) -> Result<Place, TransferError> {
    let another = |why: String| TransferError::Another { path: path.display().to_string(), why };
    let header = wanted.header().line();
    let length = file.metadata().map_err(io(path))?.len();
    let mut beginning = Vec::new();
    file.by_ref().take(header.len() as u64).read_to_end(&mut beginning).map_err(io(path))?;
    if beginning.len() < header.len() && header.as_bytes().starts_with(&beginning) {
        return Ok(Place { after: wanted.after, keep: 0 });
    }
    if beginning != header.as_bytes() {
        let begins = String::from_utf8_lossy(&beginning).into_owned();
        return Err(another(format!("it begins with {begins:?}, and would begin with {header:?}")));
    }
    let mut end = LastLines::read(file, length).map_err(io(path))?;
    if end.last().is_some_and(|line| matches!(Mark::read(line), Some(Mark::ExportEnd { .. }))) {
        end.drop_last();
    }
    let keep = end.until();
    if keep == header.len() as u64 {
        return Ok(Place { after: wanted.after, keep });
    }
    let last = end.last().unwrap_or_default();
    let record = line::read(last).map_err(|bad| another(format!("its last line is none of an export: {bad}")))?;
    let after = record.position;
    let of_this_log = log.record(after).map_err(of_log(folder))?;
    if of_this_log.is_none_or(|of_this_log| of_this_log != record && of_this_log != reduced(record)) {
        return Err(another(format!("the log has another record at position {}", after.0)));
    }
    Ok(Place { after, keep })
}

/// What is left of a record once nothing of it is kept that need not be.
fn reduced(mut record: Record) -> Record {
    let mut limits = Limits::default();
    let mut note = |fact| {
        let entry = Entry { at: record.entry.at, numbered: None, fact };
        limits.note(&Record { position: record.position.next(), entry });
    };
    if let Some((chat, up_to)) = record.entry.numbered {
        note(Fact::Trimmed { chat, up_to, messages: 0 });
    }
    match record.entry.fact {
        Fact::UserCreated { user, .. } | Fact::KeyRegistered { user, .. } | Fact::ReadMarked { user, .. } => {
            note(Fact::UserErased { user });
        }
        _ => {}
    }
    limits.reduce(&mut record);
    record
}

/// The end of a file, as whole lines.
struct LastLines {
    /// Where `bytes` begin in the file.
    from: u64,
    /// They end with a line's end.
    bytes: Vec<u8>,
}

impl LastLines {
    /// At least the last two, if there are two.
    fn read(file: &mut File, length: u64) -> std::io::Result<Self> {
        let mut wanted = END_BYTES;
        loop {
            let from = length.saturating_sub(wanted);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.by_ref().take(length - from).read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(whole);
            // The first of them may be the rest of one.
            if from == 0 || bytes.iter().filter(|byte| **byte == b'\n').count() > 2 {
                return Ok(Self { from, bytes });
            }
            wanted *= 4;
        }
    }

    /// Where they end in the file.
    fn until(&self) -> u64 {
        self.from + self.bytes.len() as u64
    }

    /// The last, without its end.
    fn last(&self) -> Option<&[u8]> {
        self.bytes.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next())
    }

    fn drop_last(&mut self) {
        let length = self.last().map_or(0, |line| line.len() + 1);
        self.bytes.truncate(self.bytes.len() - length);
    }
}

/// The folder that a file stands in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
