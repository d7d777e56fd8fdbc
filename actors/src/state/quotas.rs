//! How many writes are on their way, how many members a chat has and how many chats a user made, counted with what is on its way to the disk: what was
//! asked for together is refused as exactly as what came one by one.

use std::hash::Hash;

use chappe_proto::{ChatId, Code, Reject, UserId};

use super::State;
use super::chat::Chat;
use crate::log::record::{Draft, Fact, Place};
use crate::map::Map;

/// What a draft on its way takes of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A chat that this user makes, or nobody in particular.
    Chat(Option<UserId>),
    /// A place in a chat.
    Member(ChatId),
}

impl Claim {
    pub(super) fn of(draft: &Draft) -> Option<Self> {
        match (&draft.fact, draft.place) {
            (Fact::ChatCreated { by, .. }, _) => Some(Self::Chat(*by)),
            (Fact::MemberJoined { .. }, Place::Chat(chat)) => Some(Self::Member(chat)),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// Chats that there are, by who made them.
    made: Map<Option<UserId>, u32>,
    /// What is on its way.
    making: Map<Option<UserId>, u32>,
    joining: Map<ChatId, u32>,
}

impl Quotas {
    pub(super) fn claim(&mut self, claim: Claim) {
        match claim {
            Claim::Chat(by) => up(&mut self.making, by),
            Claim::Member(chat) => up(&mut self.joining, chat),
        }
    }

    /// What was claimed is there now, or never will be.
    pub(super) fn settle(&mut self, claim: Claim) {
        match claim {
            Claim::Chat(by) => down(&mut self.making, by),
            Claim::Member(chat) => down(&mut self.joining, chat),
        }
    }

    pub(super) fn chat_began(&mut self, by: Option<UserId>) {
        up(&mut self.made, by);
    }

    #[cfg(test)]
    pub(super) fn made(&self) -> impl Iterator<Item = (Option<UserId>, u32)> {
        self.made.iter().map(|(by, count)| (*by, *count))
    }

    pub(super) fn chat_ended(&mut self, by: Option<UserId>) {
        down(&mut self.made, by);
    }
}

fn up<K: Eq + Hash>(counts: &mut Map<K, u32>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn down<K: Eq + Hash>(counts: &mut Map<K, u32>, key: K) {
    let Some(count) = counts.get_mut(&key) else { return };
    *count = count.saturating_sub(1);
    if *count == 0 {
        counts.remove(&key);
    }
}

fn count<K: Eq + Hash>(counts: &Map<K, u32>, key: &K) -> u32 {
    counts.get(key).copied().unwrap_or_default()
}

impl State {
    /// Whether there is room for so many more writes that one request brings. They take half of it at most, so that others
    /// have room beside them; what is more than that waits until nothing else does.
    pub(super) fn admit_writes(&self, count: usize) -> Result<(), Reject> {
        let pending = self.pending_writes();
        if pending == 0 || pending + count <= self.settings.pending_writes / 2 {
            Ok(())
        } else {
            Err(Reject::plain(Code::Busy))
        }
    }

    /// Whether `user`, or nobody in particular, may make another chat.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn may_make_chat(&self, user: Option<UserId>) -> Result<(), Reject> {
        let most = self.settings.limits.chats;
        if count(&self.quotas.made, &user).saturating_add(count(&self.quotas.making, &user)) < most {
            return Ok(());
        }
        let who = if user.is_some() { "a user" } else { "nobody in particular" };
        Err(Reject::new(Code::TooLarge, format!("{who} makes at most {most} chats; delete one that is not needed")))
    }

    /// Whether there is room for another member.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn has_room(&self, chat: &Chat) -> Result<(), Reject> {
        self.holds_members(self.members_in_all(chat).saturating_add(1))
    }

    /// How many members a chat has, with those on their way.
    pub(super) fn members_in_all(&self, chat: &Chat) -> u32 {
        let members = u32::try_from(chat.members.len()).unwrap_or(u32::MAX);
        members.saturating_add(count(&self.quotas.joining, &chat.id))
    }

    /// Whether a chat may have so many members.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn holds_members(&self, members: u32) -> Result<(), Reject> {
        let most = self.settings.limits.members;
        if members <= most {
            return Ok(());
        }
        Err(Reject::new(Code::TooLarge, format!("a chat has at most {most} members")))
    }
}
