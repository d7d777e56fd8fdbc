//! Questions that change nothing: from memory where it reaches, else to the reader, which answers by itself.

use std::ops::Bound::{Excluded, Unbounded};

use chappe_proto::packed::Packed;
use chappe_proto::packet::{Chats, Reset};
use chappe_proto::page::{Events, Messages};
use chappe_proto::{ChatId, Reject, Seq, UserId};

use super::State;
use super::chat::Chat;
use super::recent::{End, What};
use super::step::{Ask, Step};
use crate::command::Page;
use crate::origin::Origin;
use crate::page::fitting;
use crate::reply::{self, Members, Reply, Users};

impl Chat {
    /// A page of messages out of memory; `None` where memory does not reach.
    fn page(&self, page: Page, limit: usize) -> Option<Messages> {
        let held = self.recent.count(What::Messages);
        let skip = match page {
            Page::After(seq) => {
                let from = self.recent.count_up_to(What::Messages, seq.max(self.floor))?;
                let range = from..held.min(from.saturating_add(limit));
                let messages = self.recent.page(What::Messages, range, End::Oldest);
                let has_more = from + messages.count() < held;
                return Some(Messages { messages, has_more });
            }
            Page::Newest { skip } => usize::try_from(skip).ok()?,
            Page::Before(seq) => usize::try_from(self.recent.messages_after(Seq(seq.0.saturating_sub(1)))?).ok()?,
        };
        let kept = self.messages.saturating_sub(self.trimmed);
        let all_held = held as u64 == kept;
        if !all_held && skip.saturating_add(limit) > held {
            return None;
        }
        let to = held.saturating_sub(skip);
        let messages = self.recent.page(What::Messages, to.saturating_sub(limit)..to, End::Newest);
        let has_more = kept > (skip + messages.count()) as u64;
        Some(Messages { messages, has_more })
    }

    /// The events after a number out of memory; `None` where memory does not reach.
    fn events(&self, after: Seq, limit: usize) -> Option<Packed> {
        if after == self.head {
            return Some(Packed::new(self.id, 0));
        }
        let from = self.recent.count_up_to(What::Events, after)?;
        let range = from..self.recent.count(What::Events).min(from.saturating_add(limit));
        Some(self.recent.page(What::Events, range, End::Oldest))
    }
}

impl State {
    /// Counts a page, and asks for the chat's recent events if they had been dropped.
    fn count_page(&mut self, chat: ChatId, hit: bool, step: &mut Step) {
        if hit {
            self.tally.hits += 1;
            self.touch_if_held(chat);
            return;
        }
        self.tally.misses += 1;
        if let Some(chat) = self.chats.get_mut(&chat)
            && chat.cold
            && !chat.warming
        {
            chat.warming = true;
            step.ask.push(Ask::Warm(chat.id));
        }
    }

    fn touch_if_held(&mut self, chat: ChatId) {
        self.warm.to_back(&chat);
    }

    pub(super) fn readable(&self, user: Option<UserId>, chat: ChatId) -> Result<&Chat, Reject> {
        let chat = self.chat(chat)?;
        chat.readable_by(user)?;
        Ok(chat)
    }

    pub(super) fn get_messages(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        chat: ChatId,
        page: Page,
        limit: u32,
        step: &mut Step,
    ) {
        let (found, head) = match self.readable(user, chat) {
            Ok(found) => (found.page(page, usize::try_from(limit).unwrap_or(usize::MAX)), found.head),
            Err(reject) => return step.reply(origin, reject),
        };
        self.count_page(chat, found.is_some(), step);
        match found {
            Some(page) => step.reply(origin, Reply::Messages(page)),
            None => step.ask.push(Ask::Messages { to: origin, chat, page, limit, head }),
        }
    }

