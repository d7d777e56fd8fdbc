//! What holds for every packet on every framing, and for any bytes at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and so may what it calls")]

mod arbitrary;
mod pages;

use arbitrary::{beacon, client_frame, hostile, packet};
use chappe_proto::code::Code;
use chappe_proto::compression::Expander;
use chappe_proto::frame::ClientFrame;
use chappe_proto::limits::{COMPRESSED_BYTES, DATAGRAM_BYTES};
use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::request::Request;
use chappe_proto::stream::{Broken, Piece, Splitter};
use chappe_proto::websocket::parse_header;
use chappe_proto::websocket_input::Reader;
use chappe_proto::{Millis, datagram, frame, json};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const LIMIT: usize = 64 * 1024;

/// What a splitter found, without its borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Json(Vec<u8>),
    Binary(Vec<u8>),
    Skipped(Code),
    Broken(Broken),
}

impl Found {
    fn read(&self) -> ClientFrame {
        match self {
            Self::Json(text) => json::decode(text).unwrap(),
            Self::Binary(body) => frame::decode(body).unwrap(),
            other => panic!("{other:?} is no packet"),
        }
    }
}

/// Splits `chunks`, and sees on the way that no more is held than may be.
fn split<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut splitter = Splitter::new(limit);
    let mut found = Vec::new();
    for mut input in chunks {
        loop {
            match splitter.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Json(text))) => found.push(Found::Json(text.to_vec())),
                Ok(Some(Piece::Binary(body))) => found.push(Found::Binary(body.to_vec())),
                Ok(Some(Piece::Skipped(reject))) => found.push(Found::Skipped(reject.code)),
                Err(broken) => {
                    assert_eq!(splitter.next(&mut &b"{}"[..]), Err(broken.clone()), "it stays broken");
                    assert!(splitter.held_bytes() == 0);
                    found.push(Found::Broken(broken));
                    return found;
                }
            }
        }
        assert!(input.is_empty());
        assert!(splitter.held_bytes() <= 2 * (limit + 4).max(4), "{} are held", splitter.held_bytes());
        assert!(!splitter.is_between() || splitter.held_bytes() == 0, "an idle connection holds nothing");
    }
    found
}

/// `bytes` cut at `cuts`.
fn chunks<'a>(mut bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for cut in cuts {
        let (head, rest) = bytes.split_at(cut.index(bytes.len() + 1));
        chunks.push(head);
        bytes = rest;
    }
    chunks.push(bytes);
    chunks
}

