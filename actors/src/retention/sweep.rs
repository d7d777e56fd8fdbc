//! The thread that sees to it that what is not kept goes: it looks which messages are past their time and has the state say
//! so (`sweep/trim.rs`), has users erased (`erase.rs`), and has the log rewritten without what was said to go
//! (`rewrite.rs`). It takes only what nobody else wants of the machine.

mod erase;
pub(crate) mod rewrite;
mod trim;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::prelude::*;
use chappe_proto::{ChatId, UserId};

use self::erase::Erasing;
use self::trim::Measure;
use super::Retention;
use crate::clock::Clock;
use crate::log::LogError;
use crate::passed::Passed;
use crate::persist::{Replace, Scrub};
use crate::snapshot::scribe::ToScribe;
use crate::state::retention::{Erasure, Kept, Trim};

/// How often it is looked whether something was erased, or is due.
const LOOK: Duration = Duration::from_secs(1);
/// How long it is left alone when the disk refused.
const RETRY: Duration = Duration::from_secs(30);
/// How often it is written down how far time has gone on: so much of it a kill makes unseen.
const LEAVE: Duration = Duration::from_secs(10 * 60);
/// Between two looks into chats, and between two steps of rewriting: the disk is others' as well.
const PAUSE: Duration = Duration::from_millis(10);

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
    pub fn start(
        folder: &Path,
        retention: Retention,
        (clock, passed): (Clock, Passed),
        links: Links,
    ) -> std::io::Result<Self> {
        let (stay, stopped) = channel();
        let work = Work {
            folder: folder.to_owned(),
            retention,
            clock,
            passed,
            links,
            stopped,
            measure: Measure::new(retention),
            ended: BTreeSet::new(),
            erasing: None,
            erased: BTreeSet::new(),
            begun: BTreeSet::new(),
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
    passed: Passed,
    links: Links,
    stopped: Receiver<()>,
    measure: Measure,
    /// Chats that were deleted and say nothing any more.
    ended: BTreeSet<ChatId>,
    /// Who is being erased.
    erasing: Option<Erasing>,
    /// Who is erased but for the log's bytes.
    erased: BTreeSet<UserId>,
    /// With whose erasure this server has begun: what one before it has said is known.
    begun: BTreeSet<UserId>,
}

impl Work {
    fn run(mut self) {
        if let Err(error) = rustix::process::nice(19) {
            tracing::debug!(%error, "lower the priority of the sweep");
        }
        let mut trimmed: Option<Instant> = None;
        let mut rewritten: Option<Instant> = None;
        let (mut left, mut is_far): (Option<Instant>, bool) = (None, false);
        let mut wait = LOOK;
        while self.pause(wait).is_ok() {
            let is_past = |since: Option<Instant>, time| since.is_none_or(|since| since.elapsed() >= time);
            wait = LOOK;
            let now = self.clock.now();
            self.passed.look(now);
            is_far = self.passed.warn(now, is_far);
            if is_past(left, LEAVE) {
                self.leave();
                left = Some(Instant::now());
            }
            if self.retention.is_on() && is_past(trimmed, self.retention.every) {
                trimmed = tried(self.trim(), &mut wait).map(|()| Instant::now());
            }
            tried(self.erase(), &mut wait);
            // Also once after a start: an earlier one may not have come to its end.
            if let Some(true) = tried(self.rewrite(is_past(rewritten, self.retention.compact_every)), &mut wait) {
                rewritten = Some(Instant::now());
            }
        }
        self.leave();
    }

    /// Leaves it to the next server how far time has gone on.
    fn leave(&self) {
        if let Err(error) = self.passed.leave(&self.folder) {
            tracing::warn!(%error, "write down the time: the next start sees less of it");
        }
    }

    /// Fails when the server ends.
    fn pause(&self, time: Duration) -> Result<(), Halt> {
        match self.stopped.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Halt::Stopped),
        }
    }
}

/// What came of a task. One that failed has another try after a while, and keeps no other from being tried.
fn tried<T>(result: Result<T, Halt>, wait: &mut Duration) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Halt::Stopped) => None,
        Err(Halt::Failed(error)) => {
            tracing::warn!(%error, "remove what is not kept: it is tried again");
            *wait = RETRY;
            None
        }
    }
}
