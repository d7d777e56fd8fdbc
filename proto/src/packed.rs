//! Events of one chat in few bytes: as memory holds them, and as a page of them goes from thread to thread. Read in place,
//! without an allocation; written as JSON and as the binary layout by [`crate::page`].
//!
//! An entry is the length of its body and the body; numbers are LEB128. The body of a message: a byte of flags, `seq`,
//! `id`, `sender_id`, `created_at`, then what the flags tell of (`edited_at`, `reply_to`, the length of `client_id` and
//! the `client_id`, the signature), and the rest is the content. The body of any other event: `OTHER`, and the event
//! in the binary format. The chat is the same for all of them, and stands beside.
//!
//! None of it leaves the program: neither the wire nor a disk ever sees these bytes.

use crate::event::Event;
use crate::format::{self, Encode};
use crate::ids::{ChatId, ClientId, MessageId, Millis, Seq, UserId};
use crate::message::{Message, MessageType};
use crate::signature::{Bytes, Signature};

/// The flags' low bits: a message's type by its place in [`TYPES`], or [`OTHER`].
const KIND: u8 = 0b111;
const OTHER: u8 = 0b111;
const DELETED: u8 = 1 << 3;
const EDITED: u8 = 1 << 4;
const ANSWERS: u8 = 1 << 5;
const NAMED: u8 = 1 << 6;
const SIGNED: u8 = 1 << 7;

const TYPES: [MessageType; 5] =
    [MessageType::Text, MessageType::Image, MessageType::File, MessageType::System, MessageType::Data];

/// A message, read where it lies. The fields are those of [`Message`], in its order: both are written alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode)]
#[allow(missing_docs, reason = "they are documented there")]
pub struct MessageView<'a> {
    pub id: MessageId,
    pub chat_id: ChatId,
    pub seq: Seq,
    pub sender_id: UserId,
    /// UTF-8: it was a `str` when it was packed.
    pub content: &'a [u8],
    pub message_type: MessageType,
    /// UTF-8 as well.
    pub client_id: Option<&'a [u8]>,
    pub reply_to: Option<MessageId>,
    pub created_at: Millis,
    pub edited_at: Option<Millis>,
    pub deleted: bool,
    pub signature: Option<Signature>,
}

impl<'a> From<&'a Message> for MessageView<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            id: message.id,
            chat_id: message.chat_id,
            seq: message.seq,
            sender_id: message.sender_id,
            content: message.content.as_bytes(),
            message_type: message.message_type,
            client_id: message.client_id.as_ref().map(|id| id.as_str().as_bytes()),
            reply_to: message.reply_to,
            created_at: message.created_at,
            edited_at: message.edited_at,
            deleted: message.deleted,
            signature: message.signature.as_deref().copied(),
        }
    }
}

impl MessageView<'_> {
    /// The message on its own. `None` if a text is not UTF-8, which it was when it was packed.
    pub fn to_message(&self) -> Option<Message> {
        let client_id = self.client_id.map(|id| ClientId::parse(std::str::from_utf8(id).ok()?).ok());
        Some(Message {
            id: self.id,
            chat_id: self.chat_id,
            seq: self.seq,
            sender_id: self.sender_id,
            content: std::str::from_utf8(self.content).ok()?.into(),
            message_type: self.message_type,
            client_id: client_id.flatten(),
            reply_to: self.reply_to,
            created_at: self.created_at,
            edited_at: self.edited_at,
            deleted: self.deleted,
            signature: self.signature.map(Box::new),
        })
    }

    /// Appends it as the body of an entry.
    pub fn pack(&self, out: &mut Vec<u8>) {
        let kind = TYPES.iter().zip(0u8..).find(|(known, _)| **known == self.message_type);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        out.push(
            kind.map_or(0, |(_, kind)| kind)
                | flag(self.deleted, DELETED)
                | flag(self.edited_at.is_some(), EDITED)
                | flag(self.reply_to.is_some(), ANSWERS)
                | flag(self.client_id.is_some(), NAMED)
                | flag(self.signature.is_some(), SIGNED),
        );
        for number in [self.seq.0, self.id.get(), self.sender_id.get(), self.created_at.0] {
            put_number(number, out);
        }
        if let Some(Millis(at)) = self.edited_at {
            put_number(at, out);
        }
        if let Some(answered) = self.reply_to {
            put_number(answered.get(), out);
        }
        if let Some(id) = self.client_id {
            put_bytes(id, out);
        }
        if let Some(Signature { key, value }) = &self.signature {
            out.extend_from_slice(&key.0);
            out.extend_from_slice(&value.0);
        }
        out.extend_from_slice(self.content);
    }
}

