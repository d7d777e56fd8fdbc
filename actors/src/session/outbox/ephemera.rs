//! What waits to be sent to one connection and is not kept: who types, who has read, how users are. Newer replaces older
//! that has not left, so that a client which reads slowly finds the present and no history of it.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use chappe_proto::batch::{self, StatusPart};
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::Packet;
use chappe_proto::{ChatId, UserId};

use crate::metrics::metrics;
use crate::session::queue::as_level;

/// So many may wait, besides presence and what the transport says.
const MAX_WAITING: usize = 128;
/// Changes of presence that may wait: the latest of so many users.
const MAX_CHANGES: usize = 4096;
/// The largest packet of presence, in bytes; of more there are several.
const MAX_PACKET: usize = 256 * 1024;

/// What it is about: of two about the same the newer one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Whether a user types in a chat.
    Typing(ChatId, UserId),
    /// How far a user has read in a chat.
    Read(ChatId, UserId),
    /// The server asks whether the client lives: in the transport's own words.
    Ping,
    /// The answer to the same question of the client's.
    Pong,
}

impl Topic {
    /// What a packet is about that is not kept; `None` of any other.
    pub fn of(packet: &Packet) -> Option<Self> {
        match packet {
            Packet::Typing(typing) => Some(Self::Typing(typing.chat_id, typing.user_id)),
            Packet::Read(read) => Some(Self::Read(read.chat_id, read.user_id)),
            _ => None,
        }
    }

    fn chat(self) -> Option<ChatId> {
        match self {
            Self::Typing(chat, _) | Self::Read(chat, _) => Some(chat),
            Self::Ping | Self::Pong => None,
        }
    }
}

/// A user whose presence changed, encoded.
#[derive(Debug)]
pub struct Change {
    /// Who.
    pub user: UserId,
    /// The chats in which it is told.
    pub chats: Box<[ChatId]>,
    /// How they are now.
    pub part: StatusPart,
}

/// The changes of one tick that concern a listener, by user.
#[derive(Debug, Default)]
pub struct Changes(pub Vec<Arc<Change>>);

impl Changes {
    /// Both, of each user the newer one.
    fn merged(older: &Self, newer: &Self) -> Self {
        let (mut older, mut newer) = (older.0.iter().peekable(), newer.0.iter().peekable());
        let mut both = Vec::with_capacity(older.len().max(newer.len()));
        loop {
            let from_older = match (older.peek(), newer.peek()) {
                (None, None) => return Self(both),
                (Some(one), Some(other)) if one.user == other.user => {
                    older.next();
                    false
                }
                (Some(one), Some(other)) => one.user < other.user,
                (one, _) => one.is_some(),
            };
            both.extend(if from_older { older.next() } else { newer.next() }.cloned());
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ephemera {
    /// The oldest first.
    waiting: Vec<(Topic, Bytes)>,
    presence: Option<Rc<Changes>>,
    /// What it holds, in bytes; counted among those of all outboxes.
    bytes: usize,
}

impl Ephemera {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets something in. `false` if there is no room for it.
    pub(super) fn put(&mut self, topic: Topic, bytes: Bytes) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING || topic.chat().is_none();
        match self.waiting.iter_mut().find(|(other, _)| *other == topic) {
            Some((_, older)) => *older = bytes,
            None if has_room => self.waiting.push((topic, bytes)),
            None => return false,
        }
        self.count();
        true
    }

    /// Lets changes of presence in. How many of them, or of those that wait, are dropped.
    pub(super) fn put_presence(&mut self, changes: &Rc<Changes>) -> usize {
        let Some(older) = &self.presence else {
            // Most often they leave at once, and every listener with the same ones shares them.
            self.presence = Some(Rc::clone(changes));
            return 0;
        };
        let mut merged = Changes::merged(older, changes);
        let dropped = merged.0.len().saturating_sub(MAX_CHANGES);
        merged.0.truncate(MAX_CHANGES);
        self.presence = Some(Rc::new(merged));
        self.count();
        dropped
    }

    /// Forgets what is about these chats.
    pub(super) fn forget(&mut self, chats: &[ChatId]) {
        self.waiting.retain(|(topic, _)| topic.chat().is_none_or(|chat| !chats.contains(&chat)));
        self.count();
    }

    /// Makes room: only presence stays, and what the transport says. How many are dropped.
    pub(super) fn shed(&mut self) -> usize {
        let before = self.waiting.len();
        self.waiting.retain(|(topic, _)| topic.chat().is_none());
        self.count();
        before - self.waiting.len()
    }

    /// All that waits, the oldest first; of presence as much as fits into `limit` bytes. The rest, if there is one.
    pub(super) fn take(
        mut self: Box<Self>,
        encoder: &mut Encoder,
        wire: Wire,
        limit: usize,
        send: &mut impl FnMut(Bytes),
    ) -> Option<Box<Self>> {
        for (topic, bytes) in std::mem::take(&mut self.waiting) {
            if matches!(topic, Topic::Typing(..)) {
                metrics().typing_packets.inc();
            }
            send(bytes);
        }
        let presence = self.presence.take()?;
        let (limit, mut size) = (limit.min(MAX_PACKET), 0);
        let fits = |change: &&Arc<Change>| {
            size += change.part.size(wire);
            size <= limit
        };
        // One at least: a packet that is too large for its outbox is better than one that never leaves.
        let count = presence.0.iter().take_while(fits).count().max(1);
        let (now, later) = presence.0.split_at(count.min(presence.0.len()));
        let mut bytes = Vec::new();
        batch::put(encoder, wire, now.iter().map(|change| &change.part), &mut bytes);
        if !bytes.is_empty() {
            metrics().presence_packets.inc();
            send(Bytes::from(bytes));
        }
        if later.is_empty() {
            return None;
        }
        self.presence = Some(Rc::new(Changes(later.to_vec())));
        self.count();
        Some(self)
    }

    fn count(&mut self) {
        let changes = self.presence.as_ref().map_or(0, |changes| size_of_val(changes.0.as_slice()));
        self.hold(changes + self.waiting.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
    }

    fn hold(&mut self, bytes: usize) {
        let level = &metrics().outbox_bytes;
        level.inc_by(as_level(bytes));
        level.dec_by(as_level(self.bytes));
        self.bytes = bytes;
    }
}

impl Drop for Ephemera {
    fn drop(&mut self) {
        self.hold(0);
    }
}
