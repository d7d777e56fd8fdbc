//! The client's end of each wire: requests to bytes, bytes to packets.

use chappe_proto::compression::Expander;
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::json;
use chappe_proto::outgoing::Wire;
use chappe_proto::packet::Packet;
use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, parse_header};

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Lines,
    Binary,
    Zstd,
    WsText,
    WsBinary,
}

impl Speech {
    pub(crate) const ALL: [Self; 5] = [Self::Lines, Self::Binary, Self::Zstd, Self::WsText, Self::WsBinary];

    /// Whether it comes over TCP; else over WebSocket.
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Self::Lines | Self::Binary | Self::Zstd)
    }

    /// How the server answers before it has heard anything.
    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::Lines | Self::Binary | Self::Zstd => Wire::JsonLines,
            Self::WsText => Wire::WsText,
            Self::WsBinary => Wire::WsBinary,
        }
    }

    /// A request as bytes; a WebSocket's are masked with `mask`.
    pub(crate) fn encode(self, request: &ClientFrame, mask: u32) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Lines | Self::WsText => json::encode_request_into(request, &mut body),
            Self::Binary | Self::Zstd | Self::WsBinary => frame::encode_request_into(request, &mut body),
        }
        match self {
            Self::Lines => {
                body.push(b'\n');
                body
            }
            Self::Binary | Self::Zstd => {
                let mut framed = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
                framed.extend_from_slice(&body);
                framed
            }
            Self::WsText => masked(OPCODE_TEXT, &body, mask),
            Self::WsBinary => masked(OPCODE_BINARY, &body, mask),
        }
    }
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(OPCODE_PONG, payload, 0)
}

fn masked(opcode: u8, payload: &[u8], mask: u32) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// What the server said.
pub(crate) enum Heard {
    /// With the request that it answers.
    Packet(Option<u64>, Packet),
    /// In the transport's own words.
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Bytes that have come, up to the end of the last whole packet.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    expander: Expander,
}

impl Inbox {
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, if it is whole.
    ///
    /// # Errors
    /// A sentence, if the bytes are none.
    pub(crate) fn next(&mut self, speech: Speech) -> Result<Option<Heard>, String> {
        if speech == Speech::Lines {
            let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            return json(&line).map(Some);
        }
        if speech.is_tcp() {
            let Some(length) = self.bytes.first_chunk::<4>() else { return Ok(None) };
            let end = 4 + usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if self.bytes.len() < end {
                return Ok(None);
            }
            let frame: Vec<u8> = self.bytes.drain(..end).collect();
            // Until it has said what it reads, it is answered like anybody.
            if frame[4] == b'{' {
                return json(&frame[4..]).map(Some);
            }
            let (id, packet) = frame::decode_packet_expanding(&frame[4..], &mut self.expander)?;
            return Ok(Some(Heard::Packet(id, packet)));
        }
        let Some(header) = parse_header(&self.bytes) else { return Ok(None) };
        let end = header.size + usize::try_from(header.payload).unwrap_or(usize::MAX);
        if self.bytes.len() < end {
            return Ok(None);
        }
        let frame: Vec<u8> = self.bytes.drain(..end).collect();
        let payload = &frame[header.size..];
        Ok(Some(match header.opcode {
            OPCODE_TEXT => json(payload)?,
            OPCODE_BINARY => {
                let (id, packet) = frame::decode_packet(payload)?;
                Heard::Packet(id, packet)
            }
            OPCODE_PING => Heard::Ping(payload.to_vec()),
            OPCODE_PONG => Heard::Pong,
            OPCODE_CLOSE => Heard::Close,
            other => return Err(format!("a WebSocket frame of kind {other}")),
        }))
    }
}

fn json(text: &[u8]) -> Result<Heard, String> {
    let (id, packet) = json::decode_packet(text).map_err(|error| format!("{error}: {}", text.escape_ascii()))?;
    Ok(Heard::Packet(id, packet))
}
