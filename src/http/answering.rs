//! Which HTTP requests are being answered: a stop waits for them, and has each answer end its connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chappe_actors::metrics::metrics;

/// Who was answered and asks again does so within this time, most likely.
const QUIET: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(5);

/// The requests of all threads. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Answering(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicUsize,
    begun: AtomicU64,
    is_last: AtomicBool,
}

/// A request, until it is answered.
pub(crate) struct Open(Answering);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Answering {
    /// Another request.
    pub(crate) fn begin(&self) -> Open {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }

    /// Has the answers end their connections from now on.
    pub(crate) fn end_connections(&self) {
        self.0.is_last.store(true, Ordering::Relaxed);
    }

    /// Whether an answer is to end its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.0.is_last.load(Ordering::Relaxed)
    }

    /// Waits until nobody is connected, or is answered, or has asked for a moment.
    pub(crate) async fn are_over(&self) {
        let [_, _, http] = &metrics().connections;
        let begun = || self.0.begun.load(Ordering::Relaxed);
        let (mut last, mut since) = (begun(), Instant::now());
        while http.get() > 0 && since.elapsed() < QUIET {
            tokio::time::sleep(TICK).await;
            if self.0.open.load(Ordering::Relaxed) > 0 || begun() != last {
                (last, since) = (begun(), Instant::now());
            }
        }
    }
}
