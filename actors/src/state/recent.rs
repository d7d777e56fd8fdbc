//! A chat's newest events in memory, oldest first and without gaps.
//!
//! A message stands here in its current state: an edit replaces it, a deletion empties it. What is older is read from
//! the query tables. They lie packed in a few `Leaf`s, so that an event costs little more than its texts, a page is
//! a copy of bytes, and what the oldest took is given back a leaf at a time.

mod leaf;

use std::collections::VecDeque;
use std::ops::Range;

use chappe_proto::event::{Event, MessageEdited, Reaction};
use chappe_proto::message::Message;
use chappe_proto::packed::{self, Entry, MessageView, Packed};
use chappe_proto::{ChatId, MessageId, Seq};

use self::leaf::Leaf;
use crate::page::{self, PAGE_BYTES, fitting};

/// The newest events of one chat.
#[derive(Debug)]
pub struct Recent {
    chat: ChatId,
    leaves: VecDeque<Leaf>,
    /// How many there are of them all.
    events: usize,
    messages: usize,
    /// What the leaves take beside their places in the list.
    bytes: usize,
}

/// What to keep of one chat.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// At most so many messages.
    pub messages: usize,
}

/// What of it is counted, and copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Messages.
    Messages,
    /// All events.
    Events,
}

impl What {
    fn is(self, entry: Entry<'_>) -> bool {
        self == Self::Events || entry.is_message()
    }
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its begin.
    Oldest,
    /// Its end.
    Newest,
}

impl Recent {
    /// Nothing of `chat`.
    pub fn new(chat: ChatId) -> Self {
        Self { chat, leaves: VecDeque::new(), events: 0, messages: 0, bytes: 0 }
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> usize {
        self.bytes + self.leaves.capacity() * size_of::<Leaf>()
    }

    /// The oldest number held.
    pub fn first(&self) -> Option<Seq> {
        self.leaves.front().map(|leaf| leaf.first)
    }

    /// How many messages, or events, are held.
    pub fn count(&self, what: What) -> usize {
        match what {
            What::Messages => self.messages,
            What::Events => self.events,
        }
    }

    /// Adds the chat's next event, and drops the oldest beyond `keep`.
    pub fn push(&mut self, seq: Seq, entry: Entry<'_>, keep: Keep) {
        if self.first().is_some_and(|first| first.0.checked_add(self.events as u64) != Some(seq.0)) {
            // Cannot follow on what is held: start anew rather than hold a gap.
            self.clear();
        }
        self.append(seq, entry);
        while self.messages > keep.messages || self.events > keep.messages.saturating_mul(2) {
            self.drop_oldest();
        }
    }

    fn append(&mut self, seq: Seq, entry: Entry<'_>) {
        let is_alone = match self.leaves.back_mut() {
            Some(last) if last.has_room(entry) => self.leaves.len() == 1,
            last => {
                if let Some(last) = last {
                    self.bytes -= last.tighten();
                } else {
                    // Most chats are small: no room for leaves that never come.
                    self.leaves.reserve_exact(1);
                }
                self.leaves.push_back(Leaf::new(seq));
                self.leaves.len() == 1
            }
        };
        if let Some(last) = self.leaves.back_mut() {
            self.bytes += last.push(entry, is_alone);
            self.events += 1;
            self.messages += usize::from(entry.is_message());
        }
    }

    fn drop_oldest(&mut self) {
        let Some(leaf) = self.leaves.front_mut() else { return };
        self.events -= 1;
        self.messages -= usize::from(leaf.drop_first());
        if leaf.is_empty()
            && let Some(leaf) = self.leaves.pop_front()
        {
            self.bytes -= leaf.bytes();
        }
    }

    /// Drops what has this number or a lower one, and takes the words out of what is about such a message.
    pub fn drop_until(&mut self, seq: Seq) {
        while self.first().is_some_and(|first| first <= seq) {
            self.drop_oldest();
        }
        let about = self.others(seq).filter_map(|(_, entry)| match entry.event(self.chat)? {
            Event::MessageEdited(edited) if edited.message_seq <= seq && !edited.content.is_empty() => {
                Some(Event::MessageEdited(MessageEdited { content: Box::default(), ..edited }))
            }
            Event::Reaction(reaction) if reaction.message_seq <= seq && !reaction.emoji.is_empty() => {
                Some(Event::Reaction(Reaction { emoji: Box::default(), removed: true, ..reaction }))
            }
            _ => None,
        });
        for event in about.collect::<Vec<_>>() {
            self.replace(event.seq(), &event);
        }
    }

    /// Puts older events in front, where they lead up to what is held (or, with nothing held, up to `head`).
    pub fn warm(&mut self, older: &[Event], head: Seq, keep: Keep) {
        let up_to = self.first().map_or(head, |first| Seq(first.0.saturating_sub(1)));
        let older = &older[..older.partition_point(|event| event.seq() <= up_to)];
        let whole = older.windows(2).all(|pair| pair[0].seq().next() == pair[1].seq());
        if !whole || older.last().map(Event::seq) != Some(up_to) {
            return;
        }
        let (mut messages, mut events) = (self.messages, self.events);
        let taken = older.iter().rev().take_while(|event| {
            messages += usize::from(event.message().is_some());
            events += 1;
            messages <= keep.messages && events <= keep.messages.saturating_mul(2)
        });
        let taken = &older[older.len() - taken.count()..];
        let mut all = Self::new(self.chat);
        let mut body = Vec::new();
        for event in taken {
            body.clear();
            packed::pack(event, &mut body);
            all.append(event.seq(), Entry::new(&body));
        }
        all.join(std::mem::replace(self, Self::new(self.chat)));
        *self = all;
        // They were read some time ago: what has happened to them since is held, and not in them yet.
        let since = Seq(up_to.0.saturating_add(1));
        let since: Vec<Event> = self.others(since).filter_map(|(_, entry)| entry.event(self.chat)).collect();
        since.iter().for_each(|event| self.follow(event));
    }

    /// Adds what follows on it.
    fn join(&mut self, mut newer: Self) {
        if !newer.leaves.is_empty()
            && let Some(last) = self.leaves.back_mut()
        {
            self.bytes -= last.tighten();
        }
        self.leaves.append(&mut newer.leaves);
        self.events += newer.events;
        self.messages += newer.messages;
        self.bytes += newer.bytes;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::new(self.chat);
    }

    /// The newest message held.
    pub fn last_message(&self) -> Option<Message> {
        self.last_view()?.to_message()
    }

    /// How long its content is; 0 if none is held.
    pub fn last_message_bytes(&self) -> usize {
        self.last_view().map_or(0, |message| message.content.len())
    }

    fn last_view(&self) -> Option<MessageView<'_>> {
        let leaf = self.leaves.iter().rev().find(|leaf| leaf.count(What::Messages) > 0)?;
        leaf.messages(self.chat).last()
    }

