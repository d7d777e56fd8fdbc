//! WebSocket frame headers (RFC 6455, section 5.2), as far as the server needs them beside its codec.
//!
//! The frames the server sends carry no mask, and so are the same for every listener. What clients send is read by
//! [`websocket_input`](crate::websocket_input).

/// A text frame's opcode.
pub const OPCODE_TEXT: u8 = 1;
/// A binary frame's opcode.
pub const OPCODE_BINARY: u8 = 2;
/// A close frame's opcode.
pub const OPCODE_CLOSE: u8 = 8;
/// A ping frame's opcode.
pub const OPCODE_PING: u8 = 9;
/// A pong frame's opcode.
pub const OPCODE_PONG: u8 = 10;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// What the frame is.
    pub opcode: u8,
    /// How long the payload is, in bytes.
    pub payload: u64,
    /// How long the header is, in bytes.
    pub size: usize,
}

/// Reads a header from the start of `bytes`; `None` until enough has come.
pub fn parse_header(bytes: &[u8]) -> Option<Header> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (extended, payload) = match second & 0x7f {
        126 => (2, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (8, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (0, u64::from(short)),
    };
    let size = 2 + extended + if second & 0x80 == 0 { 0 } else { 4 };
    (bytes.len() >= size).then_some(Header { fin: first & 0x80 != 0, opcode: first & 0x0f, payload, size })
}

/// Appends the header of a whole, unmasked frame.
pub fn put_header(opcode: u8, payload: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_it_was_written() {
        for payload in [0usize, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            let mut bytes = Vec::new();
            put_header(OPCODE_BINARY, payload, &mut bytes);
            for short in 0..bytes.len() {
                assert_eq!(parse_header(&bytes[..short]), None);
            }
            let expected = Header { fin: true, opcode: OPCODE_BINARY, payload: payload as u64, size: bytes.len() };
            assert_eq!(parse_header(&bytes), Some(expected));
        }
    }
}
