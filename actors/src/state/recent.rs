//! A chat's newest events in memory, oldest first and without gaps.
//!
//! A message stands here in its current state: an edit replaces it, a deletion empties it. What is older is read from
//! the query tables.

use std::collections::VecDeque;
use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{MessageId, Seq};

use crate::page::text_bytes;

/// What a message costs beside its texts, in bytes: itself and its counts, its slot and the slack of the list, and the
/// allocator's rounding of both texts.
const MESSAGE_BYTES: usize = 128 + 24 + 16;
/// What its signature costs.
const SIGNATURE_BYTES: usize = 96 + 16;
/// What another event costs beside its texts.
const OTHER_BYTES: usize = 128 + 24 + 16;

/// The newest events of one chat.
#[derive(Debug, Default)]
pub struct Recent {
    entries: VecDeque<Entry>,
    messages: usize,
    bytes: usize,
}

/// What to keep of one chat.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// At most so many messages.
    pub messages: usize,
}

/// One event. Nearly all are messages, and those are kept without the event around them.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A message, in its current state.
    Message(Arc<Message>),
    /// Anything else.
    Other(Arc<Event>),
}

impl Entry {
    /// Its number.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Message(message) => message.seq,
            Self::Other(event) => event.seq(),
        }
    }

    /// The message, if it is one.
    pub fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Self::Message(message) => Some(message),
            Self::Other(_) => None,
        }
    }

    fn other(&self) -> Option<Arc<Event>> {
        match self {
            Self::Message(_) => None,
            Self::Other(event) => Some(Arc::clone(event)),
        }
    }

    /// The event as clients see it.
    pub fn to_event(&self) -> Event {
        match self {
            Self::Message(message) => Event::Message(Arc::clone(message)),
            Self::Other(event) => Event::clone(event),
        }
    }

    /// The text it carries, in bytes.
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.content.len(),
            Self::Other(event) => text_bytes(event),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Message(message) => {
                let name = message.client_id.as_ref().map_or(0, |id| id.as_str().len() + 8);
                let signature = message.signature.as_ref().map_or(0, |_| SIGNATURE_BYTES);
                MESSAGE_BYTES + message.content.len() + name + signature
            }
            Self::Other(event) => OTHER_BYTES + text_bytes(event),
        }
    }
}

impl From<&Arc<Event>> for Entry {
    fn from(event: &Arc<Event>) -> Self {
        match &**event {
            Event::Message(message) => Self::Message(Arc::clone(message)),
            _ => Self::Other(Arc::clone(event)),
        }
    }
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        match event {
            Event::Message(message) => Self::Message(message),
            other => Self::Other(Arc::new(other)),
        }
    }
}

impl Recent {
    /// What it takes of memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The oldest number held.
    pub fn first(&self) -> Option<Seq> {
        self.entries.front().map(Entry::seq)
    }

    /// How many messages are held.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Adds the chat's next event, and drops the oldest beyond `keep`.
    pub fn push(&mut self, entry: Entry, keep: Keep) {
        if self.entries.back().is_some_and(|last| last.seq().next() != entry.seq()) {
            // Cannot follow on what is held: start anew rather than hold a gap.
            self.clear();
        }
        self.bytes += entry.cost();
        self.messages += usize::from(entry.message().is_some());
        self.entries.push_back(entry);
        while self.messages > keep.messages || self.entries.len() > keep.messages.saturating_mul(2) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.cost();
            self.messages -= usize::from(entry.message().is_some());
        }
    }

    /// Puts older events in front, where they lead up to what is held (or, with nothing held, up to `head`).
    pub fn warm(&mut self, older: Vec<Event>, head: Seq, keep: Keep) {
        let up_to = self.first().map_or(head, |first| Seq(first.0.saturating_sub(1)));
        let older: Vec<Entry> = older.into_iter().filter(|event| event.seq() <= up_to).map(Entry::from).collect();
        let whole = older.windows(2).all(|pair| pair[0].seq().next() == pair[1].seq());
        if !whole || older.last().map(Entry::seq) != Some(up_to) {
            return;
        }
        for entry in older.into_iter().rev() {
            let is_message = usize::from(entry.message().is_some());
            if self.messages + is_message > keep.messages || self.entries.len() >= keep.messages.saturating_mul(2) {
                break;
            }
            self.bytes += entry.cost();
            self.messages += is_message;
            self.entries.push_front(entry);
        }
        // They were read some time ago: what has happened to them since is held, and not in them yet.
        let since: Vec<Arc<Event>> =
            self.entries.iter().filter(|entry| entry.seq() > up_to).filter_map(Entry::other).collect();
        for event in since {
            self.follow(&event);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The newest message held.
    pub fn last_message(&self) -> Option<&Arc<Message>> {
        self.newest_first().next()
    }

    /// The message with this id.
    pub fn message(&self, id: MessageId) -> Option<&Arc<Message>> {
        // Messages stand in the order of their ids.
        self.newest_first().find(|message| message.id <= id).filter(|message| message.id == id)
    }

    /// Does to what is held what `event` does: an edit replaces a message, a deletion empties it and its edits.
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::MessageEdited(edited) => self.change(edited.message_seq, |message| {
                message.content = edited.content.clone();
                message.edited_at = Some(edited.edited_at);
                message.signature = None;
            }),
            Event::MessageDeleted(deleted) => {
                self.change(deleted.message_seq, |message| {
                    message.content = Box::default();
                    message.deleted = true;
                    message.signature = None;
                });
                self.redact_edits(deleted.message_seq);
            }
            _ => {}
        }
    }

    fn change(&mut self, seq: Seq, change: impl FnOnce(&mut Message)) {
        let Some(index) = self.first().and_then(|first| seq.0.checked_sub(first.0)) else { return };
        let Some(slot) = usize::try_from(index).ok().and_then(|index| self.entries.get_mut(index)) else { return };
        if let Entry::Message(message) = slot {
            let mut message = Message::clone(message);
            change(&mut message);
            replace(&mut self.bytes, slot, Entry::Message(Arc::new(message)));
        }
    }

    /// Empties the contents of all edits of the message that was event `seq`: it was deleted.
    fn redact_edits(&mut self, seq: Seq) {
        for slot in &mut self.entries {
            if let Entry::Other(event) = slot
                && let Event::MessageEdited(edited) = &**event
                && edited.message_seq == seq
                && !edited.content.is_empty()
            {
                let mut edited = edited.clone();
                edited.content = Box::default();
                replace(&mut self.bytes, slot, Entry::Other(Arc::new(Event::MessageEdited(edited))));
            }
        }
    }

    /// The events after a number, if all of them are held.
    pub fn events_after(&self, after: Seq) -> Option<impl Iterator<Item = &Entry>> {
        let skip = after.0.checked_add(1)?.checked_sub(self.first()?.0)?;
        Some(self.entries.iter().skip(usize::try_from(skip).ok()?))
    }

    /// How many messages have a number above `seq`, if that can be told from what is held.
    pub fn messages_after(&self, seq: Seq) -> Option<u64> {
        Some(self.events_after(seq)?.filter(|entry| entry.message().is_some()).count() as u64)
    }

    /// The messages held, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.entries.iter().rev().filter_map(Entry::message)
    }
}

