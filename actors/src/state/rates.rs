//! How often users ask, and how often chats change. A user's bucket is charged once for a command, when it arrives; a
//! chat's only for what is allowed there and about to happen, so that nobody empties it from outside.
//!
//! Messages and other changes have a bucket of a chat's; signals (typing, read marks) have another of the same rate, so
//! that many readers keep nobody from writing.

use chappe_proto::limits::Limits;
use chappe_proto::{ChatId, Reject, UserId};

use super::State;
use crate::clock::Now;
use crate::command::Command;
use crate::rate::{Buckets, Stepped};

/// The buckets of users and chats.
#[derive(Debug)]
pub(super) struct Rates {
    clock: Stepped,
    users: Buckets<UserId, Stepped>,
    changes: Buckets<ChatId, Stepped>,
    signals: Buckets<ChatId, Stepped>,
}

impl Rates {
    pub(super) fn new(limits: &Limits) -> Self {
        Self::with(limits, Stepped::default())
    }

    fn with(limits: &Limits, clock: Stepped) -> Self {
        let chats = || Buckets::new(limits.chat_rate, clock.clone());
        Self { users: Buckets::new(limits.user_rate, clock.clone()), changes: chats(), signals: chats(), clock }
    }

    /// Other rates from now on, with full buckets.
    pub(super) fn change(&mut self, limits: &Limits) {
        *self = Self::with(limits, self.clock.clone());
    }

    pub(super) fn step(&self, now: Now) {
        self.clock.step(now.mono);
    }

    /// Forgets who has not asked for a while.
    pub(super) fn tidy(&self) {
        self.users.tidy();
        self.changes.tidy();
        self.signals.tidy();
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.users.len() + self.changes.len() + self.signals.len()
    }
}

impl State {
    /// Charges the user who asks for `command`, and for the users whom it makes, `again` if it is not the first of its kind on its connection.
    pub(super) fn charge_user(&mut self, command: &Command, again: bool) -> Result<(), Reject> {
        let Some(user) = command.charged(again) else { return Ok(()) };
        if command.is_signal() && !self.users.contains_key(&user) {
            // In open mode anybody invents users. Nobody hears of them, and they leave no bucket behind.
            return Ok(());
        }
        let taken = match self.records_beside(command) {
            0 => self.rates.users.take(&user),
            beside => self.rates.users.take_many(&user, 1 + beside),
        };
        taken.map_err(|too_fast| {
            self.tally.limited_by_user += 1;
            too_fast.reject("requests of this user")
        })
    }

    /// Charges a chat for a change that is about to happen in it.
    pub(super) fn charge_change(&mut self, chat: ChatId) -> Result<(), Reject> {
        self.rates.changes.take(&chat).map_err(|too_fast| {
            self.tally.limited_by_chat += 1;
            too_fast.reject("changes of this chat")
        })
    }

    /// Charges a chat for something that its members are told and that leaves no event.
    pub(super) fn charge_signal(&mut self, chat: ChatId) -> Result<(), Reject> {
        self.rates.signals.take(&chat).map_err(|too_fast| {
            self.tally.limited_by_chat += 1;
            too_fast.reject("signals of this chat")
        })
    }
}
