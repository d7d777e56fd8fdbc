//! Whom an answer goes to.

use std::time::Duration;

/// A connection, or an HTTP request that waits: a slot in the hub of the thread it lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    /// Which hub, counted from 0.
    pub hub: u16,
    /// Which of the hub's slots.
    pub slot: u32,
    /// Which use of the slot: an answer to an earlier one is dropped.
    pub generation: u32,
}

impl SessionId {
    /// As one number, for logs and for `Welcome`: below 2^53 for the first two million uses of a slot.
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot & 0x00ff_ffff) << 8 | u64::from(self.hub & 0xff)
    }
}

/// Where a request came from, and how its answer finds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Who waits.
    pub session: SessionId,
    /// The answer's place among the connection's acks, if it is one.
    pub ticket: Option<u64>,
    /// The client's own number for the request, repeated in the answer.
    pub request_id: Option<u64>,
    /// What the request takes of the connection's window until the answer has left.
    pub weight: u32,
    /// When it came, on the actors' clock.
    pub arrived: Duration,
}
