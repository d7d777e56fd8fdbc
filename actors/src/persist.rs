//! The only writer of the log: takes what is to be kept, and tells when it is on disk.
//!
//! The actor has a thread of its own, and commits on it. What arrives while a commit runs waits in its mailbox, and the
//! next commit takes all of it: a lone message waits for one flush, and a flood shares it. Who posted a message is told
//! from here, which needs nothing of the state; all else that follows from a commit is the state's to say.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use actix::prelude::*;

use crate::log::compact::Rewrite;
use crate::log::record::{Draft, Record};
use crate::log::{EventLog, LogError};
use crate::messages::{Deliver, Item, Tick};
use crate::metrics::metrics;
use crate::origin::Origin;
use crate::reply::{Accepted, Reply};
use crate::vital::{AreYouThere, Pulse, end_process};

/// A commit is closed at so many drafts: then the first of them need not wait for the last of a flood.
const MAX_BATCH: usize = 16_384;

/// Drafts to be kept, all in one commit or none; and for each the connection that is told of it at once, if one is.
///
/// From: the cache actor, which holds how many are on their way below `limits.pending_writes`. Answered by
/// [`Written`], in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Append(pub Vec<Draft>, pub Vec<Option<Origin>>);

/// Where a thread's connections are told.
///
/// From: the cache actor, before any of their drafts.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Hub(pub u16, pub Recipient<Deliver>);

/// The way to the writer.
#[derive(Clone)]
pub struct PersistLink {
    /// For drafts.
    pub append: Recipient<Append>,
    /// For a hub that begins.
    pub hub: Recipient<Hub>,
}

impl<A> From<&Addr<A>> for PersistLink
where
    A: Actor<Context = Context<A>> + Handler<Append> + Handler<Hub>,
{
    fn from(writer: &Addr<A>) -> Self {
        Self { append: writer.clone().recipient(), hub: writer.clone().recipient() }
    }
}

/// What became of the oldest drafts.
///
/// To: the cache actor, which sent them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Written {
    /// They are on disk.
    Committed(Vec<Record>),
    /// The disk did not take them; none is kept.
    Refused {
        /// How many.
        count: usize,
        /// What the disk said.
        reason: String,
    },
}

/// Rows of the log are to hold less. Answered whether they do.
///
/// From: the sweep, one at a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Replace(pub Rewrite, pub SyncSender<bool>);

/// Nothing of what was replaced is to be left. Answered whether it is so.
///
/// From: the sweep, one at a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Scrub(pub SyncSender<bool>);

/// How often a disk that refused is tried again when nobody else does.
const PROBE: Duration = Duration::from_secs(1);

/// To itself: commit what waits. It is handled once the mailbox is empty.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Commit;

/// See the module.
pub struct PersistActor {
    log: Box<dyn EventLog>,
    done: Recipient<Written>,
    /// Told after each commit that there is more in the log.
    nudge: Box<dyn Fn() + Send>,
    waiting: VecDeque<Append>,
    hubs: Vec<Option<(Recipient<Deliver>, Vec<Item>)>>,
    /// Whether a [`Commit`] is under way.
    called: bool,
    /// Whether the disk took the last commit.
    healthy: bool,
    /// Beats with each message of which there may be many.
    pulse: Pulse,
}

impl PersistActor {
    /// A writer of `log`. To be started on a thread that nothing else runs on.
    pub fn new(log: Box<dyn EventLog>, done: Recipient<Written>, nudge: impl Fn() + Send + 'static) -> Self {
        Self {
            log,
            done,
            nudge: Box::new(nudge),
            waiting: VecDeque::new(),
            hubs: Vec::new(),
            called: false,
            healthy: true,
            pulse: Pulse::default(),
        }
    }

    /// What tells that it is at work.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    fn commit(&mut self) {
        self.pulse.beat();
        let Some(Append(mut batch, mut tell)) = self.waiting.pop_front() else { return };
        while batch.len() < MAX_BATCH
            && let Some(Append(drafts, origins)) = self.waiting.pop_front()
        {
            batch.extend(drafts);
            tell.extend(origins);
        }
        let count = batch.len();
        let start = Instant::now();
        let written = match self.log.append(batch) {
            Ok(records) => {
                metrics().commit_duration.observe(start.elapsed().as_secs_f64());
                metrics().commit_records.observe(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
                if let Some(last) = records.last() {
                    metrics().log_position.set(last.position.0);
                }
                self.note_health(true, "");
                for (record, to) in records.iter().zip(&tell) {
                    self.put_ack(record, *to);
                }
                Written::Committed(records)
            }
            Err(error) if error.is_passing() => {
                metrics().commit_failures.inc();
                let reason = error.to_string();
                self.note_health(false, &reason);
                Written::Refused { count, reason }
            }
            Err(error) => {
                tracing::error!(%error, "commit to the log");
                end_process("the disk failed: what is kept is known only by reading it anew");
            }
        };
        // Its sender bounds how many drafts are on their way, so that mailbox is bounded too.
        self.done.do_send(written);
        // Behind that: whatever somebody asks once they have their ack finds the state as it is by then.
        for (deliver, acks) in self.hubs.iter_mut().flatten().filter(|(_, acks)| !acks.is_empty()) {
            deliver.do_send(Deliver(std::mem::take(acks)));
        }
        (self.nudge)();
        if let Err(error) = self.log.maintain() {
            tracing::warn!(%error, "empty the write-ahead file");
        }
    }

