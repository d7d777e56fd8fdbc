//! Holds the crate and `vectors/` against each other, both ways, and sees that nothing lacks a vector. `document` holds
//! PROTOCOL.md against both.
//!
//! `cargo test -p chappe-proto --test vectors -- --ignored` fills in the bytes of vectors that have a name and JSON.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, and so may what it calls")]

mod document;
mod files;

use std::collections::BTreeSet;

use chappe_proto::code::Code;
use chappe_proto::commands::{Answer, RULES};
use chappe_proto::compression::Expander;
use chappe_proto::event::Event;
use chappe_proto::format::{self, Decode, Encode};
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::Packet;
use chappe_proto::request::Request;
use chappe_proto::signature::{Signed, SigningKey};
use chappe_proto::stream::{Broken, Piece, Splitter};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId, datagram, frame, json};
use files::{
    CodesFile, Compressed, Input, PacketVector, PieceVector, Ping, Read, Refusal, Signing, Stream, Value, hex, load,
    unhex,
};

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Wire::Binary.put(body, &mut out);
    out
}

fn packets_and_events() -> Vec<PacketVector> {
    ["packets.json", "events.json"].map(load::<Vec<PacketVector>>).concat()
}

#[test]
fn every_request_has_the_bytes_of_its_vector() {
    for vector in load::<Vec<PacketVector>>("requests.json") {
        let name = &vector.name;
        let from_json = json::decode(vector.json.as_bytes()).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        let from_body = frame::decode(&unhex(&vector.body)).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        assert_eq!(from_json, from_body, "{name}");
        let (mut text, mut body) = (Vec::new(), Vec::new());
        json::encode_request_into(&from_body, &mut text);
        frame::encode_request_into(&from_json, &mut body);
        assert_eq!(String::from_utf8(text).unwrap(), vector.json, "{name}");
        assert_eq!(hex(&body), vector.body, "{name}");
        assert_eq!(hex(&framed(&body)), vector.frame, "{name}");
    }
}

#[test]
fn every_packet_and_event_has_the_bytes_of_its_vector() {
    for vector in packets_and_events() {
        let name = &vector.name;
        let from_json = json::decode_packet(vector.json.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let from_body = frame::decode_packet(&unhex(&vector.body)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(from_json, from_body, "{name}");
        let (request_id, packet) = from_body;
        let mut encoder = Encoder::default();
        let mut wire = |wire| {
            let mut out = Vec::new();
            encoder.put(wire, &packet, request_id, &mut out);
            out
        };
        assert_eq!(String::from_utf8(wire(Wire::JsonLines)).unwrap(), format!("{}\n", vector.json), "{name}");
        assert_eq!(hex(&wire(Wire::Binary)), vector.frame, "{name}");
        assert_eq!(hex(&framed(&unhex(&vector.body))), vector.frame, "{name}");
        assert!(wire(Wire::WsText).ends_with(vector.json.as_bytes()), "{name}");
        assert!(wire(Wire::WsBinary).ends_with(&unhex(&vector.body)), "{name}");
    }
}

#[test]
fn what_else_reads_as_a_request_reads_as_its_vector_says() {
    for Read { name, json: text, canonical } in load::<Vec<Read>>("reads.json") {
        let read = json::decode(text.as_bytes()).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        let mut out = Vec::new();
        json::encode_request_into(&read, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), canonical, "{name}");
    }
}

#[test]
fn what_is_wrong_is_refused_with_the_code_of_its_vector() {
    for Refusal { name, kind, input, code, answer, request_id } in load::<Vec<Refusal>>("refused.json") {
        let bytes = input.bytes();
        let refused = match kind {
            Input::Json => json::decode(&bytes),
            Input::Body => frame::decode(&bytes),
            Input::Datagram => datagram::decode(&bytes),
        };
        let refused = refused.map(|frame| panic!("{name}: reads as {frame:?}")).unwrap_err();
        assert_eq!((refused.reject.code.as_str(), refused.request_id), (code.as_str(), request_id), "{name}");
        let kind = match refused.packet() {
            Packet::Ack(ack) if !ack.success => "Ack",
            Packet::Error(_) => "Error",
            other => panic!("{name}: answered by {other:?}"),
        };
        assert_eq!(kind, answer, "{name}");
    }
}

#[test]
fn a_compressed_frame_reads_as_its_vector_says() {
    let mut expander = Expander::default();
    for Compressed { name, frame_bytes, body, json: text, code } in load::<Vec<Compressed>>("compressed.json") {
        let body = unhex(&body);
        match frame::decode_expanding(&body, &mut expander, frame_bytes) {
            Ok(read) => {
                let mut out = Vec::new();
                json::encode_request_into(&read, &mut out);
                assert_eq!(Some(String::from_utf8(out).unwrap()), text, "{name}");
            }
            Err(refused) => assert_eq!(Some(refused.reject.code.as_str()), code.as_deref(), "{name}"),
        }
        if body[0] != 0 {
            let refused = frame::decode(&body).unwrap_err();
            assert_eq!(refused.reject.code, Code::Malformed, "{name}, where nobody agreed on it");
        }
    }
}

#[test]
fn a_signature_is_over_the_bytes_of_its_vector() {
    for vector in load::<Vec<Signing>>("signatures.json") {
        let Signing { name, seed, chat_id, sender_id, client_id, content, signed, signature } = vector;
        let what = Signed { chat: chat_id, sender: sender_id, client_id: &client_id, content: &content };
        let key = SigningKey::from_seed(&unhex(&seed).try_into().unwrap()).unwrap();
        assert_eq!(hex(&what.bytes()), signed, "{name}");
        assert_eq!(key.sign(&what), signature, "{name}");
        assert!(what.is_signed_by(&signature), "{name}");
    }
}

/// The pieces that a splitter finds in `chunks`, and whether the stream ended between two frames.
fn split<'a>(frame_bytes: usize, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<PieceVector>, bool) {
    let mut splitter = Splitter::new(frame_bytes);
    let mut pieces = Vec::new();
    for chunk in chunks {
        let mut input = chunk;
        loop {
            pieces.push(match splitter.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Piece::Json(text))) => PieceVector::Json(String::from_utf8(text.to_vec()).unwrap()),
                Ok(Some(Piece::Binary(body))) => PieceVector::Body(hex(body)),
                Ok(Some(Piece::Skipped(reject))) => PieceVector::Skipped(reject.code.to_string()),
                Err(broken) => {
                    let broken = match broken {
                        Broken::FirstByte(_) => "first_byte",
                        Broken::Tls => "tls",
                        Broken::Length(_) => "length",
                    };
                    pieces.push(PieceVector::Broken(broken.to_owned()));
                    return (pieces, false);
                }
            });
        }
    }
    (pieces, splitter.is_between())
}

