//! Binary bodies of chappe, behind flags, as the load writes and reads them: posts, messages, acks.

use super::{Found, Seat};
use crate::trouble::Trouble;

/// Flags, no `request_id`, a live event, which is a posted message.
const MESSAGE: [u8; 10] = [0, 0, 15, 0, 0, 0, 0, 0, 0, 0];
/// Behind it: four numbers, and the length of the content.
const CONTENT: usize = MESSAGE.len() + 4 * 8 + 8;
const POST: u32 = 1;
const ACK: u32 = 1;
const ERROR: u32 = 9;
const CLOSING: u32 = 10;

/// Appends flags and body of a post, with a name of its own as every client gives it.
pub(super) fn put_post(seat: &Seat, channel: u64, number: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&u64::from(number).to_le_bytes());
    out.extend_from_slice(&POST.to_le_bytes());
    out.extend_from_slice(&channel.to_le_bytes());
    out.push(1);
    out.extend_from_slice(&seat.user.to_le_bytes());
    out.extend_from_slice(&length(payload));
    out.extend_from_slice(payload);
    out.extend_from_slice(&0_u32.to_le_bytes());
    let name = number.to_le_bytes().map(|byte| [b'a' + (byte >> 4), b'a' + (byte & 15)]);
    let name = name.as_flattened();
    out.push(1);
    out.extend_from_slice(&length(name));
    out.extend_from_slice(name);
    // Neither an answer to another message, nor signed.
    out.extend_from_slice(&[0, 0]);
}

/// What flags and body from `from` to `to` are.
pub(super) fn read(bytes: &[u8], from: usize, to: usize, size: usize) -> Result<Option<Found>, Trouble> {
    let body = &bytes[from..to];
    if body.starts_with(&MESSAGE) && body.len() >= CONTENT + size {
        // A content of another length is read as one of this: its payload is then not one that was sent.
        return Ok(Some(Found::Delivery(from + CONTENT, from + CONTENT + size)));
    }
    let mut reader = Reader(&body[1..]);
    let number = reader.option(Reader::u64);
    match reader.u32() {
        Some(ACK) => reader.ack(number).map(Some).ok_or_else(|| Trouble::answer(body)),
        Some(ERROR | CLOSING) | None => Err(Trouble::answer(body)),
        Some(_) => Ok(None),
    }
}

/// Whether flags and body are the answer to `Hello`.
pub(super) fn is_welcome(body: &[u8]) -> bool {
    let mut reader = Reader(body.get(1..).unwrap_or_default());
    reader.option(Reader::u64);
    reader.u32() == Some(0)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let [there] = self.take()?;
        if there == 1 { read(self) } else { None }
    }

    fn text(&mut self) -> Option<()> {
        let length = usize::try_from(self.u64()?).ok()?;
        self.0 = self.0.get(length..)?;
        Some(())
    }

    /// The rest of an `Ack` that is a success.
    fn ack(&mut self, number: Option<u64>) -> Option<Found> {
        self.u64()?;
        let [success, error, code] = self.take()?;
        self.option(Self::text);
        self.option(Self::u64);
        let place = self.option(Self::u64)?;
        let done = success == 1 && error == 0 && code == 0;
        done.then_some(Found::Ack { number: u32::try_from(number?).ok(), place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chappe_json;
    use chappe_proto::event::Event;
    use chappe_proto::frame;
    use chappe_proto::message::{Message, MessageType};
    use chappe_proto::outgoing::{Bodies, Wire};
    use chappe_proto::packet::{Ack, Packet};
    use chappe_proto::request::Request;
    use chappe_proto::{ChatId, ClientId, Code, MessageId, Millis, Seq, UserId};
    use std::sync::Arc;

    fn seat() -> Seat {
        Seat { user: 5, size: 5, ..Seat::default() }
    }

    fn found(packet: &Packet, request_id: Option<u64>) -> [Result<Option<Found>, Trouble>; 2] {
        let (mut binary, mut json) = (Vec::new(), Vec::new());
        frame::encode_into(packet, request_id, &mut binary);
        chappe_proto::json::encode_into(packet, request_id, &mut json);
        [read(&binary, 0, binary.len(), 5), chappe_json::read(&json, 0, json.len(), 5)]
    }

    fn ack() -> Ack {
        Ack {
            message_id: 42,
            success: true,
            error: None,
            code: None,
            client_id: Some(ClientId::parse("r.1").unwrap()),
            chat_id: Some(ChatId::parse(7).unwrap()),
            seq: Some(Seq(17)),
            duplicate: false,
            retry_after_ms: None,
        }
    }

    #[test]
    fn the_server_reads_a_post_as_it_was_meant() {
        let (mut binary, mut json) = (Vec::new(), Vec::new());
        put_post(&seat(), 7, 0xABCD, b"hello", &mut binary);
        chappe_json::put_post(&seat(), 7, 0xABCD, b"hello", &mut json);
        for frame in [frame::decode(&binary).unwrap(), chappe_proto::json::decode(&json).unwrap()] {
            assert_eq!(frame.request_id, Some(0xABCD));
            let Request::SendMessage(post) = frame.request else { panic!("{:?}", frame.request) };
            assert_eq!((post.message.chat_id.get(), &*post.message.content), (7, "hello"));
            assert_eq!(post.message.sender_id.map(UserId::get), Some(5));
            assert!(post.message.client_id.is_some());
        }
    }

    #[test]
    fn payloads_lie_where_the_server_puts_them() {
        let message = Message {
            id: MessageId::parse(99).unwrap(),
            chat_id: ChatId::parse(7).unwrap(),
            seq: Seq(17),
            sender_id: UserId::parse(5).unwrap(),
            content: "hello".into(),
            message_type: MessageType::Text,
            client_id: Some(ClientId::parse("r.1").unwrap()),
            reply_to: None,
            created_at: Millis(1),
            edited_at: None,
            deleted: false,
            signature: None,
        };
        let bodies = Bodies::encode(&Packet::Event(Arc::new(Event::Message(Arc::new(message)))), true, true);
        let (binary, json) = (bodies.get(Wire::WsBinary).unwrap(), bodies.get(Wire::WsText).unwrap());
        for (body, found) in
            [(binary, read(binary, 0, binary.len(), 5)), (json, chappe_json::read(json, 0, json.len(), 5))]
        {
            let Some(Found::Delivery(from, to)) = found.unwrap() else { panic!("{body:?}") };
            assert_eq!(body[from..to], *b"hello");
        }
    }

    #[test]
    fn acks_have_their_number_and_place_and_a_refusal_ends_the_run() {
        for found in found(&Packet::Ack(ack()), Some(3)) {
            assert_eq!(found.unwrap(), Some(Found::Ack { number: Some(3), place: 17 }));
        }
        let refused =
            Ack { success: false, error: Some("no".into()), code: Some(Code::RateLimited), seq: None, ..ack() };
        for found in found(&Packet::Ack(refused), Some(3)) {
            assert!(found.is_err());
        }
        for found in found(&Packet::Pong(chappe_proto::packet::Pong::default()), None) {
            assert_eq!(found.unwrap(), None);
        }
    }
}
