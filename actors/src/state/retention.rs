//! What is not kept any more: chats are trimmed, users are erased. The facts say so; here it takes effect in memory.

use chappe_proto::{ChatId, Seq, UserId};

use super::State;
use super::holds::Key;
use super::step::Step;
use crate::clock::Now;
use crate::log::record::{Draft, Fact, Place, Position};

/// So many chats are looked at for what they keep between two other commands.
const LOOKED_AT: usize = 512;

/// What a chat keeps, as far as whoever decides about it has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub chat: ChatId,
    /// Up to which number its events are not kept any more.
    pub floor: Seq,
    /// How many messages that is.
    pub trimmed: u64,
    /// How many messages it has had.
    pub messages: u64,
}

/// Up to where a chat's events are not to be kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// Which.
    pub chat: ChatId,
    /// Up to and with this number.
    pub up_to: Seq,
    /// How many of its messages that is.
    pub messages: u64,
}

/// What becomes of somebody who is to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// It is on its way to the log, which stands here.
    Begun(Position),
    /// Something else about them is under way: later.
    NotNow,
    /// There is no such user.
    Nobody,
}

impl State {
    /// Chats from an id on that keep messages, and the id to go on with, if there are more.
    pub fn kept(&self, from: u64) -> (Vec<Kept>, Option<u64>) {
        let until = from.saturating_add(LOOKED_AT as u64);
        let kept = (from..until).filter_map(|id| self.chats.get(&ChatId::parse(id).ok()?));
        let kept = kept.filter(|chat| chat.messages > chat.trimmed).map(|chat| Kept {
            chat: chat.id,
            floor: chat.floor,
            trimmed: chat.trimmed,
            messages: chat.messages,
        });
        (kept.collect(), (until <= self.last_chat).then_some(until))
    }

    /// Has chats keep less from now on, once that is on disk.
    pub fn trim_chats(&mut self, trims: &[Trim], now: Now, step: &mut Step) {
        for Trim { chat, up_to, messages } in trims {
            let is_news = match self.chats.get(chat) {
                Some(chat) => *up_to > chat.floor && *up_to <= chat.head,
                // It was deleted.
                None => chat.get() <= self.last_chat,
            };
            // It is tried again: clients come first.
            if is_news && self.admit_write().is_ok() {
                let fact = Fact::Trimmed { chat: *chat, up_to: *up_to, messages: *messages };
                self.append(Draft { at: now.wall, place: Place::Nowhere, fact }, None, None, step);
            }
        }
    }

    pub(super) fn trim(&mut self, id: ChatId, up_to: Seq, messages: u64) {
        let Some(chat) = self.chats.get_mut(&id).filter(|chat| chat.floor < up_to) else { return };
        (chat.floor, chat.trimmed) = (up_to, messages);
        let before = chat.recent.bytes();
        chat.recent.drop_until(up_to);
        let after = chat.recent.bytes();
        self.warm_bytes = self.warm_bytes.saturating_sub(before) + after;
    }

    /// Whether there is such a user.
    pub fn knows(&self, user: UserId) -> bool {
        self.users.contains_key(&user)
    }

    /// What it takes to erase a user: they leave their chats, and then it is said.
    pub fn erasure(&self, user: UserId, now: Now) -> Vec<Draft> {
        let chats = self.users.get(&user).map_or(&[][..], |user| user.chats.as_slice());
        let draft = |place, fact| Draft { at: now.wall, place, fact };
        let leave = chats.iter().map(|chat| draft(Place::Chat(*chat), Fact::MemberLeft { user }));
        leave.chain([draft(Place::Nowhere, Fact::UserErased { user })]).collect()
    }

    /// Has a user erased, once that is on disk.
    pub fn erase_user(&mut self, user: UserId, now: Now, step: &mut Step) -> Erasure {
        if !self.knows(user) {
            return Erasure::Nobody;
        }
        let chats = self.users.get(&user).map_or(&[][..], |user| user.chats.as_slice());
        let keys = chats.iter().flat_map(|chat| [Key::Chat(*chat), Key::Member(*chat, user)]);
        let keys: Vec<Key> = keys.chain([Key::User(user)]).collect();
        if self.holds.any(&keys).is_some() || self.admit_write().is_err() {
            return Erasure::NotNow;
        }
        for draft in self.erasure(user, now) {
            let key = match draft.place {
                Place::Chat(chat) => Key::Member(chat, user),
                _ => Key::User(user),
            };
            self.append(draft, None, Some(key), step);
        }
        Erasure::Begun(self.head)
    }

    /// The user is nobody in particular from here on, and nothing that they said is in memory any more.
    pub(super) fn erase(&mut self, id: UserId) {
        if let Some(user) = self.users.get_mut(&id) {
            (user.nickname, user.key) = (Self::default_nickname(id), None);
        }
        self.known.erased(id, self.head);
        // What they said may stand in any chat. All of them leave memory, as they do for want of room.
        while let Some((chat, ())) = self.warm.pop_front() {
            if let Some(chat) = self.chats.get_mut(&chat) {
                chat.recent.clear();
                chat.cold = true;
            }
        }
        self.warm_bytes = 0;
        self.outdated.extend(self.chats.values().filter(|chat| chat.warming).map(|chat| chat.id));
    }
}