    fn put_ack(&mut self, record: &Record, to: Option<Origin>) {
        if let Some(to) = to
            && let Some(Some((_, acks))) = self.hubs.get_mut(usize::from(to.session.hub))
            && let Some(accepted) = Accepted::of_post(record)
        {
            acks.push(Item::Reply(to, Reply::Accepted(Box::new(accepted))));
        }
    }

    fn note_health(&mut self, healthy: bool, reason: &str) {
        if healthy == self.healthy {
            return;
        }
        self.healthy = healthy;
        metrics().storage_writable.set(i64::from(healthy));
        if healthy {
            tracing::info!("storage takes writes again");
        } else {
            tracing::error!(reason, "storage takes no writes: reads go on, writes are refused");
        }
    }
}

impl Actor for PersistActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Whoever balances load sends no writes to a server that is not ready; so it has to find out by itself.
        ctx.run_interval(PROBE, |persist, ctx| persist.handle(Tick, ctx));
        // Nor to one that starts on a full disk.
        if !self.log.has_room() {
            let reason = "the disk is full".to_owned();
            self.note_health(false, &reason);
            self.done.do_send(Written::Refused { count: 0, reason });
        }
    }
}

impl Handler<Tick> for PersistActor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        if !self.log.is_in_place() {
            end_process("the log's file was moved or deleted: what is written now would be gone at the end");
        }
        if !self.healthy && self.log.probe().is_ok() {
            self.note_health(true, "");
            self.done.do_send(Written::Committed(Vec::new()));
        }
    }
}

impl Drop for PersistActor {
    fn drop(&mut self) {
        if let Err(error) = self.log.flush() {
            // The next start reads it from where it is.
            tracing::warn!(%error, "empty the write-ahead file at the end");
        }
    }
}

impl Handler<Append> for PersistActor {
    type Result = ();

    fn handle(&mut self, append: Append, ctx: &mut Self::Context) {
        self.pulse.beat();
        self.waiting.push_back(append);
        if !self.called {
            self.called = true;
            ctx.notify(Commit);
        }
    }
}

impl Handler<Hub> for PersistActor {
    type Result = ();

    fn handle(&mut self, Hub(index, deliver): Hub, _: &mut Self::Context) {
        let index = usize::from(index);
        if self.hubs.len() <= index {
            self.hubs.resize_with(index + 1, || None);
        }
        self.hubs[index] = Some((deliver, Vec::new()));
    }
}

impl Handler<Commit> for PersistActor {
    type Result = ();

    fn handle(&mut self, _: Commit, ctx: &mut Self::Context) {
        self.commit();
        self.called = !self.waiting.is_empty();
        if self.called {
            ctx.notify(Commit);
        }
    }
}

impl PersistActor {
    /// What came of something that is done between two commits.
    fn note_change(&mut self, changed: Result<bool, LogError>, answer: &SyncSender<bool>) {
        let changed = changed.unwrap_or_else(|error| {
            if !error.is_passing() {
                tracing::error!(%error, "rewrite the log");
                end_process("the disk failed: what is kept is known only by reading it anew");
            }
            tracing::warn!(%error, "rewrite the log");
            false
        });
        // It has room for one. Nobody waits any more if the server ends.
        let _ = answer.try_send(changed);
    }
}

impl Handler<Replace> for PersistActor {
    type Result = ();

    fn handle(&mut self, Replace(step, answer): Replace, _: &mut Self::Context) {
        let changed = self.log.replace(&step);
        self.note_change(changed, &answer);
        if let Err(error) = self.log.maintain() {
            tracing::warn!(%error, "empty the write-ahead file");
        }
    }
}

impl Handler<Scrub> for PersistActor {
    type Result = ();

    fn handle(&mut self, Scrub(answer): Scrub, _: &mut Self::Context) {
        let scrubbed = self.log.scrub();
        self.note_change(scrubbed, &answer);
    }
}

impl Handler<AreYouThere> for PersistActor {
    type Result = ();

    fn handle(&mut self, AreYouThere(answer): AreYouThere, _: &mut Self::Context) {
        // Nobody waits any more: the watchdog has given up already.
        let _ = answer.send(());
    }
}
