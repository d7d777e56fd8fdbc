//! Writes down what happens to the clients, in the order in which it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::history::{Entry, Note};

/// How long an answer took.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Of a change; of a read otherwise.
    pub is_change: bool,
    /// From the sending of the request.
    pub took: Duration,
}

/// See the module. Cloned, it writes into the same book.
#[derive(Debug, Clone)]
pub struct Recorder {
    /// As long as the trial: whoever holds the other end checks and forgets it.
    entries: mpsc::Sender<Entry>,
    timings: mpsc::SyncSender<Timing>,
    numbers: Arc<AtomicU64>,
    acks: Arc<AtomicU64>,
}

impl Recorder {
    /// Timings that wait to be looked at; further ones are not kept.
    const TIMINGS: usize = 100_000;

    /// A recorder, and where its entries and timings come out.
    pub fn new() -> (Self, mpsc::Receiver<Entry>, mpsc::Receiver<Timing>) {
        let (entries, book) = mpsc::channel();
        let (timings, taken) = mpsc::sync_channel(Self::TIMINGS);
        (Self { entries, timings, numbers: Arc::default(), acks: Arc::default() }, book, taken)
    }

    /// A number that nothing else has.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How much was acknowledged so far.
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Writes down one thing.
    pub fn note(&self, user: u64, connection: u64, note: Note) {
        if matches!(note, Note::Acked { .. }) {
            self.acks.fetch_add(1, Ordering::Relaxed);
        }
        // Nobody reads it any more once a trial has failed.
        let _ = self.entries.send(Entry { user, connection, note });
    }

    /// Notes how long an answer took.
    pub fn took(&self, is_change: bool, took: Duration) {
        let _ = self.timings.try_send(Timing { is_change, took });
    }
}
