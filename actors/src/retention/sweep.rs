//! The thread that sees to it that what is not kept goes: it looks which messages are past their time and has the state say
//! so, and has the log rewritten without what was said to go. It takes only what nobody else wants of the machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::prelude::*;
use chappe_proto::{ChatId, Millis, UserId};

use super::{Retention, requests};
use crate::clock::Clock;
use crate::folder::remove_torn_ends;
use crate::history::tables::Limited;
use crate::history::{History, tables};
use crate::log::compact::Compaction;
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{LogError, checkpoint};
use crate::map::Map;
use crate::persist::{Replace, Scrub};
use crate::snapshot;
use crate::snapshot::scribe::ToScribe;
use crate::state::retention::{Erasure, Kept, Trim};

/// How often it is looked whether something was erased, or is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long it is left alone when the disk refused.
const RETRY: Duration = Duration::from_secs(30);
/// Between two looks into chats, and at least between two steps of rewriting: the disk is others' as well.
const PAUSE: Duration = Duration::from_millis(10);
/// After a step of rewriting so many times as long as it took, for meanwhile the log's writer commits nothing else.
const RESTS: u32 = 9;
/// Messages of a chat looked at in one go; the rest have their turn the next time.
const LOOKED_AT: u64 = 5000;
const PAGE: usize = 500;
/// Between two looks whether the query tables know of an erasure.
const TABLES_LOOK: Duration = Duration::from_millis(50);
/// After so many of them, a minute and a half, it should be in the log, if the disk took it.
const COMMIT_LOOKS: u32 = 1800;
/// How often it is tried to leave nothing in the write-ahead file: a reader may stand in the way.
const TRIES: u32 = 100;
/// The file that says how far what the log says of what goes was carried out.
pub const FILE: &str = "compacted";

/// What do chats keep, from this id on?
///
/// From: the sweep, one at a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GetKept(pub u64, pub SyncSender<(Vec<Kept>, Option<u64>)>);

/// These go.
///
/// From: the sweep, after it has asked what is kept.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TrimChats(pub Vec<Trim>);

/// This user is to be erased. Answered whether that is on its way.
///
/// From: the sweep, one at a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EraseUser(pub UserId, pub SyncSender<Erasure>);

/// Whom it speaks to.
#[derive(Debug, Clone)]
pub struct Links {
    /// The cache actor, which says what chats keep.
    pub kept: Recipient<GetKept>,
    /// The same, which has them keep less.
    pub trim: Recipient<TrimChats>,
    /// The same, which erases users.
    pub erase: Recipient<EraseUser>,
    /// The log's writer.
    pub replace: Recipient<Replace>,
    /// The same.
    pub scrub: Recipient<Scrub>,
    /// Where snapshots are written.
    pub scribe: ToScribe,
}

/// The thread.
#[derive(Debug)]
pub struct Sweep {
    /// Dropped to end it.
    _stay: Sender<()>,
    thread: JoinHandle<()>,
}

impl Sweep {
    /// Starts it.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(folder: &Path, retention: Retention, clock: Clock, links: Links) -> std::io::Result<Self> {
        let (stay, stopped) = channel();
        let work = Work {
            folder: folder.to_owned(),
            retention,
            clock,
            links,
            stopped,
            due: Map::default(),
            ended: BTreeSet::new(),
        };
        let thread = std::thread::Builder::new().name("chappe-retain".to_owned()).spawn(move || work.run())?;
        Ok(Self { _stay: stay, thread })
    }

    /// Ends it, whatever is left to do.
    pub fn stop(self) {
        drop(self._stay);
        // It can only fail by a panic: something was left undone, that is all.
        let _ = self.thread.join();
    }
}

/// Why it does not go on.
enum Halt {
    /// The server ends.
    Stopped,
    /// The disk refuses, or something is damaged.
    Failed(LogError),
}

impl From<std::io::Error> for Halt {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(LogError::Failed(error.to_string()))
    }
}

