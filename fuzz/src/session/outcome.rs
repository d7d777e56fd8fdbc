//! What a client is owed, and what it got.

use std::collections::BTreeMap;

use chappe_proto::commands::Answer;
use chappe_proto::compression::Expander;
use chappe_proto::event::Event;
use chappe_proto::frame::{self, ClientFrame, Refused};
use chappe_proto::json;
use chappe_proto::outgoing::Wire;
use chappe_proto::packet::Packet;
use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_PONG, OPCODE_TEXT, parse_header};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The requests that an ack answers, in order, by their `request_id`.
    acks: Vec<Option<u64>>,
    /// Those that another packet answers.
    answers: BTreeMap<Option<u64>, usize>,
    /// Those that are answered only if they are refused.
    signals: usize,
    /// The connection is to end: what was not answered until then may stay so.
    pub(super) closed: bool,
    /// All bytes that left.
    pub(super) taken: Vec<u8>,
}

impl Outcome {
    /// A packet was taken, which will be answered.
    pub(super) fn expects(&mut self, read: &Result<ClientFrame, Refused>) {
        let (request_id, answer) = match read {
            Ok(frame) => (frame.request_id, frame.request.rule().answer),
            Err(refused) => (refused.request_id, refused.rule.map_or(Answer::Data, |rule| rule.answer)),
        };
        match answer {
            Answer::Ack => self.acks.push(request_id),
            // What cannot be read is answered, whatever it would have been.
            Answer::None if read.is_ok() => self.signals += 1,
            Answer::Data | Answer::None => *self.answers.entry(request_id).or_default() += 1,
        }
    }

    /// Holds what left against what was owed.
    pub(super) fn check(&self, wire: Wire, events: u64) {
        let (mut acks, mut answers, mut errors, mut last) = (Vec::new(), self.answers.clone(), Vec::new(), 0);
        for (request_id, packet) in packets(wire, &self.taken) {
            match packet {
                Packet::Ack(_) => acks.push(request_id),
                Packet::Event(event) => last = follows(&event, last),
                Packet::Gap(gap) => {
                    assert_eq!(gap.from.0, last + 1, "the gap begins where the events end");
                    assert!(gap.to >= gap.from, "{gap:?}");
                    last = gap.to.0;
                }
                Packet::Closing(_) => assert!(self.closed, "nobody had a reason to end it"),
                Packet::Typing(_) | Packet::Status(_) | Packet::Read(_) | Packet::Expiring(_) => {}
                Packet::Error(_) => errors.push(request_id),
                answer => {
                    let owed = answers.get_mut(&request_id).filter(|owed| **owed > 0);
                    *owed.unwrap_or_else(|| panic!("nobody asked for {answer:?}")) -= 1;
                }
            }
        }
        // An error may answer anything: what was answered otherwise is known only now.
        errors.retain(|request_id| match answers.get_mut(request_id).filter(|owed| **owed > 0) {
            Some(owed) => {
                *owed -= 1;
                false
            }
            None => true,
        });
        assert!(errors.len() <= self.signals, "errors that nobody is owed: {errors:?}");
        if self.closed {
            assert!(self.acks.starts_with(&acks), "acks in the order of their requests");
        } else {
            assert_eq!(acks, self.acks, "acks in the order of their requests, each once");
            assert!(answers.values().all(|owed| *owed == 0), "still owed: {answers:?}");
            assert_eq!(last, events, "all events were sent or are told of");
        }
    }
}

fn follows(event: &Event, last: u64) -> u64 {
    assert_eq!(event.seq().0, last + 1, "an event without the one before, and without a word about it");
    event.seq().0
}

/// The packets in what left.
fn packets(wire: Wire, taken: &[u8]) -> Vec<(Option<u64>, Packet)> {
    let (mut all, mut rest) = (Vec::new(), taken);
    let mut expander = Expander::default();
    while !rest.is_empty() {
        let packet = match wire {
            Wire::JsonLines => {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len() - 1);
                let (line, behind) = rest.split_at(end + 1);
                rest = behind;
                json::decode_packet(line).map_err(|error| error.to_string())
            }
            Wire::Binary | Wire::BinaryZstd => {
                let (length, behind) = rest.split_first_chunk::<4>().unwrap_or_else(|| panic!("half a length"));
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                let (body, behind) = behind.split_at_checked(length).unwrap_or_else(|| panic!("half a frame"));
                rest = behind;
                frame::decode_packet_expanding(body, &mut expander)
            }
            Wire::WsText | Wire::WsBinary => {
                let header = parse_header(rest).unwrap_or_else(|| panic!("half a header"));
                let size = header.size + usize::try_from(header.payload).unwrap_or(usize::MAX);
                let (whole, behind) = rest.split_at_checked(size).unwrap_or_else(|| panic!("half a frame"));
                rest = behind;
                let body = &whole[header.size..];
                match header.opcode {
                    OPCODE_PONG => continue,
                    OPCODE_TEXT => json::decode_packet(body).map_err(|error| error.to_string()),
                    OPCODE_BINARY => frame::decode_packet(body),
                    other => panic!("a frame of kind {other}"),
                }
            }
        };
        all.push(packet.unwrap_or_else(|error| panic!("what left is no packet: {error}")));
    }
    all
}
