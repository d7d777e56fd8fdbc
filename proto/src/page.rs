//! Pages of history, packed, and how they are written: the same bytes as [`packet::Messages`] and [`packet::Events`], in
//! JSON and in the binary format, without these being made first.

use crate::format;
use crate::ids::Seq;
use crate::json;
use crate::json_writer::{message, number, posted, put};
use crate::packed::Packed;
use crate::packet;

/// A page of messages: [`packet::Messages`], packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    /// Oldest first; messages only.
    pub messages: Packed,
    /// Whether more lie in the direction asked for.
    pub has_more: bool,
}

/// A page of events: [`packet::Events`], packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// In order, without gaps.
    pub events: Packed,
    /// The chat's newest number.
    pub head: Seq,
}

/// What is sent to one client as a packet.
pub trait Body {
    /// Appends it as one JSON object, with the `request_id` it answers.
    fn json(&self, request_id: Option<u64>, out: &mut Vec<u8>);
    /// Appends it in the binary format, behind the byte of flags and the `request_id`.
    fn binary(&self, out: &mut Vec<u8>);
}

impl Body for packet::Packet {
    fn json(&self, request_id: Option<u64>, out: &mut Vec<u8>) {
        json::encode_into(self, request_id, out);
    }

    fn binary(&self, out: &mut Vec<u8>) {
        format::encode_into(self, out);
    }
}

/// Where `Messages` and `Events` stand among the packets.
const MESSAGES: u32 = 2;
const EVENTS: u32 = 3;
/// Where a message stands among the events.
const MESSAGE: u32 = 0;

impl Messages {
    /// Appends the fields of its JSON object.
    fn fields(&self, out: &mut Vec<u8>) {
        out.reserve(about(&self.messages));
        put(b"\"chat_id\":", out);
        number(self.messages.chat.get(), out);
        put(b",\"messages\":[", out);
        for (n, view) in self.messages.messages().enumerate() {
            comma(n, out);
            message(&view, out);
        }
        put(if self.has_more { b"],\"has_more\":true" } else { b"],\"has_more\":false" }, out);
    }

    /// As the JSON object that HTTP shows: the packet without its name.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        object(b"{", None, &mut out, |out| self.fields(out));
        out
    }
}

impl Body for Messages {
    fn json(&self, request_id: Option<u64>, out: &mut Vec<u8>) {
        object(b"{\"packet_type\":\"Messages\",", request_id, out, |out| self.fields(out));
    }

    fn binary(&self, out: &mut Vec<u8>) {
        format::encode_into(&(MESSAGES, self.messages.chat, self.messages.count() as u64), out);
        self.messages.messages().for_each(|view| format::encode_into(&view, out));
        format::encode_into(&self.has_more, out);
    }
}

impl Events {
    fn fields(&self, out: &mut Vec<u8>) {
        out.reserve(about(&self.events));
        put(b"\"chat_id\":", out);
        number(self.events.chat.get(), out);
        put(b",\"events\":[", out);
        for (n, entry) in self.events.entries().enumerate() {
            comma(n, out);
            match entry.message(self.events.chat) {
                Some(view) => posted(&view, out),
                None => {
                    if let Some(event) = entry.event(self.events.chat) {
                        json::encode_event_into(&event, out);
                    }
                }
            }
        }
        put(b"],\"head\":", out);
        number(self.head.0, out);
    }

    /// As the JSON object that HTTP shows: the packet without its name.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        object(b"{", None, &mut out, |out| self.fields(out));
        out
    }
}

impl Body for Events {
    fn json(&self, request_id: Option<u64>, out: &mut Vec<u8>) {
        object(b"{\"packet_type\":\"Events\",", request_id, out, |out| self.fields(out));
    }

    fn binary(&self, out: &mut Vec<u8>) {
        format::encode_into(&(EVENTS, self.events.chat, self.events.count() as u64), out);
        for entry in self.events.entries() {
            match entry.message(self.events.chat) {
                Some(view) => format::encode_into(&(MESSAGE, view), out),
                None => put(entry.other().unwrap_or_default(), out),
            }
        }
        format::encode_into(&self.head, out);
    }
}

impl From<packet::Messages> for Messages {
    fn from(page: packet::Messages) -> Self {
        let messages = Packed::of_messages(page.chat_id, page.messages.iter().map(|message| &**message));
        Self { messages, has_more: page.has_more }
    }
}

impl From<packet::Events> for Events {
    fn from(page: packet::Events) -> Self {
        Self { events: Packed::of(page.chat_id, &page.events), head: page.head }
    }
}

/// An object of these fields, and of the `request_id` if there is one.
fn object(begin: &[u8], request_id: Option<u64>, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    put(begin, out);
    fields(out);
    if let Some(id) = request_id {
        put(b",\"request_id\":", out);
        number(id, out);
    }
    out.push(b'}');
}

/// More than a page takes as JSON, unless it is full of what needs escapes: for each event the names of its fields.
fn about(events: &Packed) -> usize {
    events.bytes() + events.count() * 256 + 128
}

fn comma(n: usize, out: &mut Vec<u8>) {
    if n > 0 {
        out.push(b',');
    }
}
