//! From a packet to the bytes of a connection.
//!
//! A connection has a [`Wire`]: its framing and its body format. A packet for many listeners is encoded once per body
//! format, and framed once per wire.

use crate::compression::Compressor;
use crate::frame::FLAG_ZSTD;
use crate::limits::COMPRESSED_BYTES;
use crate::packet::Packet;
use crate::page::Body;
use crate::websocket::{OPCODE_BINARY, OPCODE_TEXT, put_header};
use crate::{frame, json};

/// The framing and the body format that a connection's packets leave in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// TCP: JSON, a line each.
    JsonLines,
    /// TCP: binary frames with binary bodies.
    Binary,
    /// TCP: the same, compressed where it pays.
    BinaryZstd,
    /// WebSocket: a text frame with JSON each.
    WsText,
    /// WebSocket: a binary frame with flags and binary body each.
    WsBinary,
}

impl Wire {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::JsonLines, Self::Binary, Self::BinaryZstd, Self::WsText, Self::WsBinary];

    /// Its place in [`Wire::ALL`].
    pub const fn index(self) -> usize {
        match self {
            Self::JsonLines => 0,
            Self::Binary => 1,
            Self::BinaryZstd => 2,
            Self::WsText => 3,
            Self::WsBinary => 4,
        }
    }

    /// Whether its bodies are JSON.
    pub const fn is_json(self) -> bool {
        matches!(self, Self::JsonLines | Self::WsText)
    }

    /// Appends an encoded body to `out`, framed and as it is; [`Encoder::frame`] also compresses.
    pub fn put(self, body: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::JsonLines => {
                out.extend_from_slice(body);
                out.push(b'\n');
                return;
            }
            Self::Binary | Self::BinaryZstd => {
                // Bodies are below 16 MiB: pages are limited in count and messages in size. Were one larger, the
                // reader would find a frame that does not start with 0x00 and close, rather than misread.
                let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Self::WsText => put_header(OPCODE_TEXT, body.len(), out),
            Self::WsBinary => put_header(OPCODE_BINARY, body.len(), out),
        }
        out.extend_from_slice(body);
    }
}

/// The bodies of one packet for many listeners: encoded when first asked for, once per format.
#[derive(Debug, Default)]
pub struct Bodies {
    json: Vec<u8>,
    binary: Vec<u8>,
}

impl Bodies {
    /// Encodes `packet` in the formats that have listeners.
    pub fn encode(packet: &Packet, with_json: bool, with_binary: bool) -> Self {
        let mut bodies = Self::default();
        if with_json {
            json::encode_into(packet, None, &mut bodies.json);
        }
        if with_binary {
            frame::encode_into(packet, None, &mut bodies.binary);
        }
        bodies
    }

    /// The body for `wire`; `None` if its format was not encoded.
    pub fn get(&self, wire: Wire) -> Option<&[u8]> {
        let body = if wire.is_json() { &self.json } else { &self.binary };
        (!body.is_empty()).then_some(body.as_slice())
    }
}

/// Encodes answers, each for one connection, and frames bodies. Keeps its scratch space.
#[derive(Debug, Default)]
pub struct Encoder {
    scratch: Vec<u8>,
    compressor: Compressor,
}

impl Encoder {
    /// Appends `packet` to `out` as it leaves on `wire`.
    pub fn put(&mut self, wire: Wire, packet: &impl Body, request_id: Option<u64>, out: &mut Vec<u8>) {
        self.scratch.clear();
        if wire.is_json() {
            packet.json(request_id, &mut self.scratch);
        } else {
            frame::encode_into(packet, request_id, &mut self.scratch);
        }
        put(&mut self.compressor, wire, &self.scratch, out);
        if self.scratch.capacity() > 1 << 20 {
            self.scratch = Vec::new();
        }
    }
    /// Appends an encoded body to `out` as it leaves on `wire`.
    pub fn frame(&mut self, wire: Wire, body: &[u8], out: &mut Vec<u8>) {
        put(&mut self.compressor, wire, body, out);
    }
}

fn put(compressor: &mut Compressor, wire: Wire, body: &[u8], out: &mut Vec<u8>) {
    if wire == Wire::BinaryZstd
        && body.len() >= COMPRESSED_BYTES
        && let [0, plain @ ..] = body
        && let Some(packed) = compressor.compress(plain)
    {
        // Smaller than the body, which fits.
        let length = u32::try_from(1 + packed.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.push(FLAG_ZSTD);
        out.extend_from_slice(packed);
        return;
    }
    wire.put(body, out);
}
