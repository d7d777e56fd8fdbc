//! How far a client is with what it says: whether it ever said anything, and whether it is amid a packet. Plain; how long
//! that takes is the hub's to count.

use std::cell::Cell;

/// See the module.
#[derive(Debug, Default)]
pub struct Speech {
    spoke: Cell<bool>,
    /// A packet came since last asked.
    went_on: Cell<bool>,
    amid: Cell<bool>,
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
}
