//! Events as memory holds them. No client's bytes come here; but what is read from them has to be what was written.

use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::packed::{self, Entry, Packed};
use chappe_proto::packet::Packet;
use chappe_proto::{ChatId, json};

use crate::corpus;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(chat) = ChatId::parse(1) else { return };
    let mut taken = 0;
    let mut all = Packed::new(chat, 0);
    for entry in packed::entries(bytes) {
        taken += entry.len();
        assert!(taken <= 10 * bytes.len(), "entries are no longer than what they lie in");
        is_kept(chat, entry);
        all.push(entry);
    }
    assert_eq!(all.entries().count(), all.count());
    let again: Vec<Event> = all.events().collect();
    assert_eq!(again, packed::entries(bytes).filter_map(|entry| entry.event(chat)).collect::<Vec<_>>());
}

/// What is read of an entry, packed anew, is read as the same.
fn is_kept(chat: ChatId, entry: Entry<'_>) {
    let Some(event) = entry.event(chat) else { return };
    assert_eq!(entry.is_message(), event.message().is_some());
    let mut body = Vec::new();
    packed::pack(&event, &mut body);
    assert_eq!(Entry::new(&body).event(chat), Some(event));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let Ok(chat_id) = ChatId::parse(1) else { return Vec::new() };
    let events =
        corpus::column("events.json", "json").into_iter().filter_map(|text| match json::decode_packet(&text) {
            Ok((_, Packet::Event(event))) => Some(Arc::unwrap_or_clone(event)),
            _ => None,
        });
    let events = events.map(|event| match event {
        Event::Message(message) => Event::Message(Arc::new(Message { chat_id, ..Message::clone(&message) })),
        other => other,
    });
    let packed = |event: Event| {
        let (mut body, mut out) = (Vec::new(), Vec::new());
        packed::pack(&event, &mut body);
        Entry::new(&body).put(&mut out);
        out
    };
    let mut seeds: Vec<Vec<u8>> = events.map(packed).collect();
    seeds.push(seeds.concat());
    seeds
}