#[test]
fn a_stream_falls_into_the_pieces_of_its_vector_wherever_it_is_split() {
    for Stream { name, frame_bytes, input, pieces, clean_end } in load::<Vec<Stream>>("streams.json") {
        let bytes = input.bytes();
        let expected = (pieces, clean_end);
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(split(frame_bytes, [head, tail].into_iter()), expected, "{name}: split at {at}");
        }
        for step in 1..=bytes.len().min(20) {
            assert_eq!(split(frame_bytes, bytes.chunks(step)), expected, "{name}: split every {step}");
        }
    }
}

#[test]
fn a_ping_by_udp_is_answered_as_its_vector_says() {
    for Ping { name, now, asked, answer } in load::<Vec<Ping>>("pings.json") {
        let asked = asked.bytes();
        let read = datagram::decode(&asked).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        let Request::Ping(ping) = &read.request else { panic!("{name}: no ping") };
        let mut out = Vec::new();
        let answered = datagram::pong(&asked, read.request_id, ping, Millis(now), &mut out);
        assert_eq!(answered.then(|| hex(&out)), answer.map(|answer| hex(&answer.bytes())), "{name}");
        assert!(out.len() <= asked.len(), "{name}");
    }
}

fn check_value<T: Encode + Decode<()> + serde::Serialize + serde::de::DeserializeOwned>(vector: &Value) {
    let Value { kind, json, hex: bytes, ok } = vector;
    if let Some(text) = json {
        let read = serde_json::from_str::<T>(text);
        assert_eq!(read.is_ok(), *ok, "{kind} {text}");
        assert_eq!(read.ok().map(|value| serde_json::to_string(&value).unwrap()), ok.then(|| text.clone()));
    }
    if let Some(bytes) = bytes {
        let read = format::decode::<T>(&unhex(bytes));
        assert_eq!(read.is_ok(), *ok, "{kind} {bytes}");
        let mut out = Vec::new();
        read.iter().for_each(|value| format::encode_into(value, &mut out));
        assert_eq!(hex(&out), if *ok { bytes.as_str() } else { "" });
    }
}

#[test]
fn ids_and_positions_keep_the_bounds_of_their_vectors() {
    for vector in load::<Vec<Value>>("values.json") {
        match vector.kind.as_str() {
            "ChatId" => check_value::<ChatId>(&vector),
            "UserId" => check_value::<UserId>(&vector),
            "MessageId" => check_value::<MessageId>(&vector),
            "Seq" => check_value::<Seq>(&vector),
            "ClientId" => check_value::<ClientId>(&vector),
            other => panic!("no such type: {other}"),
        }
    }
}

