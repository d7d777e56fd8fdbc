//! One listener's account of a chat: every event in order, or a `Gap` that covers it.
//!
//! Plain, and cheap: a posted message's number is read at its place in the bytes, without decoding the rest.

use chappe_proto::Seq;
use chappe_proto::packet::Packet;

use super::crew::Span;
use super::latency::Latency;
use crate::client::ClientError;
use crate::client::websocket::{WsWire, decode};

/// What a frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An event: its chat and number.
    Event(u64, u64),
    /// Events that were left out: their chat, first and last.
    Gap(u64, u64, u64),
    /// Something else.
    Other(Box<Packet>),
}

/// What has come so far.
#[derive(Debug)]
pub(super) struct Account {
    /// The number that comes next.
    next: u64,
    /// Events passed over that no `Gap` has covered yet.
    holes: Vec<(u64, u64)>,
    delivered: u64,
    left_out: u64,
    repeated: u64,
}

impl Account {
    /// Begins behind `base`.
    pub(super) fn new(base: u64) -> Self {
        Self { next: base + 1, holes: Vec::new(), delivered: 0, left_out: 0, repeated: 0 }
    }

    /// The number up to which all is accounted for, holes aside.
    pub(super) fn reached(&self) -> u64 {
        self.next - 1
    }

    /// Deliveries.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Events that the server said it left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes in a frame that is of the chat; returns how many events it accounts for.
    pub(super) fn take(&mut self, heard: &Heard) -> u64 {
        match *heard {
            Heard::Event(_, seq) if seq == self.next => self.deliver(seq),
            Heard::Event(_, seq) if seq > self.next => {
                self.holes.push((self.next, seq - 1));
                self.deliver(seq)
            }
            Heard::Event(..) => {
                self.repeated += 1;
                0
            }
            Heard::Gap(_, from, to) => {
                let covered = self.cover(from, to);
                self.left_out += covered;
                covered
            }
            Heard::Other(_) => 0,
        }
    }

    fn deliver(&mut self, seq: u64) -> u64 {
        self.next = seq + 1;
        self.delivered += 1;
        1
    }

    fn cover(&mut self, from: u64, to: u64) -> u64 {
        let mut covered = 0;
        let mut left = Vec::new();
        for (first, last) in self.holes.drain(..) {
            let (low, high) = (first.max(from), last.min(to));
            if low > high {
                left.push((first, last));
                continue;
            }
            covered += high - low + 1;
            if first < low {
                left.push((first, low - 1));
            }
            if high < last {
                left.push((high + 1, last));
            }
        }
        self.holes = left;
        if to >= self.next {
            if from > self.next {
                self.holes.push((self.next, from - 1));
            }
            covered += to + 1 - self.next.max(from);
            self.next = to + 1;
        }
        covered
    }

    /// What is wrong, if all events up to `goal` should have come.
    pub(super) fn failure(&self, goal: u64) -> Option<String> {
        let lost: u64 = self.holes.iter().map(|(first, last)| last - first + 1).sum();
        let behind = goal.saturating_sub(self.reached());
        (lost + behind + self.repeated > 0).then(|| {
            let repeated = self.repeated;
            format!("{lost} events lost without a Gap, {repeated} repeated or out of order, {behind} never came")
        })
    }
}

/// Says what a frame is.
///
/// # Errors
/// [`ClientError::Unexpected`], or the server's reason to close.
pub(super) fn hear(wire: WsWire, body: &[u8]) -> Result<Heard, ClientError> {
    let peeked = match wire {
        WsWire::Json => peek_json(body),
        WsWire::Binary => peek_binary(body),
    };
    if let Some((chat, seq)) = peeked {
        return Ok(Heard::Event(chat, seq));
    }
    Ok(match decode(wire, body)?.packet {
        Packet::Event(event) => Heard::Event(event.chat_id().get(), event.seq().0),
        Packet::Gap(gap) if Seq::ZERO < gap.from && gap.from <= gap.to => {
            Heard::Gap(gap.chat_id.get(), gap.from.0, gap.to.0)
        }
        refused @ (Packet::Error(_) | Packet::Closing(_)) => return Err(ClientError::from_answer(refused)),
        other => Heard::Other(Box::new(other)),
    })
}

/// Takes the time at the start of a message's content into account: when it was sent, or due.
pub(super) fn sample(
    wire: WsWire,
    body: &[u8],
    now: u64,
    span: &Span,
    latency: &mut Latency,
) -> Result<(), ClientError> {
    if let Packet::Event(event) = decode(wire, body)?.packet
        && let Some(message) = event.message()
        && let Some(sent) = message.content.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok())
        && span.measures(sent)
    {
        latency.record(now.saturating_sub(sent));
    }
    Ok(())
}

/// Chat and number of a posted message, as the server writes it; anything else is left to the decoder.
fn peek_json(body: &[u8]) -> Option<(u64, u64)> {
    let rest = body.strip_prefix(b"{\"packet_type\":\"Message\",\"chat_id\":")?;
    let (chat, rest) = number(rest)?;
    let (seq, rest) = number(rest.strip_prefix(b",\"seq\":")?)?;
    rest.starts_with(b",").then_some((chat, seq))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(digits);
    let fold = |sum: Option<u64>, digit: &u8| sum?.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    (!digits.is_empty()).then(|| digits.iter().fold(Some(0), fold))?.map(|number| (number, rest))
}

