//! Who is connected, and which chats each connection hears.

use std::collections::BTreeSet;

use chappe_proto::{ChatId, UserId};

use crate::map::Map;
use crate::origin::SessionId;

/// One connection that said Hello, or subscribed without.
#[derive(Debug, Default)]
struct Listener {
    user: Option<UserId>,
    hears: BTreeSet<ChatId>,
    /// Chats it does not want to hear, though its user is a member.
    muted: BTreeSet<ChatId>,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Roster {
    sessions: Map<SessionId, Listener>,
    users: Map<UserId, Vec<SessionId>>,
    /// How many connections of each hub hear a chat.
    hubs: Map<ChatId, Vec<u32>>,
}

impl Roster {
    /// How many connections are known.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The user's connections.
    pub fn sessions_of(&self, user: UserId) -> &[SessionId] {
        self.users.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Whether the connection said Hello, or subscribed without.
    pub fn knows(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Whether any connection hears `chat`.
    pub fn is_heard(&self, chat: ChatId) -> bool {
        self.hubs.contains_key(&chat)
    }

    /// Whether any connection of a hub hears `chat`.
    pub fn is_heard_at(&self, chat: ChatId, hub: u16) -> bool {
        self.hubs.get(&chat).and_then(|counts| counts.get(usize::from(hub))).is_some_and(|count| *count > 0)
    }

    /// The hubs that have listeners of `chat`.
    pub fn hubs_hearing(&self, chat: ChatId) -> impl Iterator<Item = u16> + '_ {
        let counts = self.hubs.get(&chat).map_or(&[][..], Vec::as_slice);
        counts.iter().zip(0u16..).filter(|(count, _)| **count > 0).map(|(_, hub)| hub)
    }

    /// A connection is the user's. `false` if it was already.
    pub fn enter(&mut self, session: SessionId, user: UserId) -> bool {
        let listener = self.sessions.entry(session).or_default();
        if listener.user == Some(user) {
            return false;
        }
        listener.user = Some(user);
        self.users.entry(user).or_default().push(session);
        true
    }

    /// A connection is gone; answers whose it was.
    pub fn leave(&mut self, session: SessionId) -> Option<UserId> {
        let listener = self.sessions.remove(&session)?;
        for chat in listener.hears {
            self.count(chat, session.hub, false);
        }
        let user = listener.user?;
        if let Some(sessions) = self.users.get_mut(&user) {
            sessions.retain(|other| *other != session);
            if sessions.is_empty() {
                self.users.remove(&user);
            }
        }
        Some(user)
    }

    /// A connection hears `chat` from now on; `asked` by itself, or because its user is a member. `false` if nothing
    /// changes.
    pub fn listen(&mut self, session: SessionId, chat: ChatId, asked: bool) -> bool {
        let listener = self.sessions.entry(session).or_default();
        if asked {
            listener.muted.remove(&chat);
        } else if listener.muted.contains(&chat) {
            return false;
        }
        let is_new = listener.hears.insert(chat);
        if is_new {
            self.count(chat, session.hub, true);
        }
        is_new
    }

    /// A connection hears `chat` no longer; `asked` by itself, or because its user may not.
    pub fn unlisten(&mut self, session: SessionId, chat: ChatId, asked: bool) -> bool {
        let Some(listener) = self.sessions.get_mut(&session) else { return false };
        if asked && listener.muted.len() < chappe_proto::limits::MAX_LIST {
            listener.muted.insert(chat);
        }
        let was = listener.hears.remove(&chat);
        if was {
            self.count(chat, session.hub, false);
        }
        was
    }

    /// Every connection that hears `chat`; in order, so that the same history has the same consequences.
    pub fn hearing(&self, chat: ChatId) -> Vec<SessionId> {
        let hear = self.sessions.iter().filter(|(_, listener)| listener.hears.contains(&chat));
        let mut all: Vec<SessionId> = hear.map(|(id, _)| *id).collect();
        all.sort_unstable();
        all
    }

    /// How many chats a connection hears.
    pub fn heard_by(&self, session: SessionId) -> usize {
        self.sessions.get(&session).map_or(0, |listener| listener.hears.len())
    }

    fn count(&mut self, chat: ChatId, hub: u16, up: bool) {
        let hub = usize::from(hub);
        let counts = self.hubs.entry(chat).or_default();
        if counts.len() <= hub {
            counts.resize(hub + 1, 0);
        }
        counts[hub] = if up { counts[hub] + 1 } else { counts[hub].saturating_sub(1) };
        if counts.iter().all(|count| *count == 0) {
            self.hubs.remove(&chat);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(hub: u16, slot: u32) -> SessionId {
        SessionId { hub, slot, generation: 0 }
    }

    #[test]
    fn a_hub_hears_a_chat_while_one_of_its_connections_does() {
        let (chat, ann) = (ChatId::parse(1).unwrap(), UserId::parse(1).unwrap());
        let mut roster = Roster::default();
        assert!(roster.enter(session(1, 0), ann));
        assert!(!roster.enter(session(1, 0), ann));
        assert!(roster.listen(session(1, 0), chat, false));
        assert!(roster.listen(session(1, 1), chat, true));
        assert!(!roster.listen(session(1, 1), chat, true));
        assert_eq!(roster.hubs_hearing(chat).collect::<Vec<_>>(), [1]);
        assert_eq!(roster.leave(session(1, 0)), Some(ann));
        assert!(roster.is_heard(chat));
        assert_eq!(roster.leave(session(1, 1)), None);
        assert!(!roster.is_heard(chat));
        assert!(roster.sessions_of(ann).is_empty());
        assert!(roster.is_empty());
    }

    #[test]
    fn who_unsubscribed_is_not_subscribed_again_by_membership() {
        let (chat, ann) = (ChatId::parse(1).unwrap(), UserId::parse(1).unwrap());
        let mut roster = Roster::default();
        roster.enter(session(0, 0), ann);
        roster.listen(session(0, 0), chat, false);
        assert!(roster.unlisten(session(0, 0), chat, true));
        assert!(!roster.listen(session(0, 0), chat, false));
        assert!(roster.listen(session(0, 0), chat, true));
    }
}
