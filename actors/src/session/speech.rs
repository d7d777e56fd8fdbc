//! How far a client is with what it says: whether it ever said anything, whether it is amid a packet, and how often it was
//! too fast. Plain; how long that takes is the hub's to count.

use std::cell::Cell;

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
    /// Packets that came too fast since that was forgiven.
    too_fast: Cell<u32>,
}

impl Speech {
    /// A packet came whole.
    pub fn took_packet(&self) {
        self.spoke.set(true);
        self.went_on.set(true);
    }

    /// Whether the client is amid a packet, after what came last.
    pub fn set_amid(&self, amid: bool) {
        self.amid.set(amid);
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