fn pretty(text: &[u8]) -> Vec<u8> {
    serde_json::to_vec_pretty(&serde_json::from_slice::<serde_json::Value>(text).unwrap()).unwrap()
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Wire::Binary.put(body, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_survive_json_glued_pretty_printed_and_split_at_every_byte(
        frames in vec((client_frame(), any::<bool>(), select(vec!["", "\n", "\r\n", " \t"])), 1..4),
        cuts in vec(any::<Index>(), 1..4),
    ) {
        let mut stream = Vec::new();
        for (frame, is_pretty, between) in &frames {
            let mut text = Vec::new();
            json::encode_request_into(frame, &mut text);
            stream.extend_from_slice(&if *is_pretty { pretty(&text) } else { text });
            stream.extend_from_slice(between.as_bytes());
        }
        for chunks in [stream.chunks(1).collect(), chunks(&stream, &cuts), vec![&stream[..]]] {
            let read: Vec<_> = split(LIMIT, chunks).iter().map(Found::read).collect();
            prop_assert_eq!(read, frames.iter().map(|(frame, ..)| frame.clone()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn requests_survive_binary_frames_glued_and_split_at_every_byte(
        frames in vec((client_frame(), any::<bool>()), 1..4),
        cuts in vec(any::<Index>(), 1..4),
    ) {
        let mut stream = Vec::new();
        for (frame, as_json) in &frames {
            let mut body = Vec::new();
            if *as_json {
                body.push(frame::FLAG_JSON);
                json::encode_request_into(frame, &mut body);
            } else {
                frame::encode_request_into(frame, &mut body);
            }
            stream.extend_from_slice(&framed(&body));
        }
        for chunks in [stream.chunks(1).collect(), chunks(&stream, &cuts), vec![&stream[..]]] {
            let read: Vec<_> = split(LIMIT, chunks).iter().map(Found::read).collect();
            prop_assert_eq!(read, frames.iter().map(|(frame, _)| frame.clone()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_packet_cut_off_on_its_line_does_not_swallow_the_next(frame in client_frame(), cut in any::<Index>()) {
        let mut text = Vec::new();
        json::encode_request_into(&frame, &mut text);
        let cut = 1 + cut.index(text.len() - 1);
        // Behind a colon or in a list an object may stand: then the next packet is read as a part of this one.
        if text[cut - 1] == b':' || text[..cut].contains(&b'[') {
            return Ok(());
        }
        let stream = [&text[..cut], b"\n{}\n"].concat();
        prop_assert_eq!(split(LIMIT, stream.chunks(1)), [Found::Skipped(Code::Malformed), Found::Json(b"{}".to_vec())]);
    }

    #[test]
    fn packets_survive_every_wire(packet in packet(), request_id in any::<Option<u64>>()) {
        for wire in Wire::ALL {
            let mut out = b"before".to_vec();
            Encoder::default().put(wire, &packet, request_id, &mut out);
            let out = &out[b"before".len()..];
            let body = match wire {
                Wire::JsonLines => {
                    prop_assert_eq!(out.iter().position(|byte| *byte == b'\n'), Some(out.len() - 1), "one line");
                    &out[..out.len() - 1]
                }
                Wire::Binary | Wire::BinaryZstd => {
                    prop_assert_eq!(&framed(&out[4..]), out);
                    &out[4..]
                }
                Wire::WsText | Wire::WsBinary => {
                    let header = parse_header(out).unwrap();
                    prop_assert_eq!(header.opcode, if wire == Wire::WsText { 1 } else { 2 });
                    prop_assert_eq!((header.fin, header.payload), (true, (out.len() - header.size) as u64));
                    &out[header.size..]
                }
            };
            let read = if wire.is_json() {
                json::decode_packet(body).map_err(|error| error.to_string())
            } else {
                frame::decode_packet_expanding(body, &mut Expander::default())
            };
            prop_assert_eq!(read, Ok((request_id, packet.clone())));
            if body[0] == frame::FLAG_ZSTD {
                prop_assert_eq!(wire, Wire::BinaryZstd);
                prop_assert!(frame::decode_packet(body).is_err(), "who did not ask for it reads nothing wrong");
            } else if request_id.is_none() {
                let bodies = Bodies::encode(&packet, true, true);
                prop_assert_eq!(bodies.get(wire), Some(body), "the same for every listener");
            }
        }
    }

    #[test]
    fn beacons_survive_datagrams_and_a_pong_is_never_larger_than_its_ping(
        request in beacon(), as_json in any::<bool>(), padding in 0..60usize, now in any::<u64>(),
    ) {
        let mut bytes = Vec::new();
        datagram::encode_request_into(request.clone(), as_json, &mut bytes);
        bytes.resize(bytes.len() + padding, if as_json { b' ' } else { 0 });
        let read = datagram::decode(&bytes);
        prop_assert_eq!(read, Ok(ClientFrame::from(request.clone())));
        if let Request::Ping(ping) = request {
            for request_id in [None, Some(now)] {
                let mut out = Vec::new();
                let answered = datagram::pong(&bytes, request_id, &ping, Millis(now), &mut out);
                prop_assert_eq!(answered, !out.is_empty());
                prop_assert!(out.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn any_bytes_split_alike_however_they_come_and_never_panic(
        bytes in hostile(), cuts in vec(any::<Index>(), 0..6), limit in select(vec![0usize, 1, 7, 40, LIMIT]),
    ) {
        let whole = split(limit, [&bytes[..]]);
        prop_assert_eq!(&split(limit, bytes.chunks(1)), &whole);
        prop_assert_eq!(&split(limit, chunks(&bytes, &cuts)), &whole);
        for found in whole {
            let read = match &found {
                Found::Json(text) => json::decode(text),
                Found::Binary(body) => frame::decode(body),
                Found::Skipped(_) | Found::Broken(_) => continue,
            };
            match read {
                Ok(read) => {
                    let (mut text, mut body) = (Vec::new(), Vec::new());
                    json::encode_request_into(&read, &mut text);
                    frame::encode_request_into(&read, &mut body);
                    prop_assert_eq!(json::decode(&text), Ok(read.clone()), "what was accepted can be said");
                    prop_assert_eq!(frame::decode(&body), Ok(read));
                }
                Err(refused) => {
                    let id = refused.request_id;
                    let mut out = Vec::new();
                    Encoder::default().put(Wire::JsonLines, &refused.packet(), id, &mut out);
                    prop_assert!(out.len() < 1024, "an error is short");
                }
            }
        }
    }

    #[test]
    fn large_requests_survive_compression_and_come_no_larger(
        request in client_frame(), text in "[a-z ]{1,40}", times in 1..600usize, as_json in any::<bool>(),
    ) {
        let ClientFrame { request_id, mut request } = request;
        if let Request::SendMessage(send) = &mut request {
            send.message.content = text.repeat(times).into();
        }
        let sent = ClientFrame { request_id, request };
        let (mut body, mut out) = (Vec::new(), Vec::new());
        frame::encode_request_into(&sent, &mut body);
        Encoder::default().frame(Wire::BinaryZstd, &body, &mut out);
        prop_assert!(out.len() <= 4 + body.len());
        prop_assert_eq!(&framed(&out[4..]), &out);
        if body.len() < COMPRESSED_BYTES {
            prop_assert_eq!(out[4], 0);
        }
        if as_json {
            let mut text = Vec::new();
            json::encode_request_into(&sent, &mut text);
            out = [&[0; 4], &[frame::FLAG_ZSTD | frame::FLAG_JSON][..], &zstd::bulk::compress(&text, 3).unwrap()].concat();
        }
        let mut expander = Expander::default();
        prop_assert_eq!(frame::decode_expanding(&out[4..], &mut expander, LIMIT), Ok(sent));
        if out[4] == frame::FLAG_ZSTD {
            let refused = |limit| frame::decode_expanding(&out[4..], &mut Expander::default(), limit).map_err(|r| r.reject.code);
            prop_assert!(refused(body.len()).is_ok(), "the limit is of flags and body");
            prop_assert_eq!(refused(body.len() - 1), Err(Code::TooLarge));
            prop_assert_eq!(frame::decode(&out[4..]).map_err(|refused| refused.reject.code), Err(Code::Malformed));
        }
    }

    #[test]
    fn any_bytes_expand_to_no_more_than_the_limit_and_never_panic(
        bytes in hostile(), times in 1..300usize, changes in vec((any::<Index>(), any::<u8>()), 0..4), limit in 0..3000usize,
    ) {
        let mut packed = zstd::bulk::compress(&bytes.repeat(times), 1).unwrap();
        for (at, byte) in changes {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        for packed in [&packed, &bytes] {
            let mut expander = Expander::default();
            if let Ok(expanded) = expander.expand(packed, limit) {
                prop_assert!(expanded.len() <= limit);
            }
            for flags in [2, 3] {
                let _ = frame::decode_expanding(&[&[flags], &packed[..]].concat(), &mut expander, limit);
            }
        }
    }

    #[test]
    fn any_bytes_read_as_a_body_without_panic(bytes in hostile(), tag in 0u8..24, flags in 0u8..4) {
        let _ = (json::decode(&bytes), frame::decode(&bytes), json::decode_packet(&bytes));
        let body = [&[flags, 0, tag, 0, 0, 0], &bytes[..]].concat();
        let _ = (frame::decode(&body), frame::decode_packet(&body), datagram::decode(&body));
        if let Ok(read) = datagram::decode(&bytes) {
            prop_assert!(read.request.rule().datagram && bytes.len() <= DATAGRAM_BYTES);
        }
    }

    #[test]
    fn a_websocket_reads_the_same_however_its_bytes_come_and_keeps_within_its_limit(
        bytes in vec(prop_oneof![any::<u8>(), select(vec![0, 1, 0x81, 0x82, 0x89, 126, 127, 0x80, 0x83, 254, 255])], 0..200),
        cuts in vec(any::<Index>(), 0..6), limit in 0usize..300,
    ) {
        let read = |chunks: Vec<&[u8]>| {
            let mut reader = Reader::new(limit);
            let mut found = Vec::new();
            for mut chunk in chunks {
                loop {
                    match reader.next(&mut chunk) {
                        Ok(Some(incoming)) => found.push(format!("{incoming:?}")),
                        Ok(None) => break,
                        Err(violation) => return (found, Some(violation)),
                    }
                }
                assert!(reader.held_bytes() <= 3 * limit + 300, "{} held for {limit}", reader.held_bytes());
            }
            (found, None)
        };
        let whole = read(vec![&bytes[..]]);
        for chunks in [bytes.chunks(1).collect(), chunks(&bytes, &cuts)] {
            prop_assert_eq!(&read(chunks), &whole);
        }
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e300..1e300).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_json_object_is_found_whole(object in vec((any::<String>(), value()), 0..4), is_pretty in any::<bool>()) {
        let object = serde_json::Value::Object(object.into_iter().collect());
        let text = if is_pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) }.unwrap();
        let stream = [&text[..], &text[..]].concat();
        prop_assert_eq!(split(LIMIT, stream.chunks(1)), [Found::Json(text.clone()), Found::Json(text)]);
    }
}