fn replace(bytes: &mut usize, slot: &mut Entry, entry: Entry) {
    *bytes = *bytes - slot.cost() + entry.cost();
    *slot = entry;
}

#[cfg(test)]
mod tests {
    use chappe_proto::event::MemberLeft;
    use chappe_proto::{ChatId, Millis, UserId};

    use super::*;

    const KEEP: Keep = Keep { messages: 4 };

    fn message(seq: u64) -> Event {
        Event::Message(Arc::new(Message {
            id: MessageId::parse(seq * 10).unwrap(),
            chat_id: ChatId::parse(1).unwrap(),
            seq: Seq(seq),
            sender_id: UserId::parse(1).unwrap(),
            content: "x".into(),
            message_type: Default::default(),
            client_id: None,
            reply_to: None,
            created_at: Millis(0),
            edited_at: None,
            deleted: false,
            signature: None,
        }))
    }

    fn left(seq: u64) -> Event {
        let (chat_id, user_id) = (ChatId::parse(1).unwrap(), UserId::parse(1).unwrap());
        Event::MemberLeft(MemberLeft { chat_id, seq: Seq(seq), user_id, at: Millis(0) })
    }

    fn seqs(recent: &Recent) -> Vec<u64> {
        recent.entries.iter().map(|entry| entry.seq().0).collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_bytes_with_them() {
        let mut recent = Recent::default();
        for seq in 1..=20 {
            recent.push(if seq % 2 == 0 { left(seq) } else { message(seq) }.into(), KEEP);
        }
        assert_eq!(seqs(&recent), [13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(recent.bytes, recent.entries.iter().map(Entry::cost).sum::<usize>());
        recent.clear();
        assert_eq!(recent.bytes(), 0);
    }

    #[test]
    fn a_message_is_found_by_number_and_by_id() {
        let mut recent = Recent::default();
        for event in [message(5), left(6), message(7)] {
            recent.push(event.into(), KEEP);
        }
        assert_eq!(recent.message(MessageId::parse(70).unwrap()).map(|m| m.seq), Some(Seq(7)));
        assert_eq!(recent.message(MessageId::parse(60).unwrap()), None);
        assert_eq!(recent.messages_after(Seq(5)), Some(1));
        assert_eq!(recent.messages_after(Seq(4)), Some(2));
        assert_eq!(recent.messages_after(Seq(3)), None, "what came before 5 is not known here");
        assert_eq!(recent.messages_after(Seq(7)), Some(0));
    }

    #[test]
    fn older_events_are_taken_only_where_they_lead_up_to_what_is_held() {
        let mut recent = Recent::default();
        recent.push(message(8).into(), KEEP);
        recent.warm(vec![message(5), message(6)], Seq(8), KEEP);
        assert_eq!(seqs(&recent), [8]);
        recent.warm(vec![message(5), message(6), message(7), message(8)], Seq(8), KEEP);
        assert_eq!(seqs(&recent), [5, 6, 7, 8]);
    }
}