/// The start of an event that is a posted message: flags, no `request_id`, the packet's tag, the event's tag.
const POSTED: [u8; 10] = [0, 0, 15, 0, 0, 0, 0, 0, 0, 0];

fn peek_binary(body: &[u8]) -> Option<(u64, u64)> {
    let rest = body.strip_prefix(&POSTED)?;
    let field = |at: usize| rest.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    Some((field(8)?, field(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::event::Event;
    use chappe_proto::message::{Message, MessageType};
    use chappe_proto::outgoing::{Bodies, Wire};
    use chappe_proto::packet::{Gap, Pong};
    use chappe_proto::{ChatId, MessageId, Millis, UserId};
    use std::sync::Arc;

    fn posted(chat: u64, seq: u64) -> Packet {
        Packet::Event(Arc::new(Event::Message(Arc::new(Message {
            id: MessageId::parse(99).unwrap(),
            chat_id: ChatId::parse(chat).unwrap(),
            seq: Seq(seq),
            sender_id: UserId::parse(5).unwrap(),
            content: "hi".into(),
            message_type: MessageType::Text,
            client_id: None,
            reply_to: None,
            created_at: Millis(1),
            edited_at: None,
            deleted: false,
            signature: None,
        }))))
    }

    fn bodies(packet: &Packet) -> [(WsWire, Vec<u8>); 2] {
        let bodies = Bodies::encode(packet, true, true);
        let of = |wire| bodies.get(wire).unwrap().to_vec();
        [(WsWire::Json, of(Wire::WsText)), (WsWire::Binary, of(Wire::WsBinary))]
    }

    #[test]
    fn a_message_is_recognised_by_its_first_bytes_in_both_formats() {
        for (wire, body) in bodies(&posted(7, 1234)) {
            let peeked = if wire == WsWire::Json { peek_json(&body) } else { peek_binary(&body) };
            assert_eq!(peeked, Some((7, 1234)), "{wire:?}");
            assert_eq!(hear(wire, &body).unwrap(), Heard::Event(7, 1234));
            for short in 0..body.len() {
                // Cut anywhere it is either still the same or left to the decoder; never another number.
                let body = &body[..short];
                let peeked = if wire == WsWire::Json { peek_json(body) } else { peek_binary(body) };
                assert!(peeked.is_none_or(|peeked| peeked == (7, 1234)), "{wire:?} {short}");
            }
        }
    }

    #[test]
    fn other_packets_are_told_apart() {
        let gap = Packet::Gap(Gap { chat_id: ChatId::parse(7).unwrap(), from: Seq(3), to: Seq(5) });
        let pong = Packet::Pong(Pong::default());
        for (packet, expected) in [
            (posted(8, 1), Heard::Event(8, 1)),
            (gap, Heard::Gap(7, 3, 5)),
            (pong.clone(), Heard::Other(Box::new(pong))),
        ] {
            for (wire, body) in bodies(&packet) {
                assert_eq!(hear(wire, &body).unwrap(), expected, "{wire:?}");
            }
        }
    }

    fn account(base: u64, heard: &[Heard]) -> Account {
        let mut account = Account::new(base);
        for heard in heard {
            account.take(heard);
        }
        account
    }

    fn came(seq: u64) -> Heard {
        Heard::Event(7, seq)
    }

    fn left(from: u64, to: u64) -> Heard {
        Heard::Gap(7, from, to)
    }

    #[test]
    fn events_in_order_are_all_accounted_for() {
        let account = account(4, &[came(5), Heard::Other(Box::new(Packet::Pong(Pong::default()))), came(6), came(7)]);
        assert_eq!((account.delivered(), account.reached()), (3, 7));
        assert_eq!(account.failure(7), None);
        assert!(account.failure(8).unwrap().contains("1 never came"));
    }

    #[test]
    fn a_gap_before_or_after_what_follows_it_covers_what_is_not_there() {
        for heard in [[came(1), left(2, 3), came(4)], [came(1), came(4), left(2, 3)]] {
            let account = account(0, &heard);
            assert_eq!((account.delivered(), account.left_out()), (2, 2), "{heard:?}");
            assert_eq!(account.failure(4), None, "{heard:?}");
        }
        let wide = account(0, &[came(1), left(1, 9), came(10)]);
        assert_eq!((wide.delivered(), wide.left_out(), wide.failure(10)), (2, 8, None));
    }

    #[test]
    fn a_hole_without_a_gap_a_repeat_and_a_gap_too_small_are_failures() {
        assert!(account(0, &[came(1), came(3)]).failure(3).unwrap().contains("1 events lost"));
        assert!(account(0, &[came(1), came(1)]).failure(1).unwrap().contains("1 repeated"));
        assert!(account(0, &[came(1), came(9), left(3, 4)]).failure(9).unwrap().contains("5 events lost"));
        assert!(account(0, &[came(1), left(3, 4)]).failure(4).unwrap().contains("1 events lost"));
    }
}
