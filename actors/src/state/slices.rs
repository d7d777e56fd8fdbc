//! The state in slices, for a snapshot that is taken while the state goes on: chats first, then users.
//!
//! Each slice tells what was true when it was taken; slices of one snapshot may be of different moments. What happened
//! after the first was taken is applied again ([`State::replay`]), and leads to the state of the end all the same: an
//! event of a chat that its slice knows is passed over by its number, a read mark only moves forward, a user is made
//! once and has the key of the last word about it, and who is in which chat is told by the chats alone.

use std::collections::BTreeMap;

use chappe_proto::event::{ChatKind, Role};
use chappe_proto::signature::Bytes;
use chappe_proto::{ChatId, MessageId, Millis, Seq, UserId};

use super::chat::{Chat, Member};
use super::dedup::Dedup;
use super::names::Name;
use super::recent::Recent;
use super::varint::{Reader, put};
use super::{Settings, State, User};
use crate::log::Numbering;
use crate::log::record::Position;

/// About so many bytes make a slice: some 100 µs of work.
const SLICE_BYTES: usize = 16 * 1024;
/// So many chats are looked for at most: they may be gone.
const SLICE_CHATS: u64 = 4096;

const CHATS: u8 = 0;
const USERS: u8 = 1;

/// Which slice comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Of the chats, from this id on.
    Chats(u64),
    /// Of the users, from this id on.
    Users(u64),
}

impl Default for Cursor {
    fn default() -> Self {
        Self::Chats(1)
    }
}

impl State {
    /// The slice at `cursor`, and where the next one is, if there is more.
    pub fn slice(&self, cursor: Cursor) -> (Vec<u8>, Option<Cursor>) {
        self.slice_of(cursor, SLICE_BYTES)
    }

    /// The same, of `bytes` and one more chat or user.
    fn slice_of(&self, cursor: Cursor, bytes: usize) -> (Vec<u8>, Option<Cursor>) {
        let mut out = Vec::with_capacity(bytes + bytes / 4);
        let next = match cursor {
            Cursor::Chats(from) => {
                out.push(CHATS);
                Some(self.slice_of_chats(from, bytes, &mut out))
            }
            Cursor::Users(from) => {
                out.push(USERS);
                self.slice_of_users(from, bytes, &mut out).map(Cursor::Users)
            }
        };
        (out, next)
    }

    fn slice_of_chats(&self, from: u64, bytes: usize, out: &mut Vec<u8>) -> Cursor {
        let mut before = 0;
        for raw in from..from + SLICE_CHATS {
            if raw > self.last_chat {
                return Cursor::Users(1);
            }
            if out.len() > bytes {
                return Cursor::Chats(raw);
            }
            if let Some(chat) = ChatId::parse(raw).ok().and_then(|id| self.chats.get(&id)) {
                put_chat(chat, raw - before, out);
                before = raw;
            }
        }
        Cursor::Chats(from + SLICE_CHATS)
    }

    fn slice_of_users(&self, from: u64, bytes: usize, out: &mut Vec<u8>) -> Option<u64> {
        let mut before = 0;
        for (id, user) in self.users.range(UserId::parse(from).ok()?..) {
            if out.len() > bytes {
                return Some(id.get());
            }
            put(id.get() - before, out);
            put_text(&user.nickname, out);
            put(user.created_at.0, out);
            out.push(u8::from(user.key.is_some()));
            out.extend(user.key.iter().flat_map(|key| key.0));
            before = id.get();
        }
        None
    }

    /// These are the names of all messages so far.
    pub fn set_names(&mut self, names: Dedup) {
        self.dedup = names;
    }

    /// The names of all messages so far.
    pub fn names(&self) -> &Dedup {
        &self.dedup
    }

    /// How many chats and users are not the same there, or not there at all; and one more if names are not. That state may
    /// know the names of messages that were erased, which `erased` has in order.
    pub fn differences(&self, other: &Self, erased: &[MessageId]) -> u64 {
        let chats = self.chats.iter().filter(|(id, chat)| other.chats.get(id).is_none_or(|other| !chat.is_same(other)));
        let users = self.users.iter().filter(|(id, user)| other.users.get(id) != Some(user));
        let more = other.chats.len().abs_diff(self.chats.len()) + other.users.len().abs_diff(self.users.len());
        let is_erased = |name: &Name| erased.binary_search_by_key(&name.message, |id| id.get()).is_ok();
        let theirs = other.dedup.names().iter().filter(|name| !is_erased(name));
        let names = !self.dedup.names().iter().eq(theirs);
        (chats.count() + users.count() + more + usize::from(names)) as u64
    }

    /// The names of the messages since the last time, if there are as many as `at_least`.
    pub fn take_names(&mut self, at_least: usize) -> Option<Vec<Name>> {
        self.dedup.take_fresh(at_least)
    }

    /// The newest chat there has been.
    pub fn last_chat(&self) -> u64 {
        self.last_chat
    }

    /// How the log goes on behind what was applied.
    pub fn numbering(&self) -> Numbering {
        Numbering::new(self.head, self.last_chat, self.chats.iter().map(|(id, chat)| (*id, chat.head)).collect())
    }
}

