//! What is not kept for ever: messages past an age or a number, and what users said who are erased.
//!
//! That something is to go is a fact in the log ([`Limits`] takes note of those facts), and everything follows from it: the
//! state, the query tables and readers show nothing of it from then on. The bytes go later, when the log is rewritten
//! ([`crate::log::compact`]): a record keeps its position and its number, and says nothing any more.

mod limits;
pub mod requests;
pub mod sweep;

use std::time::Duration;

use chappe_proto::Millis;

pub use self::limits::Limits;

/// How much is kept, and when it is looked for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Messages older than this go.
    pub max_age: Option<Duration>,
    /// Of a chat so many stay, the newest.
    pub max_messages_per_chat: Option<u64>,
    /// How often it is looked which messages go.
    pub every: Duration,
    /// How often the log is rewritten without what has gone.
    pub compact_every: Duration,
}

impl Retention {
    /// Whether messages go at all.
    pub fn is_on(&self) -> bool {
        self.max_age.is_some() || self.max_messages_per_chat.is_some()
    }

    /// Messages from before this time go.
    fn oldest(&self, now: Millis) -> Option<Millis> {
        let age = u64::try_from(self.max_age?.as_millis()).unwrap_or(u64::MAX);
        Some(Millis(now.0.saturating_sub(age)))
    }

    /// How many messages of a chat that has had so many go because there are too many.
    fn too_many(&self, messages: u64) -> u64 {
        self.max_messages_per_chat.map_or(0, |most| messages.saturating_sub(most))
    }
}
