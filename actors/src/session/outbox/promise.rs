//! Answers as large as a page, from the moment they are asked for: what is promised counts as if it waited, so that many
//! small requests at once are not more than all outboxes may hold.

use chappe_proto::commands::PAGE_WEIGHT;

use super::{Inner, Outbox};
use crate::metrics::metrics;
use crate::page::PAGE_BYTES;
use crate::session::queue::{as_level, is_nearly_full, share};

/// What such an answer is taken for until it is there: the texts of a page, and what is written around 500 of them.
const PROMISE_BYTES: usize = PAGE_BYTES + PAGE_BYTES / 2;

/// Whether what waits and what is promised has used up what all outboxes together may hold.
pub(crate) fn is_promised_away() -> bool {
    let metrics = metrics();
    let promised = metrics.outbox_promised_bytes.get();
    metrics.outbox_bytes.get().saturating_add(promised) >= metrics.outbox_limit_bytes.get()
}

/// Whether what waits has: answers may be larger than they were taken for.
pub(crate) fn is_used_up() -> bool {
    metrics().outbox_bytes.get() >= metrics().outbox_limit_bytes.get()
}

impl Outbox {
    /// Whether it holds more than its share while there is hardly room left for the others.
    pub fn is_in_the_way(&self) -> bool {
        is_nearly_full() && self.inner.borrow().queue.fill().0 > share()
    }
}

impl Inner {
    pub(super) fn promise(&mut self, weight: u32) {
        if weight >= PAGE_WEIGHT {
            self.promised += 1;
            metrics().outbox_promised_bytes.inc_by(as_level(PROMISE_BYTES));
        }
    }

    /// The answer to a request of this weight is there, be it a refusal.
    pub(super) fn keep_promise(&mut self, weight: u32) {
        if weight >= PAGE_WEIGHT && self.promised > 0 {
            self.promised -= 1;
            metrics().outbox_promised_bytes.dec_by(as_level(PROMISE_BYTES));
        }
    }

    /// Nothing that was promised will ever wait here.
    pub(super) fn break_promises(&mut self) {
        while self.promised > 0 {
            self.keep_promise(PAGE_WEIGHT);
        }
    }
}
