//! How far a client is with what it says: whether it ever said anything, whether it is amid a packet and how much of it
//! waits, and how often it was too fast. Plain; how long that takes is the hub's to count.

use std::cell::Cell;

use super::queue::as_level;
use crate::metrics::metrics;

/// So many packets may come too fast, and are refused, before no more is read until that is forgiven: as many as a window
/// holds by default. So refusals have a price that is known, however fast they are asked for.
const REFUSALS: u32 = 256;

/// See the module.
#[derive(Debug, Default)]
pub struct Speech {
    spoke: Cell<bool>,
    /// A packet came since last asked.
    went_on: Cell<bool>,
    amid: Cell<bool>,
    /// Bytes that wait for the rest of a packet, or to be read on.
    held: Cell<usize>,
    /// Packets that came too fast since that was forgiven.
    too_fast: Cell<u32>,
}

impl Speech {
    /// A packet came whole.
    pub fn took_packet(&self) {
        self.spoke.set(true);
        self.went_on.set(true);
    }

    /// Whether the client is amid a packet after what came last, and how many bytes wait.
    pub fn set_amid(&self, amid: bool, held: usize) {
        self.amid.set(amid);
        let before = self.held.replace(held);
        // Nearly always both are 0.
        if before != held {
            metrics().inbox_bytes.inc_by(as_level(held) - as_level(before));
        }
    }

    /// How many bytes wait for the rest of a packet, or to be read on.
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Whether a packet ever came.
    pub fn has_begun(&self) -> bool {
        self.spoke.get()
    }

    /// Whether the client has been amid the same packet since last asked.
    pub fn stands_still(&self) -> bool {
        !self.went_on.take() && self.amid.get()
    }

    /// A packet came too fast.
    pub fn was_too_fast(&self) {
        self.too_fast.set(self.too_fast.get().saturating_add(1));
    }

    /// Whether so many came too fast that no more is to be read for now.
    pub fn is_far_too_fast(&self) -> bool {
        self.too_fast.get() >= REFUSALS
    }

    /// Forgets what came too fast; whether it was that much.
    pub fn forgive(&self) -> bool {
        let far = self.is_far_too_fast();
        self.too_fast.set(0);
        far
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        self.set_amid(false, 0);
    }
}

/// Whether all connections together hold more of what is not whole, or not read on, than they should: a quarter of what may
/// wait to be sent to them.
pub fn is_crowded() -> bool {
    metrics().inbox_bytes.get() > metrics().outbox_limit_bytes.get() / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hold_is_too_much_past_a_quarter_of_what_may_wait_to_be_sent() {
        // Other tests hold something at the same time, but not as much as this.
        let budget = usize::try_from(metrics().outbox_limit_bytes.get() / 4).unwrap();
        let most = Speech::default();
        most.set_amid(true, budget - (1 << 20));
        assert!(!is_crowded());
        let rest = Speech::default();
        rest.set_amid(true, 1 << 21);
        assert!(is_crowded());
        rest.set_amid(false, 0);
        assert!(!is_crowded(), "it was whole");
        rest.set_amid(true, 1 << 21);
        drop(most);
        assert!(!is_crowded(), "who is gone holds nothing");
    }
}
