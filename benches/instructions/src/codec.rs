//! The wire: what a packet costs on its way in and out.

use std::hint::black_box;

use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::request::{Request, Status};
use chappe_proto::stream::{Piece, Splitter};
use chappe_proto::websocket::{OPCODE_TEXT, put_header};
use chappe_proto::websocket_input::{Incoming, Reader};
use chappe_proto::{datagram, frame, json};

use crate::Bench;
use crate::meter::Meter;
use crate::sample::{event, parsed, send, user};

/// How often each is done.
const TIMES: u32 = 200;
/// A client's frame has at most so many bytes.
const FRAME_BYTES: usize = 64 * 1024;
const MASK: [u8; 4] = [0x63, 0x68, 0x61, 0x70];

pub(crate) const ALL: &[(&str, Bench)] = &[
    ("codec_decode_send_binary", |meter| decode(meter, &binary(), frame::decode)),
    ("codec_decode_send_json", |meter| decode(meter, &json(), json::decode)),
    ("codec_decode_beacon_binary", |meter| decode(meter, &beacon(false), datagram::decode)),
    ("codec_decode_beacon_json", |meter| decode(meter, &beacon(true), datagram::decode)),
    ("codec_encode_event_binary", |meter| encode(meter, false, true)),
    ("codec_encode_event_json", |meter| encode(meter, true, false)),
    ("codec_frame_event_tcp", |meter| put(meter, Wire::Binary)),
    ("codec_frame_event_ws", |meter| put(meter, Wire::WsText)),
    ("codec_split_tcp_binary", |meter| split(meter, Wire::Binary, &binary())),
    ("codec_split_tcp_json", |meter| split(meter, Wire::JsonLines, &json())),
    ("codec_unmask_ws", unmask),
];

/// Flags and body.
fn binary() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode_request_into(&send(7), &mut bytes);
    bytes
}

fn json() -> Vec<u8> {
    let mut bytes = Vec::new();
    json::encode_request_into(&send(7), &mut bytes);
    bytes
}

fn beacon(as_json: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let status = Status { user_id: Some(user(0)), status_data: "online".into() };
    datagram::encode_request_into(Request::Status(status), as_json, &mut bytes);
    bytes
}

fn decode<T, E: std::fmt::Debug>(meter: &mut Meter, bytes: &[u8], decode: fn(&[u8]) -> Result<T, E>) {
    parsed(decode(bytes));
    meter.count(TIMES, || {
        for _ in 0..TIMES {
            // What becomes of it costs as well: it is dropped here.
            drop(black_box(decode(black_box(bytes))));
        }
    });
}

fn encode(meter: &mut Meter, with_json: bool, with_binary: bool) {
    let packet = event(7);
    drop(Bodies::encode(&packet, with_json, with_binary));
    meter.count(TIMES, || {
        for _ in 0..TIMES {
            drop(black_box(Bodies::encode(black_box(&packet), with_json, with_binary)));
        }
    });
}

fn put(meter: &mut Meter, wire: Wire) {
    let bodies = Bodies::encode(&event(7), true, true);
    let body = bodies.get(wire).unwrap_or_default();
    let (mut encoder, mut out) = (Encoder::default(), Vec::with_capacity(FRAME_BYTES * 2));
    meter.count(TIMES, || {
        for _ in 0..TIMES {
            encoder.frame(wire, black_box(body), &mut out);
        }
    });
    assert!(out.len() > body.len() * 200, "all are in");
}

fn split(meter: &mut Meter, wire: Wire, body: &[u8]) {
    let mut bytes = Vec::new();
    for _ in 0..TIMES {
        wire.put(body, &mut bytes);
    }
    let mut frames = 0;
    meter.count(TIMES, || {
        let mut splitter = Splitter::new(FRAME_BYTES);
        // As they come out of a socket, wherever that cuts them.
        for mut piece in bytes.chunks(4096) {
            while let Some(found) = parsed(splitter.next(&mut piece)) {
                frames += u32::from(matches!(black_box(found), Piece::Binary(_) | Piece::Json(_)));
            }
        }
    });
    assert_eq!(frames, TIMES);
}

fn unmask(meter: &mut Meter) {
    let (body, mut bytes) = (json(), Vec::new());
    for _ in 0..TIMES {
        let start = bytes.len();
        put_header(OPCODE_TEXT, body.len(), &mut bytes);
        bytes[start + 1] |= 0x80;
        bytes.extend_from_slice(&MASK);
        bytes.extend(body.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    let mut messages = 0;
    meter.count(TIMES, || {
        let mut reader = Reader::new(FRAME_BYTES);
        for mut piece in bytes.chunks(4096) {
            while let Some(found) = parsed(reader.next(&mut piece)) {
                messages += u32::from(matches!(black_box(found), Incoming::Text(_)));
            }
        }
    });
    assert_eq!(messages, TIMES);
}
