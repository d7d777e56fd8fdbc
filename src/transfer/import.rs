//! Lines of JSON into a new log, with the positions, numbers and times that they have. What was cut off goes on behind
//! what is in the log already; a bad line stops it, and all before that line is kept. A line is bad that no server would
//! have written there.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use chappe_actors::bounds;
use chappe_actors::folder::{Filling, Folder};
use chappe_actors::log::record::{Draft, Fact, Place, Position, Record};
use chappe_actors::log::rules::{Posted, Rules};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_actors::log::{EventLog, LogError, Numbering};
use chappe_proto::limits::Limits;
use chappe_proto::{Code, MessageId};

use super::line::{self, BadLine, Mark, VERSION};
use super::{TransferError, io};

/// What the work is called in a folder where it was cut off.
const WORK: &str = "import";
/// No line is longer: a record of 16 MiB, every character of it escaped.
const MAX_LINE: u64 = 100 << 20;
/// So much of the file goes into the log with one commit.
const BATCH_BYTES: usize = 1 << 20;
/// So many records are remembered, as far as they are messages: most changes are of one of these. It is more than a commit
/// has, whose lines have some fifty bytes at least.
const RECENT: usize = 1 << 16;

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// How many records the log has.
    pub records: u64,
    /// How many of them an import that was cut off had put there.
    pub before: u64,
}

/// A folder that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The data folder, which is empty or not there.
    pub folder: &'a Path,
    /// The new log's.
    pub epoch: u64,
    /// What the server has that will run there.
    pub limits: &'a Limits,
}

/// Puts what `from` holds into an empty data folder. The bytes that were read are told with the progress.
///
/// # Errors
/// [`TransferError`]. The folder is no server's then; the same again goes on.
pub fn import(
    from: impl Read,
    path: &Path,
    target: Target<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, TransferError> {
    let mut lines =
        Lines { from: BufReader::with_capacity(1 << 20, from), path, line: Vec::new(), number: 0, bytes: 0 };
    // Before anything is made.
    lines.next()?;
    if let Err(bad) = begins(&lines.line) {
        return Err(lines.bad(bad));
    }
    let filling = Folder::fill(target.folder, WORK)?;
    let mut sink = Sink::open(&filling, target)?;
    let before = sink.last.0;
    let done = sink.take_all(&mut lines, progress);
    // Also what came before a bad line.
    sink.commit()?;
    done?;
    let end = sink.at;
    sink.log.flush().map_err(|source| filling.folder.log_error(source))?;
    drop(sink);
    read_back(&filling.folder, target.epoch, end)?;
    filling.finish()?;
    Ok(Imported { records: end.0, before })
}

/// Reads the new log as a start does: what cannot be read is not there.
fn read_back(folder: &Folder, epoch: u64, end: Position) -> Result<(), TransferError> {
    let mut log = folder.open_log(epoch)?;
    let torn = folder.read_log(&mut log, Numbering::default(), |_| {})?;
    if torn.is_some() || log.head() != end {
        return Err(folder.log_error(LogError::Missing { after: log.head().0, found: 0 }).into());
    }
    Ok(())
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
    limits: &'a Limits,
    log: SqliteLog,
    /// Numbers as the log does, from the first line on.
    numbering: Numbering,
    /// What the lines so far have told.
    rules: Rules,
    /// The last records, up to `at`: where each stands that is a message.
    recent: VecDeque<Option<Posted>>,
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
    fn open(filling: &'a Filling, Target { epoch, limits, .. }: Target<'a>) -> Result<Self, TransferError> {
        let mut log = filling.folder.open_log(epoch)?;
        filling.folder.read_log(&mut log, Numbering::default(), |_| {})?;
        Ok(Self {
            filling,
            limits,
            last: log.head(),
            log,
            numbering: Numbering::default(),
            rules: Rules::default(),
            recent: VecDeque::new(),
            at: Position::default(),
            there: VecDeque::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        })
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
            let about = match Rules::refers_to(&record.entry.fact) {
                Some(message) => self.posted(message)?,
                None => None,
            };
            self.rules.take(&record, about).map_err(|broken| lines.bad(broken.into()))?;
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
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Posted::of(&record));
            progress(lines.bytes);
        }
    }

    /// Whether the record is the next one, says what it may, and will get the numbers that it has.
    fn number(&mut self, record: Record) -> Result<Record, BadLine> {
        let expected = self.at.next();
        if record.position != expected {
            return Err(BadLine::OutOfOrder { expected: expected.0, found: record.position.0 });
        }
        bounds::record(&record, self.limits).map_err(|reject| {
            let is_setting = reject.code == Code::TooLarge && has_content(&record.entry.fact);
            let whose = if is_setting { " (limits.content_bytes, as the server has it: --config)" } else { "" };
            BadLine::BadEvent(format!("{}{whose}", reject.message))
        })?;
        let draft = line::draft(&record);
        if let Place::Chat(chat) = draft.place
            && self.numbering.seq(chat).0 == 0
        {
            return Err(BadLine::Unknown(format!("chat {chat}")));
        }
        let numbered = self.numbering.number(draft);
        if numbered == record {
            return Ok(record);
        }
        let next = numbered.entry.numbered.map(|(chat, seq)| format!("chat {chat}, {seq}")).unwrap_or_default();
        Err(BadLine::WrongNumber(next))
    }

    /// The message that was posted under an id, in a line before this one.
    fn posted(&mut self, message: MessageId) -> Result<Option<Posted>, TransferError> {
        let Some(back) = self.at.0.checked_sub(message.get()).and_then(|back| usize::try_from(back).ok()) else {
            return Ok(None);
        };
        if back < self.recent.len() {
            return Ok(self.recent.get(self.recent.len() - 1 - back).copied().flatten());
        }
        let record = self.log.record(Position(message.get())).map_err(|source| self.log_error(source))?;
        Ok(record.as_ref().and_then(Posted::of))
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

fn has_content(fact: &Fact) -> bool {
    fact.is_post() || matches!(fact, Fact::MessageEdited { .. })
}