/// Appends an event as the body of an entry.
pub fn pack(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Message(message) => MessageView::from(&**message).pack(out),
        other => {
            out.push(OTHER);
            format::encode_into(other, out);
        }
    }
}

/// One event, where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a>(&'a [u8]);

impl<'a> Entry<'a> {
    /// The entry with this body, which was made by [`pack`] or [`MessageView::pack`].
    pub fn new(body: &'a [u8]) -> Self {
        Self(body)
    }

    /// Its body.
    pub fn body(self) -> &'a [u8] {
        self.0
    }

    /// What it takes with its length in front.
    pub fn len(self) -> usize {
        // Seven bits a byte.
        let bits = u64::BITS - (self.0.len() as u64 | 1).leading_zeros();
        self.0.len() + usize::try_from(bits.div_ceil(7)).unwrap_or(usize::MAX)
    }

    /// Never: a body has at least its flags.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Appends it with its length in front.
    pub fn put(self, out: &mut Vec<u8>) {
        put_bytes(self.0, out);
    }

    /// Whether it is a message.
    pub fn is_message(self) -> bool {
        self.0.first().is_some_and(|flags| flags & KIND != OTHER)
    }

    /// The message, if it is one.
    pub fn message(self, chat_id: ChatId) -> Option<MessageView<'a>> {
        let (&flags, rest) = self.0.split_first()?;
        let mut rest = Rest(rest);
        let message_type = *TYPES.get(usize::from(flags & KIND))?;
        let has = |flag: u8| flags & flag != 0;
        Some(MessageView {
            chat_id,
            message_type,
            deleted: has(DELETED),
            seq: Seq(rest.number()?),
            id: MessageId::parse(rest.number()?).ok()?,
            sender_id: UserId::parse(rest.number()?).ok()?,
            created_at: Millis(rest.number()?),
            edited_at: if has(EDITED) { Some(Millis(rest.number()?)) } else { None },
            reply_to: if has(ANSWERS) { Some(MessageId::parse(rest.number()?).ok()?) } else { None },
            client_id: if has(NAMED) { Some(rest.bytes()?) } else { None },
            signature: if has(SIGNED) {
                Some(Signature { key: Bytes(rest.array()?), value: Bytes(rest.array()?) })
            } else {
                None
            },
            content: rest.0,
        })
    }

    /// The event in the binary format, if it is not a message.
    pub fn other(self) -> Option<&'a [u8]> {
        self.0.strip_prefix(&[OTHER])
    }

    /// The event on its own.
    pub fn event(self, chat: ChatId) -> Option<Event> {
        match self.other() {
            Some(event) => format::decode(event).ok(),
            None => self.message(chat)?.to_message().map(|message| Event::Message(message.into())),
        }
    }
}

/// The entries that lie in these bytes one after another.
pub fn entries(bytes: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut rest = Rest(bytes);
    std::iter::from_fn(move || if rest.0.is_empty() { None } else { rest.bytes().map(Entry) })
}

/// Events of one chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Which chat.
    pub chat: ChatId,
    count: usize,
    bytes: Vec<u8>,
}

impl Packed {
    /// Nothing yet, and room for so many bytes.
    pub fn new(chat: ChatId, room: usize) -> Self {
        Self { chat, count: 0, bytes: Vec::with_capacity(room) }
    }

    /// How many events they are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What they take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds an event.
    pub fn push(&mut self, entry: Entry<'_>) {
        entry.put(&mut self.bytes);
        self.count += 1;
    }

    /// Adds `count` events that lie one after another.
    pub fn extend(&mut self, count: usize, entries: &[u8]) {
        self.bytes.extend_from_slice(entries);
        self.count += count;
    }

    /// All of them.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        entries(&self.bytes)
    }

    /// The messages among them.
    pub fn messages(&self) -> impl Iterator<Item = MessageView<'_>> {
        self.entries().filter_map(|entry| entry.message(self.chat))
    }

    /// All of them, on their own.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.entries().filter_map(|entry| entry.event(self.chat))
    }

    /// These events, which are all of `chat`.
    pub fn of<'a>(chat: ChatId, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut packed = Self::new(chat, 0);
        let mut body = Vec::new();
        for event in events {
            body.clear();
            pack(event, &mut body);
            packed.push(Entry(&body));
        }
        packed
    }

    /// These messages, which are all of `chat`.
    pub fn of_messages<'a>(chat: ChatId, messages: impl IntoIterator<Item = &'a Message>) -> Self {
        let mut packed = Self::new(chat, 0);
        let mut body = Vec::new();
        for message in messages {
            body.clear();
            MessageView::from(message).pack(&mut body);
            packed.push(Entry(&body));
        }
        packed
    }
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// What is still to be read. `None` where the bytes end too early, which those that were packed here never do.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }
}
