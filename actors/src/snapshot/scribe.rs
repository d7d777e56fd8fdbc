//! Writes snapshots, on a thread of its own: it asks the cache actor for one slice after the other, each between two
//! other messages, so that nobody waits for more than one.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use actix::prelude::*;

use super::names_file::NamesFile;
use super::{Beginning, End, FILE, UNFINISHED, VERSION, blocks};
use crate::folder;
use crate::log::record::Position;
use crate::state::names::Name;
use crate::state::slices::Cursor;

/// A snapshot is taken once so many records came behind the last one: a start reads them in some 0.2 s.
const EVERY_RECORDS: u64 = 250_000;
/// And once the log grew by so many records for so many bytes of the last one: writing it stays a small share.
const BYTES_A_RECORD: u64 = 32;

/// The next slice, please.
///
/// From: the scribe, one at a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct NextSlice(pub Cursor, pub SyncSender<Slice>);

/// What the scribe gets.
#[derive(Debug)]
pub struct Slice {
    /// A slice of the state.
    pub bytes: Vec<u8>,
    /// Where the next one is.
    pub next: Option<Cursor>,
    /// Where the log stood when it was taken.
    pub at: Position,
    /// The newest chat there had been.
    pub last_chat: u64,
    /// With the last one: the names that were not handed out yet.
    pub names: Vec<Name>,
}

#[derive(Debug)]
enum Job {
    /// There are new names.
    Names,
    /// The log has come so far.
    Grown(Position),
    /// Where slices come from, and the log's epoch.
    Source(Recipient<NextSlice>, u64),
    /// The one that is there is not to be kept.
    Anew(SyncSender<io::Result<()>>),
    /// A last snapshot, and the end.
    Finish,
    /// The end.
    Abandon,
}

/// Tells the scribe what there is. What it does not get to is not lost: it stands in the log.
#[derive(Debug, Clone)]
pub struct ToScribe {
    jobs: Sender<Job>,
    /// Names have a way of their own: those that came before the last slice belong to the snapshot.
    names: Sender<Vec<Name>>,
}

impl ToScribe {
    /// These names are new.
    pub fn names(&self, names: Vec<Name>) {
        // As below.
        let _ = self.names.send(names);
        self.tell(Job::Names);
    }

    /// The log has come so far: perhaps it is time for a snapshot.
    pub fn grown(&self, head: Position) {
        self.tell(Job::Grown(head));
    }

    /// The snapshot that is there says what is not to be kept: it is removed, and another one written. Answered when that is
    /// done; not at all if the server ends.
    pub fn anew(&self) -> Receiver<io::Result<()>> {
        let (answer, done) = sync_channel(1);
        self.tell(Job::Anew(answer));
        done
    }

    /// Slices are to be had there, of a state whose log has this `epoch` from now on.
    pub fn source(&self, slices: Recipient<NextSlice>, epoch: u64) {
        self.tell(Job::Source(slices, epoch));
    }

    fn tell(&self, job: Job) {
        // It has ended only if the server ends.
        let _ = self.jobs.send(job);
    }
}

/// The thread.
#[derive(Debug)]
pub struct Scribe {
    to: ToScribe,
    thread: JoinHandle<()>,
}

impl Scribe {
    /// Starts it. `last` is the snapshot that was loaded, for the log of this `epoch`: where that stood then, and how
    /// large it is.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(folder: PathBuf, epoch: u64, names: NamesFile, last: (Position, u64)) -> io::Result<Self> {
        let (to_jobs, jobs) = channel();
        let (to_names, new_names) = channel();
        let (written, bytes) = last;
        let desk =
            Desk { folder, epoch, names, new_names, waiting: Vec::new(), written, tried: written, bytes, source: None };
        let thread = std::thread::Builder::new().name("chappe-snapshot".to_owned()).spawn(move || desk.run(&jobs))?;
        Ok(Self { to: ToScribe { jobs: to_jobs, names: to_names }, thread })
    }

    /// The way to it.
    pub fn link(&self) -> ToScribe {
        self.to.clone()
    }

    /// Takes a last snapshot, if there is something new, and ends the thread.
    pub fn finish(self) {
        self.end(Job::Finish);
    }

    /// Ends the thread.
    pub fn abandon(self) {
        self.end(Job::Abandon);
    }

    fn end(self, last: Job) {
        self.to.tell(last);
        // It can only fail by a panic; the log is there without a snapshot.
        let _ = self.thread.join();
    }
}