#[test]
fn codes_never_change_their_meaning() {
    assert_eq!(CodesFile::of_the_crate(), load::<CodesFile>("codes.json"), "codes are only ever added, at the end");
}

/// The packet's place among the variants. No wildcard: a new packet does not compile here until it has its place.
fn packet_kind(packet: &Packet) -> usize {
    match packet {
        Packet::Welcome(_) => 0,
        Packet::Ack(_) => 1,
        Packet::Messages(_) => 2,
        Packet::Events(_) => 3,
        Packet::Reset(_) => 4,
        Packet::Gap(_) => 5,
        Packet::Chats(_) => 6,
        Packet::Presence(_) => 7,
        Packet::Pong(_) => 8,
        Packet::Error(_) => 9,
        Packet::Closing(_) => 10,
        Packet::Read(_) => 11,
        Packet::Typing(_) => 12,
        Packet::Status(_) => 13,
        Packet::Expiring(_) => 14,
        Packet::Event(event) => match &**event {
            Event::Message(_) => 15,
            Event::MessageEdited(_) => 16,
            Event::MessageDeleted(_) => 17,
            Event::Reaction(_) => 18,
            Event::ChatCreated(_) => 19,
            Event::ChatUpdated(_) => 20,
            Event::MemberJoined(_) => 21,
            Event::MemberLeft(_) => 22,
        },
    }
}

#[test]
fn every_variant_has_a_vector() {
    let requests = load::<Vec<PacketVector>>("requests.json");
    let kinds: BTreeSet<_> =
        requests.iter().map(|vector| json::decode(vector.json.as_bytes()).unwrap().request.kind()).collect();
    assert_eq!(kinds, (0..RULES.len()).collect(), "requests");

    let packets = packets_and_events();
    let kinds: BTreeSet<_> =
        packets.iter().map(|vector| packet_kind(&json::decode_packet(vector.json.as_bytes()).unwrap().1)).collect();
    assert_eq!(kinds, (0..23).collect(), "packets");

    let names: Vec<_> = requests.iter().chain(&packets).map(|vector| &vector.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "names are unique");

    let codes = |code: Code| load::<Vec<Refusal>>("refused.json").iter().any(|refusal| refusal.code == code.as_str());
    for code in [Code::Malformed, Code::UnknownPacket, Code::InvalidField, Code::TooLarge, Code::TooDeep] {
        assert!(codes(code), "{code} is what this crate refuses with, and has no vector");
    }
}

#[test]
fn every_optional_field_has_a_vector_with_it_and_one_without() {
    let texts = ["requests.json", "packets.json", "events.json"].map(load::<Vec<PacketVector>>).concat();
    let values: Vec<serde_json::Value> =
        texts.iter().map(|vector| serde_json::from_str(&vector.json).unwrap()).collect();
    for (packet, pointers) in files::OPTIONAL {
        let of_kind: Vec<_> = values.iter().filter(|value| value["packet_type"] == *packet).collect();
        for pointer in *pointers {
            let with = of_kind.iter().filter(|value| value.pointer(pointer).is_some()).count();
            assert!(with > 0, "{packet}{pointer} is in no vector");
            assert!(with < of_kind.len(), "{packet}{pointer} is in every vector");
        }
    }
    for rule in RULES.iter().filter(|rule| rule.answer != Answer::None) {
        let with = values.iter().filter(|value| value["packet_type"] == rule.name && value["request_id"].is_u64());
        assert!(with.count() > 0, "no vector of {} has a request_id", rule.name);
    }
    let texts: String = texts.iter().map(|vector| vector.json.as_str()).collect();
    for value in ["Text", "Image", "File", "System", "Data", "group", "direct", "open", "member", "owner"] {
        assert!(texts.contains(&format!(":\"{value}\"")), "{value} is in no vector");
    }
}

#[test]
#[ignore = "writes vectors/; look at the difference before keeping it"]
fn fill_in_the_bytes() {
    for (file, is_request) in [("requests.json", true), ("packets.json", false), ("events.json", false)] {
        let mut vectors = load::<Vec<PacketVector>>(file);
        for vector in &mut vectors {
            let mut body = Vec::new();
            if is_request {
                frame::encode_request_into(&json::decode(vector.json.as_bytes()).unwrap(), &mut body);
            } else {
                let (request_id, packet) = json::decode_packet(vector.json.as_bytes()).unwrap();
                frame::encode_into(&packet, request_id, &mut body);
            }
            vector.body = hex(&body);
            vector.frame = hex(&framed(&body));
        }
        files::store(file, &vectors);
    }
    files::store_codes(&CodesFile::of_the_crate());
}