    /// The message with this id.
    pub fn message(&self, id: MessageId) -> Option<Message> {
        // Messages stand in the order of their ids.
        let begins = |leaf: &&Leaf| leaf.messages(self.chat).next().is_some_and(|first| first.id <= id);
        let leaf = self.leaves.iter().rev().find(begins)?;
        leaf.messages(self.chat).find(|message| message.id == id)?.to_message()
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
        let Some(leaf) = self.leaf_of(seq).and_then(|index| self.leaves.get(index)) else { return };
        let found = leaf.numbered().find(|(number, _)| *number == seq);
        let message = found.and_then(|(_, entry)| entry.message(self.chat)?.to_message());
        if let Some(mut message) = message {
            change(&mut message);
            self.replace(seq, &Event::Message(message.into()));
        }
    }

    /// Empties the contents of all edits of the message that was event `seq`: it was deleted.
    fn redact_edits(&mut self, seq: Seq) {
        let edits = self.others(seq).filter_map(|(_, entry)| match entry.event(self.chat)? {
            Event::MessageEdited(edited) if edited.message_seq == seq && !edited.content.is_empty() => Some(edited),
            _ => None,
        });
        for mut edited in edits.collect::<Vec<_>>() {
            edited.content = Box::default();
            self.replace(edited.seq, &Event::MessageEdited(edited));
        }
    }

