//! Lines of JSON into a new log, with the positions, numbers and times that they have. What was cut off goes on behind
//! what is in the log already; a bad line stops it, and all before that line is kept.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use chappe_actors::folder::{Filling, Folder};
use chappe_actors::log::record::{Draft, Fact, Place, Position, Record};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_actors::log::{EventLog, LogError, Numbering};
use chappe_proto::MessageId;

use super::line::{self, BadLine, Mark, VERSION};
use super::{TransferError, io};

/// What the work is called in a folder where it was cut off.
const WORK: &str = "import";
/// No line is longer: a record of 16 MiB, every character of it escaped.
const MAX_LINE: u64 = 100 << 20;
/// So much of the file goes into the log with one commit.
const BATCH_BYTES: usize = 1 << 20;

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// How many records the log has.
    pub records: u64,
    /// How many of them an import that was cut off had put there.
    pub before: u64,
}

/// Puts what `from` holds into an empty data folder; the new log is of this `epoch`. `total` bytes are told with the
/// progress.
///
/// # Errors
/// [`TransferError`]. The folder is no server's then; the same again goes on.
pub fn import(
    from: impl Read,
    path: &Path,
    folder: &Path,
    epoch: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, TransferError> {
    let mut lines =
        Lines { from: BufReader::with_capacity(1 << 20, from), path, line: Vec::new(), number: 0, bytes: 0 };
    // Before anything is made.
    lines.next()?;
    if let Err(bad) = begins(&lines.line) {
        return Err(lines.bad(bad));
    }
    let filling = Folder::fill(folder, WORK)?;
    let mut sink = Sink::open(&filling, epoch)?;
    let before = sink.last.0;
    let done = sink.take_all(&mut lines, progress);
    // Also what came before a bad line.
    sink.commit()?;
    done?;
    let records = sink.at.0;
    sink.log.flush().map_err(|source| filling.folder.log_error(source))?;
    drop(sink);
    filling.finish()?;
    Ok(Imported { records, before })
}

fn begins(line: &[u8]) -> Result<(), BadLine> {
    let bad = |text: String| Err(BadLine::BadHeader(text));
    match Mark::read(line) {
        Some(Mark::Export { version: VERSION, after: 0, chat_id: None }) => Ok(()),
        Some(Mark::Export { version, .. }) if version != VERSION => {
            bad(format!("the export has form {version}, and this version of chappe reads {VERSION}"))
        }
        Some(Mark::Export { .. }) => {
            bad("the export has only a part of the log: export without --chat and --after".to_owned())
        }
        _ => {
            let first = Mark::Export { version: VERSION, after: 0, chat_id: None }.line();
            bad(format!("the first line of an export is {}", first.trim_end()))
        }
    }
}

/// The lines of a file, one at a time.
struct Lines<'a, R> {
    from: BufReader<R>,
    path: &'a Path,
    /// Without its end.
    line: Vec<u8>,
    number: u64,
    bytes: u64,
}

impl<R: Read> Lines<'_, R> {
    /// Reads the next. There has to be one: an export has a last line.
    fn next(&mut self) -> Result<(), TransferError> {
        if self.read()? { Ok(()) } else { Err(self.bad(BadLine::CutShort)) }
    }

    /// Reads the next; `false` where there is nothing more.
    fn read(&mut self) -> Result<bool, TransferError> {
        self.line.clear();
        self.number += 1;
        let read = self.from.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line).map_err(io(self.path))?;
        self.bytes += read as u64;
        match self.line.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) if read as u64 == MAX_LINE => Err(self.bad(BadLine::TooLong(MAX_LINE))),
            Some(_) => Err(self.bad(BadLine::CutShort)),
        }
    }

    fn bad(&self, bad: BadLine) -> TransferError {
        TransferError::Line { path: self.path.display().to_string(), number: self.number, bad }
    }
}

/// The log that is being filled.
struct Sink<'a> {
    filling: &'a Filling,
    log: SqliteLog,
    /// Numbers as the log does, from the first line on.
    numbering: Numbering,
    /// Where it ended when this began.
    last: Position,
    /// Up to here lines were read.
    at: Position,
    /// Records that were there, read ahead.
    there: VecDeque<Record>,
    batch: Vec<Draft>,
    batch_bytes: usize,
}