/// A state that is put together from slices.
#[derive(Debug)]
pub struct Restoring {
    state: State,
    /// Who is in which chat.
    places: Vec<(UserId, ChatId)>,
}

impl Restoring {
    /// Nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { state: State::new(settings), places: Vec::new() }
    }

    /// Takes a slice in; `None` if it is not one.
    pub fn take(&mut self, slice: &[u8]) -> Option<()> {
        let mut bytes = Reader(slice);
        let kind = bytes.byte()?;
        let mut before = 0;
        while !bytes.0.is_empty() {
            before = bytes.number()?.checked_add(before)?;
            match kind {
                CHATS => self.chat(ChatId::parse(before).ok()?, &mut bytes)?,
                USERS => self.user(UserId::parse(before).ok()?, &mut bytes)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn chat(&mut self, id: ChatId, bytes: &mut Reader<'_>) -> Option<()> {
        let title = bytes.text()?.into();
        let flags = bytes.byte()?;
        let kind = match flags & 3 {
            0 => ChatKind::Group,
            1 => ChatKind::Direct,
            2 => ChatKind::Open,
            _ => return None,
        };
        if flags & 4 != 0 {
            self.state.to_warm.push(id);
        }
        let created_by = if flags & 8 != 0 { Some(UserId::parse(bytes.number()?).ok()?) } else { None };
        let created_at = Millis(bytes.number()?);
        let [head, messages, count] = [bytes.number()?, bytes.number()?, bytes.number()?];
        let (floor, trimmed) = (Seq(bytes.number()?), bytes.number()?);
        let mut user = 0;
        let member = |_| {
            let number = bytes.number()?;
            user = (number >> 1).checked_add(user)?;
            let role = if number & 1 == 1 { Role::Owner } else { Role::Member };
            let read = Seq(head.checked_sub(bytes.number()?)?);
            let read_count = messages.checked_sub(bytes.number()?)?;
            Some((UserId::parse(user).ok()?, Member { role, read, read_count }))
        };
        let members: BTreeMap<_, _> = (0..count).map(member).collect::<Option<_>>()?;
        self.places.extend(members.keys().map(|user| (*user, id)));
        let chat = Chat {
            id,
            title,
            kind,
            created_by,
            created_at,
            members,
            head: Seq(head),
            messages,
            floor,
            trimmed,
            recent: Recent::new(id),
            cold: true,
            warming: false,
        };
        self.state.begin(chat);
        Some(())
    }

    fn user(&mut self, id: UserId, bytes: &mut Reader<'_>) -> Option<()> {
        let nickname = bytes.text()?.into();
        let created_at = Millis(bytes.number()?);
        let key = if bytes.byte()? == 1 { Some(Bytes(bytes.take(32)?.try_into().ok()?)) } else { None };
        self.state.users.insert(id, User { nickname, created_at, chats: Vec::new(), key });
        Some(())
    }

    /// All slices are in: the first was taken at `head`, and when the last was, `last_chat` was the newest.
    pub fn finish(self, head: Position, last_chat: u64) -> State {
        let Self { mut state, mut places } = self;
        (state.head, state.last_chat) = (head, last_chat.max(state.last_chat));
        places.sort_unstable();
        let mut rest = places.as_slice();
        for (id, user) in &mut state.users {
            let count = rest.iter().take_while(|(of, _)| of == id).count();
            user.chats = rest[..count].iter().map(|(_, chat)| *chat).collect();
            rest = &rest[count..];
        }
        state
    }
}

impl Chat {
    /// Whether all that is kept of the two is the same.
    fn is_same(&self, other: &Self) -> bool {
        let Self { id, title, kind, created_by, created_at, members, head, messages, floor, trimmed, .. } = self;
        (id, title, kind, created_by) == (&other.id, &other.title, &other.kind, &other.created_by)
            && (created_at, head, messages) == (&other.created_at, &other.head, &other.messages)
            && (floor, trimmed) == (&other.floor, &other.trimmed)
            && *members == other.members
    }
}

fn put_chat(chat: &Chat, id: u64, out: &mut Vec<u8>) {
    put(id, out);
    put_text(&chat.title, out);
    let kind = match chat.kind {
        ChatKind::Group => 0,
        ChatKind::Direct => 1,
        ChatKind::Open => 2,
    };
    let warm = if chat.recent.first().is_none() { 0 } else { 4 };
    out.push(kind | warm | if chat.created_by.is_some() { 8 } else { 0 });
    chat.created_by.into_iter().for_each(|user| put(user.get(), out));
    let counts = [chat.head.0, chat.messages, chat.members.len() as u64];
    for number in [chat.created_at.0].into_iter().chain(counts).chain([chat.floor.0, chat.trimmed]) {
        put(number, out);
    }
    let mut before = 0;
    for (user, member) in &chat.members {
        let role = match member.role {
            Role::Member => 0,
            Role::Owner => 1,
        };
        put((user.get() - before) << 1 | role, out);
        put(chat.head.0.saturating_sub(member.read.0), out);
        put(chat.messages.saturating_sub(member.read_count), out);
        before = user.get();
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