    /// Puts `event` into the place of the one numbered `seq`. Its leaf is written anew, as several if it became too large.
    fn replace(&mut self, seq: Seq, event: &Event) {
        let Some(index) = self.leaf_of(seq) else { return };
        let mut newer = self.leaves.split_off(index);
        let Some(old) = newer.pop_front() else { return };
        let mut anew = Self::new(self.chat);
        let mut body = Vec::new();
        packed::pack(event, &mut body);
        for (number, entry) in old.numbered() {
            anew.append(number, if number == seq { Entry::new(&body) } else { entry });
        }
        self.events -= old.count(What::Events);
        self.messages -= old.count(What::Messages);
        self.bytes -= old.bytes();
        self.join(anew);
        if !newer.is_empty()
            && let Some(last) = self.leaves.back_mut()
        {
            self.bytes -= last.tighten();
        }
        self.leaves.append(&mut newer);
    }

    /// Which leaf holds the event with this number.
    fn leaf_of(&self, seq: Seq) -> Option<usize> {
        self.leaves.partition_point(|leaf| leaf.first <= seq).checked_sub(1)
    }

    /// All that is not a message, from the leaf on that holds `seq`.
    fn others(&self, seq: Seq) -> impl Iterator<Item = (Seq, Entry<'_>)> {
        let leaves = self.leaves.iter().skip(self.leaf_of(seq).unwrap_or(0));
        let mixed = leaves.filter(|leaf| leaf.count(What::Messages) < leaf.count(What::Events));
        mixed.flat_map(Leaf::numbered).filter(|(_, entry)| !entry.is_message())
    }

    /// How many messages, or events, with a number up to `seq` are held, if that one is held or the next.
    pub fn count_up_to(&self, what: What, seq: Seq) -> Option<usize> {
        let next = Seq(seq.0.checked_add(1)?);
        if next < self.first()? {
            return None;
        }
        let index = self.leaves.partition_point(|leaf| leaf.first < next);
        let mut leaves = self.leaves.iter().take(index);
        let last = leaves.next_back();
        let before: usize = leaves.map(|leaf| leaf.count(what)).sum();
        let within = |leaf: &Leaf| {
            leaf.numbered().take_while(|(number, _)| *number <= seq).filter(|(_, entry)| what.is(*entry)).count()
        };
        Some(before + last.map_or(0, within))
    }

    /// How many messages have a number above `seq`, if that can be told from what is held.
    pub fn messages_after(&self, seq: Seq) -> Option<u64> {
        Some((self.messages - self.count_up_to(What::Messages, seq)?) as u64)
    }

    /// A range of the messages, or of all events, counted from the oldest held: of what does not fit into one page only
    /// what stands at `end`.
    pub fn page(&self, what: What, mut range: Range<usize>, end: End) -> Packed {
        let room: usize = self.leaves_of(what, &range).map(|(leaf, _)| leaf.live().len()).sum();
        if room > PAGE_BYTES {
            let entries = self.leaves_of(what, &range).flat_map(|(leaf, part)| leaf.part(what, part));
            let sizes: Vec<usize> = entries.map(|entry| self.text_bytes(entry)).collect();
            match end {
                End::Oldest => range.end = range.start + fitting(sizes.into_iter()),
                End::Newest => range.start = range.end - fitting(sizes.into_iter().rev()),
            }
        }
        let mut packed = Packed::new(self.chat, room.min(2 * PAGE_BYTES));
        for (leaf, part) in self.leaves_of(what, &range) {
            if part.len() == leaf.count(What::Events) {
                packed.extend(part.len(), leaf.live());
            } else {
                leaf.part(what, part).for_each(|entry| packed.push(entry));
            }
        }
        packed
    }

    /// The leaves in which a range lies, and which part of each it is.
    fn leaves_of(&self, what: What, range: &Range<usize>) -> impl Iterator<Item = (&Leaf, Range<usize>)> {
        let (from, to) = (range.start, range.end);
        let mut at = 0;
        self.leaves.iter().filter_map(move |leaf| {
            let begin = at;
            at += leaf.count(what);
            let part = from.max(begin)..to.min(at);
            (!part.is_empty()).then(|| (leaf, part.start - begin..part.end - begin))
        })
    }

    fn text_bytes(&self, entry: Entry<'_>) -> usize {
        match entry.message(self.chat) {
            Some(message) => message.content.len(),
            None => entry.event(self.chat).as_ref().map_or(0, page::text_bytes),
        }
    }
}

#[cfg(test)]
#[path = "recent_tests.rs"]
mod tests;
