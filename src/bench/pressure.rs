//! The closed loop of a fan-out: so many messages may be posted and not yet delivered to everyone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts what was posted and what was delivered, over all threads.
#[derive(Debug)]
pub(super) struct Pressure {
    window: u64,
    listeners: u64,
    posted: AtomicU64,
    delivered: AtomicU64,
    waiting: AtomicBool,
    relief: Notify,
}

impl Pressure {
    /// At most `window` messages under way to `listeners`.
    pub(super) fn new(window: u64, listeners: u64) -> Self {
        let (posted, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
        let listeners = listeners.max(1);
        Self { window, listeners, posted, delivered, waiting: AtomicBool::new(false), relief: Notify::new() }
    }

    /// How many more messages may be posted.
    pub(super) fn room(&self) -> u64 {
        // A listener ahead of the others makes up for one behind: it is the sum that is bounded.
        let arrived = self.delivered.load(Ordering::SeqCst) / self.listeners;
        let under_way = self.posted.load(Ordering::SeqCst).saturating_sub(arrived);
        self.window.saturating_sub(under_way)
    }

    /// `count` messages are on their way.
    pub(super) fn post(&self, count: u64) {
        self.posted.fetch_add(count, Ordering::SeqCst);
    }

    /// `count` deliveries were made, or told to be left out.
    pub(super) fn deliver(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) && self.room() > 0 && self.waiting.swap(false, Ordering::SeqCst) {
            self.relief.notify_one();
        }
    }

    /// Waits until there is room.
    pub(super) async fn relief(&self) {
        loop {
            self.waiting.store(true, Ordering::SeqCst);
            if self.room() > 0 {
                return;
            }
            self.relief.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_the_window_less_what_not_all_listeners_have() {
        let pressure = Pressure::new(4, 10);
        assert_eq!(pressure.room(), 4);
        pressure.post(4);
        assert_eq!(pressure.room(), 0);
        pressure.deliver(9);
        assert_eq!(pressure.room(), 0);
        pressure.deliver(1);
        assert_eq!(pressure.room(), 1);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_delivery_that_makes_room() {
        let pressure = Pressure::new(1, 2);
        pressure.post(1);
        tokio::join!(pressure.relief(), async {
            tokio::task::yield_now().await;
            pressure.deliver(2);
        });
        assert_eq!(pressure.room(), 1);
    }
}
