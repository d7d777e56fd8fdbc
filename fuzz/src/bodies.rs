//! Packets themselves, in JSON, in the binary format and compressed: what a client sends, and what a server sends.

use chappe_proto::Code;
use chappe_proto::compression::{Compressor, Expander};
use chappe_proto::frame::{self, ClientFrame, FLAG_JSON, FLAG_ZSTD, Refused};
use chappe_proto::json;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::Packet;
use chappe_proto::page::{self, Body};

use crate::corpus;
use crate::stream::LIMIT;

/// What was accepted can be said again, in either format; what was refused is refused in few words.
pub(crate) fn is_read_well(read: Result<ClientFrame, Refused>) {
    match read {
        Ok(frame) => {
            let (mut text, mut body) = (Vec::new(), Vec::new());
            json::encode_request_into(&frame, &mut text);
            frame::encode_request_into(&frame, &mut body);
            assert_eq!(json::decode(&text).as_ref(), Ok(&frame), "said again as JSON");
            assert_eq!(frame::decode(&body).as_ref(), Ok(&frame), "said again in binary");
        }
        Err(refused) => {
            let id = refused.request_id;
            let answer = refused.packet();
            for wire in [Wire::JsonLines, Wire::Binary] {
                let mut out = Vec::new();
                Encoder::default().put(wire, &answer, id, &mut out);
                assert!(out.len() < 1024, "an answer of {} bytes to what is refused", out.len());
            }
        }
    }
}

/// What a client sends, as JSON and as flags and body.
pub(crate) fn request(bytes: &[u8]) {
    is_read_well(json::decode(bytes));
    let read = frame::decode(bytes);
    if let (Ok(frame), Some(0)) = (&read, bytes.first()) {
        let mut again = Vec::new();
        frame::encode_request_into(frame, &mut again);
        assert_eq!(again, bytes, "a packet has one form in binary");
    }
    is_read_well(read);
    is_read_well(frame::decode_padded(bytes));
}

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let mut seeds = corpus::column("requests.json", "json");
    seeds.extend(corpus::column("requests.json", "body"));
    seeds.extend(corpus::column("reads.json", "json"));
    seeds.extend(corpus::column("refused.json", "input"));
    seeds
}

/// What a server sends, as a client reads it.
pub(crate) fn packet(bytes: &[u8]) {
    if let Ok((request_id, packet)) = json::decode_packet(bytes) {
        survives(&packet, request_id);
    }
    if let Ok((request_id, packet)) = frame::decode_packet(bytes) {
        if bytes.first() == Some(&0) {
            let mut again = Vec::new();
            frame::encode_into(&packet, request_id, &mut again);
            assert_eq!(again, bytes, "a packet has one form in binary");
        }
        survives(&packet, request_id);
    }
}

fn survives(packet: &Packet, request_id: Option<u64>) {
    let (mut text, mut body) = (Vec::new(), Vec::new());
    json::encode_into(packet, request_id, &mut text);
    let read = json::decode_packet(&text).map_err(|error| error.to_string());
    assert_eq!(read.as_ref(), Ok(&(request_id, packet.clone())), "as JSON");
    frame::encode_into(packet, request_id, &mut body);
    assert_eq!(frame::decode_packet(&body).as_ref(), Ok(&(request_id, packet.clone())), "in binary");
    match packet {
        Packet::Messages(page) if page.messages.iter().all(|message| message.chat_id == page.chat_id) => {
            is_written_alike(&page::Messages::from(page.clone()), packet, request_id);
        }
        Packet::Events(page) if page.events.iter().all(|event| event.chat_id() == page.chat_id) => {
            is_written_alike(&page::Events::from(page.clone()), packet, request_id);
        }
        _ => {}
    }
}

fn is_written_alike(packed: &impl Body, packet: &Packet, request_id: Option<u64>) {
    for wire in Wire::ALL {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        Encoder::default().put(wire, packed, request_id, &mut one);
        Encoder::default().put(wire, packet, request_id, &mut other);
        assert_eq!(one, other, "a packed page leaves as the packet that it stands for, on {wire:?}");
    }
}

pub(crate) fn packets() -> Vec<Vec<u8>> {
    ["packets.json", "events.json"]
        .into_iter()
        .flat_map(|file| ["json", "body"].map(|name| corpus::column(file, name)))
        .flatten()
        .collect()
}

/// A zstd frame: never more behind it than is allowed, and what was compressed here comes out again.
pub(crate) fn zstd(bytes: &[u8]) {
    let mut used = Expander::default();
    for limit in [0, 100, LIMIT] {
        let fresh = Expander::default().expand(bytes, limit).map(<[u8]>::to_vec);
        let again = used.expand(bytes, limit).map(<[u8]>::to_vec);
        assert_eq!(again, fresh, "an expander remembers nothing");
        match fresh {
            Ok(expanded) => assert!(expanded.len() <= limit, "{} bytes, and {limit} are allowed", expanded.len()),
            Err(reject) => assert!(matches!(reject.code, Code::Malformed | Code::TooLarge), "{reject}"),
        }
        for flags in [FLAG_ZSTD, FLAG_ZSTD | FLAG_JSON] {
            is_read_well(frame::decode_expanding(&[&[flags], bytes].concat(), &mut used, limit));
        }
    }
    for mut compressor in [Compressor::default(), Compressor::quick()] {
        let Some(packed) = compressor.compress(bytes).map(<[u8]>::to_vec) else { continue };
        assert!(packed.len() < bytes.len(), "compressed is smaller");
        assert_eq!(used.expand(&packed, bytes.len()).map(<[u8]>::to_vec).as_deref(), Ok(bytes));
        let refused = used.expand(&packed, bytes.len() - 1).map(<[u8]>::len).map_err(|reject| reject.code);
        assert_eq!(refused, Err(Code::TooLarge), "a byte too many");
    }
}

pub(crate) fn compressed() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = corpus::column("compressed.json", "body")
        .into_iter()
        .map(|body| body.get(1..).unwrap_or_default().to_vec())
        .collect();
    let mut compressor = Compressor::default();
    let bodies = corpus::column("requests.json", "body").concat();
    seeds.extend(compressor.compress(&bodies).map(<[u8]>::to_vec));
    seeds.extend(compressor.compress(&[0; 4096]).map(<[u8]>::to_vec));
    seeds.push(bodies);
    seeds
}
