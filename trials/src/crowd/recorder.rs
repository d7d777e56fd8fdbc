//! Writes down what happens to the clients, in the order in which it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::history::{Entry, Note};

/// How long an answer took.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Of a change; of a read otherwise.
    pub is_change: bool,
    /// From the sending of the request.
    pub took: Duration,
}

/// A process that is to be killed the moment so much is acknowledged: by the thread that reads the ack, for nobody is nearer.
#[derive(Debug)]
struct Strike {
    at: AtomicU64,
    process: AtomicI32,
    done: AtomicBool,
}

/// See the module. Cloned, it writes into the same book.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// As long as the trial: whoever holds the other end checks and forgets it.
    entries: mpsc::Sender<Entry>,
    timings: mpsc::SyncSender<Timing>,
    numbers: Arc<AtomicU64>,
    acks: Arc<AtomicU64>,
    strike: Arc<Strike>,
}

impl Recorder {
    /// Timings that wait to be looked at; further ones are not kept.
    const TIMINGS: usize = 100_000;

    /// A recorder, and where its entries and timings come out.
    pub fn new() -> (Self, mpsc::Receiver<Entry>, mpsc::Receiver<Timing>) {
        let (entries, book) = mpsc::channel();
        let (timings, taken) = mpsc::sync_channel(Self::TIMINGS);
        let (at, process, done) = (AtomicU64::new(u64::MAX), AtomicI32::new(0), AtomicBool::new(false));
        let strike = Arc::new(Strike { at, process, done });
        (Self { entries, timings, numbers: Arc::default(), acks: Arc::default(), strike }, book, taken)
    }

    /// A number that nothing else has.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Kills a process the moment so much more is acknowledged.
    pub fn strike_after(&self, more: u64, process: Pid) {
        self.strike.process.store(process.as_raw_nonzero().get(), Ordering::Release);
        self.strike.at.store(self.acks.load(Ordering::Relaxed) + more, Ordering::Release);
    }

    /// Whether that has happened since [`Recorder::spare`]. Nobody is to connect then: a client that asks a port without a server
    /// may be given that very port, and talk to itself.
    pub fn has_struck(&self) -> bool {
        self.strike.done.load(Ordering::Acquire)
    }

    /// Nothing is to be killed any more.
    pub fn spare(&self) {
        self.strike.at.store(u64::MAX, Ordering::Release);
        self.strike.done.store(false, Ordering::Release);
    }

    /// Writes down one thing.
    pub fn note(&self, user: u64, connection: u64, note: Note) {
        if matches!(note, Note::Acked { .. }) {
            let count = self.acks.fetch_add(1, Ordering::Relaxed) + 1;
            if count >= self.strike.at.load(Ordering::Acquire) {
                self.strike.at.store(u64::MAX, Ordering::Release);
                self.strike.done.store(true, Ordering::Release);
                // Whoever waits for its end finds out if it did not end.
                let process = Pid::from_raw(self.strike.process.load(Ordering::Acquire));
                let _ = process.map(|process| kill_process(process, Signal::KILL));
            }
        }
        // Nobody reads it any more once a trial has failed.
        let _ = self.entries.send(Entry { user, connection, note });
    }

    /// Notes how long an answer took.
    pub fn took(&self, is_change: bool, took: Duration) {
        let _ = self.timings.try_send(Timing { is_change, took });
    }
}
