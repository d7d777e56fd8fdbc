//! A chat's newest events in memory, oldest first and without gaps.
//!
//! A message stands here in its current state: an edit replaces it, a deletion empties it. What is older is read from
//! the query tables.

use std::collections::VecDeque;
use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::{MessageId, Seq};

/// What an entry costs beside its texts: the event, its counts, the slot, and the allocator's share.
const ENTRY_BYTES: usize = 176;

/// The newest events of one chat.
#[derive(Debug, Default)]
pub struct Recent {
    entries: VecDeque<Arc<Event>>,
    messages: usize,
    bytes: usize,
}

/// What to keep of one chat.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// At most so many messages.
    pub messages: usize,
}

fn cost(event: &Event) -> usize {
    let texts = match event {
        Event::Message(m) => m.content.len() + m.client_id.as_ref().map_or(0, |id| id.as_str().len() + 16),
        Event::MessageEdited(edited) => edited.content.len(),
        Event::ChatCreated(created) => created.title.len() + created.members.len() * 8,
        Event::ChatUpdated(updated) => updated.title.len(),
        _ => 0,
    };
    ENTRY_BYTES + texts
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
        self.entries.front().map(|event| event.seq())
    }

    /// How many messages are held.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Adds the chat's next event, and drops the oldest beyond `keep`.
    pub fn push(&mut self, event: Arc<Event>, keep: Keep) {
        if self.entries.back().is_some_and(|last| last.seq().next() != event.seq()) {
            // Cannot follow on what is held: start anew rather than hold a gap.
            self.clear();
        }
        self.bytes += cost(&event);
        self.messages += usize::from(event.message().is_some());
        self.entries.push_back(event);
        while self.messages > keep.messages || self.entries.len() > keep.messages.saturating_mul(2) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(event) = self.entries.pop_front() {
            self.bytes -= cost(&event);
            self.messages -= usize::from(event.message().is_some());
        }
    }

    /// Puts older events in front, where they lead up to what is held (or, with nothing held, up to `head`).
    pub fn warm(&mut self, older: Vec<Arc<Event>>, head: Seq, keep: Keep) {
        let up_to = self.first().map_or(head, |first| Seq(first.0.saturating_sub(1)));
        let older: Vec<_> = older.into_iter().filter(|event| event.seq() <= up_to).collect();
        let whole = older.windows(2).all(|pair| pair[0].seq().next() == pair[1].seq());
        if !whole || older.last().map(|event| event.seq()) != Some(up_to) {
            return;
        }
        for event in older.into_iter().rev() {
            let is_message = usize::from(event.message().is_some());
            if self.messages + is_message > keep.messages || self.entries.len() >= keep.messages.saturating_mul(2) {
                break;
            }
            self.bytes += cost(&event);
            self.messages += is_message;
            self.entries.push_front(event);
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The newest message held.
    pub fn last_message(&self) -> Option<&Arc<Message>> {
        self.entries.iter().rev().find_map(|event| event.message())
    }

    /// The event with this number.
    pub fn get(&self, seq: Seq) -> Option<&Arc<Event>> {
        let index = seq.0.checked_sub(self.first()?.0)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// The message with this id.
    pub fn message(&self, id: MessageId) -> Option<&Arc<Message>> {
        // Messages are in the order of their ids; what lies between them is not: walk back, it is a short list.
        self.entries
            .iter()
            .rev()
            .filter_map(|event| event.message())
            .find(|message| message.id <= id)
            .filter(|m| m.id == id)
    }

    /// Changes the message that was event `seq`, if it is held.
    pub fn change(&mut self, seq: Seq, change: impl FnOnce(&mut Message)) {
        let Some(index) = self.first().and_then(|first| seq.0.checked_sub(first.0)) else { return };
        let Some(slot) = usize::try_from(index).ok().and_then(|index| self.entries.get_mut(index)) else { return };
        if let Event::Message(message) = &**slot {
            let mut message = Message::clone(message);
            change(&mut message);
            let event = Arc::new(Event::Message(Arc::new(message)));
            self.bytes = self.bytes - cost(slot) + cost(&event);
            *slot = event;
        }
    }

    /// Empties the contents of all edits of the message that was event `seq`: it was deleted.
    pub fn redact_edits(&mut self, seq: Seq) {
        for slot in &mut self.entries {
            if let Event::MessageEdited(edited) = &**slot
                && edited.message_seq == seq
                && !edited.content.is_empty()
            {
                let mut edited = edited.clone();
                edited.content = Box::default();
                let event = Arc::new(Event::MessageEdited(edited));
                self.bytes = self.bytes - cost(slot) + cost(&event);
                *slot = event;
            }
        }
    }

    /// The events after a number, if all of them are held.
    pub fn events_after(&self, after: Seq) -> Option<impl Iterator<Item = &Arc<Event>>> {
        let skip = (after.0 + 1).checked_sub(self.first()?.0)?;
        Some(self.entries.iter().skip(usize::try_from(skip).ok()?))
    }

    /// How many messages have a number above `seq`, if that can be told from what is held.
    pub fn messages_after(&self, seq: Seq) -> Option<u64> {
        Some(self.events_after(seq)?.filter(|event| event.message().is_some()).count() as u64)
    }

    /// The messages held, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.entries.iter().rev().filter_map(|event| event.message())
    }
}

#[cfg(test)]
mod tests {
    use chappe_proto::event::MemberLeft;
    use chappe_proto::{ChatId, Millis, UserId};

    use super::*;

    const KEEP: Keep = Keep { messages: 4 };

    fn message(seq: u64) -> Arc<Event> {
        Arc::new(Event::Message(Arc::new(Message {
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
        })))
    }

    fn left(seq: u64) -> Arc<Event> {
        let (chat_id, user_id) = (ChatId::parse(1).unwrap(), UserId::parse(1).unwrap());
        Arc::new(Event::MemberLeft(MemberLeft { chat_id, seq: Seq(seq), user_id, at: Millis(0) }))
    }

    fn seqs(recent: &Recent) -> Vec<u64> {
        recent.entries.iter().map(|event| event.seq().0).collect()
    }

    #[test]
    fn the_oldest_go_first_and_the_bytes_with_them() {
        let mut recent = Recent::default();
        for seq in 1..=20 {
            recent.push(if seq % 2 == 0 { left(seq) } else { message(seq) }, KEEP);
        }
        assert_eq!(seqs(&recent), [13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(recent.bytes, recent.entries.iter().map(|event| cost(event)).sum::<usize>());
        recent.clear();
        assert_eq!(recent.bytes(), 0);
    }

    #[test]
    fn a_message_is_found_by_number_and_by_id() {
        let mut recent = Recent::default();
        for event in [message(5), left(6), message(7)] {
            recent.push(event, KEEP);
        }
        assert_eq!(recent.message(MessageId::parse(70).unwrap()).map(|m| m.seq), Some(Seq(7)));
        assert_eq!(recent.message(MessageId::parse(60).unwrap()), None);
        assert_eq!(recent.get(Seq(6)).map(|event| event.seq()), Some(Seq(6)));
        assert_eq!(recent.get(Seq(4)), None);
        assert_eq!(recent.messages_after(Seq(5)), Some(1));
        assert_eq!(recent.messages_after(Seq(4)), Some(2));
        assert_eq!(recent.messages_after(Seq(3)), None, "what came before 5 is not known here");
        assert_eq!(recent.messages_after(Seq(7)), Some(0));
    }

    #[test]
    fn older_events_are_taken_only_where_they_lead_up_to_what_is_held() {
        let mut recent = Recent::default();
        recent.push(message(8), KEEP);
        recent.warm(vec![message(5), message(6)], Seq(8), KEEP);
        assert_eq!(seqs(&recent), [8]);
        recent.warm(vec![message(5), message(6), message(7), message(8)], Seq(8), KEEP);
        assert_eq!(seqs(&recent), [5, 6, 7, 8]);
    }
}