impl From<LogError> for Halt {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

struct Work {
    folder: PathBuf,
    retention: Retention,
    clock: Clock,
    links: Links,
    stopped: Receiver<()>,
    /// When the oldest message of a chat is due, where that is known.
    due: Map<ChatId, Millis>,
    /// Chats that were deleted and say nothing any more.
    ended: BTreeSet<ChatId>,
}

impl Work {
    fn run(mut self) {
        if let Err(error) = rustix::process::nice(19) {
            tracing::debug!(%error, "lower the priority of the sweep");
        }
        let mut trimmed: Option<Instant> = None;
        let mut compacted: Option<Instant> = None;
        let mut wait = LOOK;
        loop {
            let is_past = |since: Option<Instant>, time| since.is_none_or(|since| since.elapsed() >= time);
            let mut halt = self.pause(wait);
            wait = LOOK;
            if halt.is_ok() && self.retention.is_on() && is_past(trimmed, self.retention.every) {
                halt = self.trim();
                trimmed = Some(Instant::now());
            }
            if halt.is_ok() {
                halt = self.erase();
            }
            if halt.is_ok() {
                // Also once after a start: an earlier one may not have come to its end.
                halt = self.compact(is_past(compacted, self.retention.compact_every)).map(|was_due| {
                    compacted = if was_due { Some(Instant::now()) } else { compacted };
                });
            }
            match halt {
                Ok(()) => {}
                Err(Halt::Stopped) => return,
                Err(Halt::Failed(error)) => {
                    tracing::warn!(%error, "remove what is not kept: it is tried again");
                    wait = RETRY;
                }
            }
        }
    }

