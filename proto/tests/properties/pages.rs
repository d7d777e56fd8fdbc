//! What is packed comes out again, and a page of it is written as the packet that it stands for.

use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packed::{self, Entry, MessageView, Packed};
use chappe_proto::packet::{self, Packet};
use chappe_proto::page::{self, Body};
use chappe_proto::{ChatId, Seq, json};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::arbitrary::event;

/// Texts beside which a length takes another byte, and escapes meet the end of a vector.
fn longer() -> impl Strategy<Value = Event> {
    (event(), of("[ -~é\\n\"]{0,300}")).prop_map(|(event, text)| match (event, text) {
        (Event::Message(message), Some(text)) => {
            Event::Message(Arc::new(Message { content: text.into(), ..Message::clone(&message) }))
        }
        (event, _) => event,
    })
}

fn in_chat(event: Event, chat_id: ChatId) -> Event {
    match event {
        Event::Message(message) => Event::Message(Arc::new(Message { chat_id, ..Message::clone(&message) })),
        other => other,
    }
}

fn is_written_alike(page: &impl Body, packet: &Packet, request_id: Option<u64>) {
    for wire in Wire::ALL {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        Encoder::default().put(wire, page, request_id, &mut one);
        Encoder::default().put(wire, packet, request_id, &mut other);
        assert_eq!(String::from_utf8_lossy(&one), String::from_utf8_lossy(&other), "{wire:?}");
        assert_eq!(one, other, "{wire:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_comes_out_of_its_bytes_as_it_went_in(event in longer()) {
        let mut body = Vec::new();
        packed::pack(&event, &mut body);
        let entry = Entry::new(&body);
        prop_assert_eq!(entry.event(event.chat_id()), Some(event.clone()));
        prop_assert_eq!(entry.is_message(), event.message().is_some());
        prop_assert_eq!(entry.message(event.chat_id()), event.message().map(|message| MessageView::from(&**message)));
        let mut whole = Vec::new();
        entry.put(&mut whole);
        prop_assert_eq!(whole.len(), entry.len());
        prop_assert_eq!(packed::entries(&whole).collect::<Vec<_>>(), [entry]);
        // Bytes that end too early are no message, and nothing worse.
        for end in 0..body.len() {
            let _ = Entry::new(&body[..end]).event(event.chat_id());
            prop_assert_eq!(packed::entries(&whole[..end]).count(), 0);
        }
    }

    #[test]
    fn a_page_is_written_as_the_packet_it_stands_for(
        events in vec(longer(), 0..5), chat in 1..1000u64, more in any::<bool>(), head in 0..1000u64, id in of(any::<u64>()),
    ) {
        let chat_id = ChatId::parse(chat).unwrap();
        let events: Vec<Event> = events.into_iter().map(|event| in_chat(event, chat_id)).collect();
        let messages = events.iter().filter_map(|event| event.message().cloned()).collect();

        let plain = packet::Messages { chat_id, messages, has_more: more };
        let page = page::Messages::from(plain.clone());
        prop_assert_eq!(page.to_json(), serde_json::to_vec(&plain).unwrap());
        is_written_alike(&page, &Packet::Messages(plain), id);

        let plain = packet::Events { chat_id, events: events.clone(), head: Seq(head) };
        let page = page::Events::from(plain.clone());
        prop_assert_eq!(page.events.events().collect::<Vec<_>>(), &events[..]);
        prop_assert_eq!(&page.events, &Packed::of(chat_id, &events));
        prop_assert_eq!(page.to_json(), serde_json::to_vec(&plain).unwrap());
        is_written_alike(&page, &Packet::Events(plain), id);

        for event in events {
            let (mut text, plain) = (Vec::new(), serde_json::to_vec(&event).unwrap());
            json::encode_into(&Packet::Event(event.into()), None, &mut text);
            prop_assert_eq!(text, plain);
        }
    }
}
