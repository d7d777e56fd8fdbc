//! The only writer of the log: takes what is to be kept, and tells when it is on disk.

mod writer;

use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::JoinHandle;

use actix::prelude::*;

use self::writer::{Job, Writer};
use crate::log::EventLog;
use crate::log::record::{Draft, Record};
use crate::vital::{AreYouThere, end_process, mark_thread};

/// Drafts to be kept, all in one commit or none.
///
/// From: the cache actor, which bounds how many are on their way. Answered by [`Written`], in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Append(pub Vec<Draft>);

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

/// Owns the writer's thread.
#[derive(Debug)]
pub struct PersistActor {
    jobs: SyncSender<Job>,
}

impl PersistActor {
    /// Starts the writer's thread over `log`. At most `queue` appends wait for it. `nudge` is called after each commit.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(
        log: Box<dyn EventLog>,
        queue: usize,
        done: Recipient<Written>,
        nudge: impl Fn() + Send + 'static,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::sync_channel(queue);
        let writer = Writer::new(log, queue, done, Box::new(nudge));
        let thread = std::thread::Builder::new().name("chappe-log".to_owned()).spawn(move || {
            mark_thread();
            writer.run();
        })?;
        Ok((Self { jobs }, thread))
    }

    fn submit(&self, job: Job) {
        match self.jobs.try_send(job) {
            Ok(()) => {}
            // The state lets no more writes out than the queue holds.
            Err(TrySendError::Full(_)) => end_process("the queue to the log overflowed"),
            Err(TrySendError::Disconnected(_)) => end_process("the log's writer is gone"),
        }
    }
}

impl Actor for PersistActor {
    type Context = Context<Self>;
}

impl Handler<Append> for PersistActor {
    type Result = ();

    fn handle(&mut self, Append(drafts): Append, _: &mut Self::Context) {
        self.submit(Job::Append(drafts));
    }
}

impl Handler<AreYouThere> for PersistActor {
    type Result = ();

    fn handle(&mut self, question: AreYouThere, _: &mut Self::Context) {
        // A full queue means a writer that does not get on: then the question stays unanswered, as it should.
        let _ = self.jobs.try_send(Job::AreYouThere(question));
    }
}