    fn pause(&self, time: Duration) -> Result<(), Halt> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Halt::Stopped),
        }
    }

    /// Looks through all chats once.
    fn trim(&mut self) -> Result<(), Halt> {
        let mut history = History::open(&self.folder)?;
        let mut from = Some(1);
        while let Some(id) = from {
            let (answer, kept) = sync_channel(1);
            self.links.kept.do_send(GetKept(id, answer));
            let (kept, next) = kept.recv().map_err(|_| Halt::Stopped)?;
            let mut trims = Vec::new();
            for kept in kept {
                trims.extend(self.expired(&mut history, kept)?);
            }
            if !trims.is_empty() {
                self.links.trim.do_send(TrimChats(trims));
            }
            from = next;
            self.pause(PAUSE)?;
        }
        self.trim_deleted(&mut history)
    }

    /// What nobody can read any more goes as a whole.
    fn trim_deleted(&mut self, history: &mut History) -> Result<(), Halt> {
        for chat in history.deleted()? {
            if self.ended.contains(&chat) {
                continue;
            }
            match history.last_message(chat)? {
                Some((up_to, messages)) => {
                    self.links.trim.do_send(TrimChats(vec![Trim { chat, up_to, messages }]));
                    self.pause(PAUSE)?;
                }
                None => {
                    self.ended.insert(chat);
                }
            }
        }
        Ok(())
    }

    /// Up to where a chat is to be trimmed, if it is.
    fn expired(&mut self, history: &mut History, kept: Kept) -> Result<Option<Trim>, LogError> {
        let mut rank = kept.trimmed.max(self.retention.too_many(kept.messages));
        let now = self.clock.now().wall;
        if let (Some(oldest), Some(age)) = (self.retention.oldest(now), self.retention.max_age)
            && self.due.get(&kept.chat).is_none_or(|due| *due <= now)
        {
            let (older, next) = history.older(kept.chat, kept.floor, oldest, LOOKED_AT, PAGE)?;
            rank = rank.max(kept.trimmed + older);
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            match next {
                Some(next) => self.due.insert(kept.chat, Millis(next.0.saturating_add(age))),
                None => self.due.remove(&kept.chat),
            };
        }
        if rank <= kept.trimmed {
            return Ok(None);
        }
        Ok(Some(Trim { chat: kept.chat, up_to: history.nth_message(kept.chat, rank)?, messages: rank }))
    }

    /// Erases who is to be erased: files in the folder say so, which go when it is done.
    fn erase(&self) -> Result<(), Halt> {
        for user in requests::all(&self.folder) {
            let (answer, erasure) = sync_channel(1);
            self.links.erase.do_send(EraseUser(user, answer));
            let erasure = erasure.recv().map_err(|_| Halt::Stopped)?;
            let begun = match erasure {
                Erasure::Begun(position) => position,
                Erasure::NotNow => continue,
                Erasure::Nobody => {
                    tracing::warn!(%user, "erase user: there is none");
                    requests::done(&self.folder, user)?;
                    continue;
                }
            };
            self.wait_for_tables(user, begun)?;
            self.compact(true)?;
            remove_torn_ends(&self.folder)?;
            requests::done(&self.folder, user)?;
            tracing::info!(%user, "erased user");
        }
        Ok(())
    }

    /// Waits until the query tables know of an erasure that was on its way when the log stood at `begun`. That can take as
    /// long as reading all of them.
    fn wait_for_tables(&self, user: UserId, begun: Position) -> Result<(), Halt> {
        let mut looks = 0..COMMIT_LOOKS;
        let mut should_be_before = None;
        loop {
            match is_known(tables::limited(&self.folder)?, begun, should_be_before) {
                Some(true) => return Ok(()),
                Some(false) => {
                    return Err(Halt::Failed(LogError::Full(format!("it was not kept that user {user} is erased"))));
                }
                None => self.pause(TABLES_LOOK)?,
            }
            if should_be_before.is_none() && looks.next().is_none() {
                should_be_before = Some(SqliteLog::reader(&self.folder)?.last()?);
            }
        }
    }

    /// Has the log rewritten, if something is to go that is there still: at once for somebody who was erased, else when
    /// it `is_due`. Whether it was.
    fn compact(&self, is_due: bool) -> Result<bool, Halt> {
        let Some(said) = tables::limited(&self.folder)? else { return Ok(false) };
        let done = std::fs::read_to_string(self.folder.join(FILE)).unwrap_or_default();
        // After a log lost its end, its positions are others.
        let done = done.trim().strip_prefix(&format!("{} ", said.epoch)).and_then(|place| place.parse().ok());
        let done = Position(done.unwrap_or(0));
        let erased = said.erased > done;
        let trimmed = is_due && said.trimmed > done;
        if !erased && !trimmed {
            return Ok(false);
        }
        let mut log = SqliteLog::reader(&self.folder)?;
        let mut compaction = Compaction::plan(&mut log, said.position)?;
        let mut reduced = 0;
        while let Some(step) = compaction.next(&mut log)? {
            reduced += step.reduced;
            let begun = Instant::now();
            let (answer, done) = sync_channel(1);
            self.links.replace.do_send(Replace(step, answer));
            if !done.recv().map_err(|_| Halt::Stopped)? {
                return Err(Halt::Failed(LogError::Full("the log takes no changes".to_owned())));
            }
            self.pause((begun.elapsed() * RESTS).clamp(PAUSE, RETRY))?;
        }
        drop(log);
        self.scrub()?;
        if erased {
            // The one that is there may say what they were called.
            snapshot::remove_last(&self.folder)?;
            self.links.scribe.anew();
        }
        std::fs::write(self.folder.join(FILE), format!("{} {}", said.epoch, said.position.0))?;
        tracing::info!(reduced, up_to = said.position.0, "rewrote the log without what is not kept");
        Ok(true)
    }

    /// Leaves nothing in the log's write-ahead file.
    fn scrub(&self) -> Result<(), Halt> {
        for _ in 0..TRIES {
            checkpoint::nearly_all(&self.folder)?;
            let (answer, done) = sync_channel(1);
            self.links.scrub.do_send(Scrub(answer));
            if done.recv().map_err(|_| Halt::Stopped)? {
                return Ok(());
            }
            self.pause(PAUSE * 10)?;
        }
        Err(Halt::Failed(LogError::Failed("readers stand in the way of the write-ahead file".to_owned())))
    }
}

/// Whether tables know of an erasure that was on its way when the log stood at `begun`; `None` while they may yet. Where the
/// log stood when the disk had had its time for it, `should_be_before` says.
fn is_known(said: Option<Limited>, begun: Position, should_be_before: Option<Position>) -> Option<bool> {
    match said {
        Some(said) if said.erased > begun => Some(true),
        Some(said) if should_be_before.is_some_and(|end| said.position >= end) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_take_long_to_erase_somebody_are_waited_for() {
        let said = |erased, position| {
            let [trimmed, erased, position] = [0, erased, position].map(Position);
            Some(Limited { trimmed, erased, position, epoch: 1 })
        };
        let (begun, end) = (Position(100), Some(Position(500)));
        for (said, should_be_before, known) in [
            (None, None, None),
            (said(50, 100), None, None),
            (said(101, 101), None, Some(true)),
            // They are at it still, however long the disk has had: to say it again would only make it longer.
            (said(50, 100), end, None),
            (said(101, 101), end, Some(true)),
            (said(50, 499), end, None),
            (said(50, 500), end, Some(false)),
        ] {
            assert_eq!(is_known(said, begun, should_be_before), known, "{said:?} {should_be_before:?}");
        }
    }
}