    pub(super) fn get_events(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        chat_id: ChatId,
        after: Seq,
        limit: u32,
        step: &mut Step,
    ) {
        let chat = match self.readable(user, chat_id) {
            Ok(chat) => chat,
            Err(reject) => return step.reply(origin, reject),
        };
        let head = chat.head;
        let reason = if after > head {
            Some("the chat has not come so far: start afresh from its head")
        } else if after < chat.floor {
            Some("what came next is not kept any more: read the newest page, and go on from the head")
        } else {
            None
        };
        if let Some(reason) = reason {
            return step.reply(origin, Reply::Reset(Reset { chat_id, head, reason: reason.into() }));
        }
        let held = chat.events(after, usize::try_from(limit).unwrap_or(usize::MAX));
        self.count_page(chat_id, held.is_some(), step);
        match held {
            Some(events) => step.reply(origin, Reply::Events(Events { events, head })),
            None => step.ask.push(Ask::Events { to: origin, chat: chat_id, after, limit, head }),
        }
    }

    pub(super) fn get_chats(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        after: Option<ChatId>,
        limit: u32,
        step: &mut Step,
    ) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let from = after.map_or(Unbounded, Excluded);
        // One more than asked for tells whether more follow.
        let mut ids: Vec<ChatId> = match user {
            None => self.open.range((from, Unbounded)).take(limit + 1).copied().collect(),
            Some(user) => {
                let all = self.users.get(&user).map_or(&[][..], |user| user.chats.as_slice());
                let start = after.map_or(0, |after| all.partition_point(|chat| *chat <= after));
                all.iter().skip(start).take(limit + 1).copied().collect()
            }
        };
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let mut found: Vec<_> = ids.iter().filter_map(|id| self.chats.get(id)).collect();
        // What does not fit is not copied only to be cut off: everybody waits meanwhile. What memory does not hold counts
        // when it was read.
        let fits = fitting(found.iter().map(|chat| chat.recent.last_message_bytes()));
        let has_more = has_more || fits < found.len();
        found.truncate(fits);
        let chats = Chats { chats: found.iter().map(|chat| chat.summary(user)).collect(), has_more };
        if found.iter().zip(&chats.chats).any(|(chat, summary)| chat.is_told_short(summary)) {
            return step.ask.push(Ask::Chats { to: origin, chats });
        }
        step.reply(origin, Reply::Chats(chats));
    }

    pub(super) fn get_chat(&mut self, origin: Origin, user: Option<UserId>, chat: ChatId, step: &mut Step) {
        let chat = match self.readable(user, chat) {
            Ok(chat) => chat,
            Err(reject) => return step.reply(origin, reject),
        };
        let summary = Box::new(chat.summary(user));
        if chat.is_told_short(&summary) {
            return step.ask.push(Ask::Chat { to: origin, chat: summary });
        }
        step.reply(origin, Reply::Chat(summary));
    }

    pub(super) fn get_members(
        &mut self,
        origin: Origin,
        user: Option<UserId>,
        chat: ChatId,
        after: Option<UserId>,
        limit: u32,
        step: &mut Step,
    ) {
        let found = match self.readable(user, chat) {
            Ok(found) => found,
            Err(reject) => return step.reply(origin, reject),
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let range = found.members.range((after.map_or(Unbounded, Excluded), Unbounded));
        let mut members: Vec<_> = range
            .take(limit + 1)
            .map(|(user, member)| reply::Member { user: *user, role: member.role, read: member.read })
            .collect();
        let has_more = members.len() > limit;
        members.truncate(limit);
        step.reply(origin, Reply::Members(Members { chat, members, has_more }));
    }

    pub(super) fn get_users(&mut self, origin: Origin, after: Option<UserId>, limit: u32, step: &mut Step) {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let range = self.users.range((after.map_or(Unbounded, Excluded), Unbounded));
        let mut users: Vec<_> = range.take(limit + 1).map(|(id, user)| user.shown(*id)).collect();
        let has_more = users.len() > limit;
        users.truncate(limit);
        step.reply(origin, Reply::Users(Users { users, has_more }));
    }
}
