//! A WebSocket's bytes: the same messages however they come, no more kept than allowed, and every end has its code.

use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_TEXT, put_header};
use chappe_proto::websocket_input::{Incoming, Reader};
use chappe_proto::{frame, json};

use crate::bodies::is_read_well;
use crate::corpus;
use crate::stream::LIMIT;
use crate::throws::arrivals;

/// What a client said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    /// The connection ends, with this code.
    Violation(u16),
}

pub(crate) fn run(bytes: &[u8]) {
    for limit in [0, 40, LIMIT] {
        let [whole, one_by_one, pieces] = arrivals(bytes).map(|chunks| read(limit, &chunks));
        assert_eq!(one_by_one, whole, "one by one, at most {limit}");
        assert_eq!(pieces, whole, "in pieces, at most {limit}");
        for said in whole {
            match said {
                Said::Text(text) => {
                    assert!(text.len() <= limit && std::str::from_utf8(&text).is_ok());
                    is_read_well(json::decode(&text));
                }
                Said::Binary(body) => {
                    assert!(body.len() <= limit);
                    is_read_well(frame::decode(&body));
                }
                Said::Ping(payload) => assert!(payload.len() <= 125),
                Said::Pong => {}
                Said::Close(code) => assert!(code.is_none_or(may_be_sent), "{code:?}"),
                Said::Violation(code) => assert!(matches!(code, 1002 | 1007 | 1008 | 1009), "{code}"),
            }
        }
    }
}

/// Whether a close frame may carry this code.
fn may_be_sent(code: u16) -> bool {
    (1000..5000).contains(&code) && !matches!(code, 1004..=1006 | 1015)
}

fn read(limit: usize, chunks: &[&[u8]]) -> Vec<Said> {
    let mut reader = Reader::new(limit);
    let mut all = Vec::new();
    for chunk in chunks {
        let mut input = *chunk;
        loop {
            all.push(match reader.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Incoming::Text(text))) => Said::Text(text.to_vec()),
                Ok(Some(Incoming::Binary(body))) => Said::Binary(body.to_vec()),
                Ok(Some(Incoming::Ping(payload))) => Said::Ping(payload.to_vec()),
                Ok(Some(Incoming::Pong)) => Said::Pong,
                Ok(Some(Incoming::Close(code))) => {
                    // Nothing behind it is read.
                    all.push(Said::Close(code));
                    return all;
                }
                Err(violation) => {
                    all.push(Said::Violation(violation.close_code()));
                    return all;
                }
            });
        }
        assert!(input.is_empty(), "all is looked at");
        let held = reader.held_bytes();
        assert!(held <= 3 * limit + 300, "{held} bytes are held, and {limit} are allowed");
        assert!(!reader.is_between() || held == 0, "between two messages {held} bytes are held");
    }
    all
}

/// A client's frame. Its mask is zero: what is in it can be read, and changed.
pub(crate) fn client_frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_header(opcode, payload.len(), &mut bytes);
    if let [first, second, ..] = &mut bytes[..] {
        *first = if fin { 0x80 | opcode } else { opcode };
        *second |= 0x80;
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let whole =
        |opcode, payloads: Vec<Vec<u8>>| payloads.into_iter().map(move |body| client_frame(true, opcode, &body));
    let mut seeds: Vec<Vec<u8>> = whole(OPCODE_TEXT, corpus::column("requests.json", "json")).collect();
    seeds.extend(whole(OPCODE_BINARY, corpus::column("requests.json", "body")));
    let pieces = [
        client_frame(false, OPCODE_TEXT, "{\"packet_type\":\"Status\",\"status_data\":\"gr\u{fc}".as_bytes()),
        client_frame(true, OPCODE_PING, b"between"),
        client_frame(false, 0, b""),
        client_frame(true, 0, "\u{df}e\"}".as_bytes()),
        client_frame(true, OPCODE_CLOSE, &[0x03, 0xe8, b'b', b'y', b'e']),
    ];
    seeds.push(pieces.concat());
    // Each within the least limit that is tried, and together not.
    seeds.push([client_frame(false, OPCODE_BINARY, &[b' '; 30]), client_frame(true, 0, &[b' '; 30])].concat());
    seeds.push(client_frame(true, OPCODE_TEXT, &[b' '; 300]));
    seeds
}