impl<'a> Sink<'a> {
    fn open(filling: &'a Filling, epoch: u64) -> Result<Self, TransferError> {
        let mut log = filling.folder.open_log(epoch)?;
        filling.folder.read_log(&mut log, Numbering::default(), |_| {})?;
        let (last, numbering) = (log.head(), Numbering::default());
        let (there, batch) = (VecDeque::new(), Vec::new());
        Ok(Self { filling, log, numbering, last, at: Position::default(), there, batch, batch_bytes: 0 })
    }

    fn log_error(&self, source: LogError) -> TransferError {
        self.filling.folder.log_error(source).into()
    }

    fn take_all(
        &mut self,
        lines: &mut Lines<'_, impl Read>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), TransferError> {
        loop {
            lines.next()?;
            if let Some(mark) = Mark::read(&lines.line) {
                let end = Mark::ExportEnd { position: self.at.0 };
                if mark != end {
                    let text = format!("if it is the last line, it is {}", end.line().trim_end());
                    return Err(lines.bad(BadLine::BadEvent(text)));
                }
                if self.at < self.last {
                    return Err(lines.bad(BadLine::Differs(self.at.next().0)));
                }
                return if lines.read()? { Err(lines.bad(BadLine::BehindTheEnd)) } else { Ok(()) };
            }
            let record =
                line::read(&lines.line).and_then(|record| self.number(record)).map_err(|bad| lines.bad(bad))?;
            if record.position <= self.last {
                let there = self.there(record.position)?;
                if there.as_ref() != Some(&record) {
                    return Err(lines.bad(BadLine::Differs(record.position.0)));
                }
            } else {
                self.batch.push(line::draft(&record));
                self.batch_bytes += lines.line.len();
                if self.batch_bytes >= BATCH_BYTES {
                    self.commit()?;
                }
            }
            self.at = record.position;
            progress(lines.bytes);
        }
    }

    /// Whether the record is the next one, and will get the numbers that it has.
    fn number(&mut self, record: Record) -> Result<Record, BadLine> {
        let expected = self.at.next();
        if record.position != expected {
            return Err(BadLine::OutOfOrder { expected: expected.0, found: record.position.0 });
        }
        let draft = line::draft(&record);
        if let Place::Chat(chat) = draft.place
            && self.numbering.seq(chat).0 == 0
        {
            return Err(BadLine::Unknown(format!("chat {chat}")));
        }
        if let Fact::ReadMarked { chat, seq, .. } | Fact::Trimmed { chat, up_to: seq, .. } = &record.entry.fact
            && *seq > self.numbering.seq(*chat)
        {
            return Err(BadLine::Unknown(format!("event {seq} of chat {chat}")));
        }
        let later = |message: &MessageId| message.get() >= record.position.0;
        if let Some(message) = refers_to(&record.entry.fact).filter(later) {
            return Err(BadLine::Unknown(format!("message {message}")));
        }
        let mark = self.numbering.mark(std::slice::from_ref(&draft));
        let numbered = self.numbering.number(draft);
        if numbered == record {
            return Ok(record);
        }
        self.numbering.restore(mark);
        let next = numbered.entry.numbered.map(|(chat, seq)| format!("chat {chat}, {seq}")).unwrap_or_default();
        Err(BadLine::WrongNumber(next))
    }

    /// The record that an earlier import put there.
    fn there(&mut self, at: Position) -> Result<Option<Record>, TransferError> {
        if self.there.is_empty() {
            let page = self.log.page(Position(at.0.saturating_sub(1)), BATCH_BYTES);
            self.there = page.map_err(|source| self.log_error(source))?.into();
        }
        Ok(self.there.pop_front())
    }

    fn commit(&mut self) -> Result<(), TransferError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let done = self.log.append(batch).and_then(|_| self.log.maintain());
        done.map_err(|source| self.log_error(source))
    }
}

/// The message that a fact is about.
fn refers_to(fact: &Fact) -> Option<MessageId> {
    match fact {
        Fact::MessageEdited { message, .. } | Fact::MessageDeleted { message, .. } | Fact::Reacted { message, .. } => {
            Some(*message)
        }
        Fact::MessagePosted { reply_to, .. } | Fact::SignedMessagePosted { reply_to, .. } => *reply_to,
        _ => None,
    }
}