struct Desk {
    folder: PathBuf,
    epoch: u64,
    names: NamesFile,
    new_names: Receiver<Vec<Name>>,
    /// Names that the disk did not take yet.
    waiting: Vec<Vec<Name>>,
    /// Where the log stood when the last snapshot was begun that is there now, and how large it is.
    written: Position,
    bytes: u64,
    /// Where the log stood when the last was begun.
    tried: Position,
    source: Option<Recipient<NextSlice>>,
}

impl Desk {
    fn run(mut self, jobs: &Receiver<Job>) {
        if let Err(error) = rustix::process::nice(10) {
            tracing::debug!(%error, "lower the priority of snapshots");
        }
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Names => {
                    if let Err(error) = self.write_names() {
                        tracing::debug!(%error, "write names; they are tried again with the next");
                    }
                }
                Job::Grown(head) if self.is_time(head) => {
                    // Whatever becomes of it: the next is due when the log has grown as much again.
                    self.tried = head;
                    self.take(None);
                }
                Job::Anew(answer) => {
                    let removed = super::remove_last(&self.folder);
                    if removed.is_ok() {
                        self.take(None);
                    }
                    // The one who asked may have ended.
                    let _ = answer.send(removed);
                }
                Job::Grown(_) => {}
                Job::Source(source, epoch) => {
                    if epoch != self.epoch {
                        (self.epoch, self.written, self.tried) = (epoch, Position::default(), Position::default());
                    }
                    self.source = Some(source);
                }
                Job::Finish => return self.take(Some(self.written)),
                Job::Abandon => return,
            }
        }
    }

    fn is_time(&self, head: Position) -> bool {
        head.0.saturating_sub(self.tried.0) >= EVERY_RECORDS.max(self.bytes / BYTES_A_RECORD)
    }

    fn take(&mut self, unless_at: Option<Position>) {
        match self.write(unless_at) {
            Ok(Some((position, bytes))) => {
                (self.written, self.bytes) = (position, bytes);
                tracing::debug!(position = position.0, bytes, "wrote a snapshot");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "write a snapshot: the next start reads more of the log"),
        }
    }

    /// Writes a snapshot, unless the log still stands there; of which position it is, and how large. `None` also if there
    /// is nobody to ask any more.
    fn write(&mut self, unless_at: Option<Position>) -> io::Result<Option<(Position, u64)>> {
        let Some(source) = self.source.clone() else { return Ok(None) };
        let unfinished = self.folder.join(UNFINISHED);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        blocks::write(0, &Beginning { version: VERSION, epoch: self.epoch }.bytes(), &mut file)?;
        let (mut cursor, mut begun) = (Cursor::default(), None);
        for number in 1.. {
            let (answer, slice) = sync_channel(1);
            source.do_send(NextSlice(cursor, answer));
            let Ok(Slice { bytes, next, at, last_chat, names }) = slice.recv() else { return Ok(None) };
            let from = *begun.get_or_insert(at);
            if unless_at == Some(from) {
                fs::remove_file(unfinished)?;
                return Ok(None);
            }
            blocks::write(number, &bytes, &mut file)?;
            if let Some(next) = next {
                cursor = next;
                continue;
            }
            self.waiting.push(names);
            self.write_names()?;
            self.names.sync()?;
            let (names_bytes, names) = self.names.extent();
            blocks::write(number + 1, &End { from, until: at, last_chat, names_bytes, names }.bytes(), &mut file)?;
            break;
        }
        file.flush()?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        fs::rename(&unfinished, self.folder.join(FILE))?;
        folder::flush(&self.folder)?;
        Ok(begun.map(|from| (from, bytes)))
    }

    /// Writes all names that were handed over until now.
    fn write_names(&mut self) -> io::Result<()> {
        self.waiting.extend(self.new_names.try_iter());
        while let Some(run) = self.waiting.first_mut() {
            self.names.append(run)?;
            self.waiting.remove(0);
        }
        Ok(())
    }
}
