//! WebSocket frame headers (RFC 6455, section 5.2), as far as the server needs them beside its codec.
//!
//! Two uses: a guard that ends a connection on the length a frame *declares*, before a byte of its payload is kept;
//! and the headers of frames the server sends, which carry no mask and so are the same for every listener.

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

/// The longest header: 2 bytes, 8 of length, 4 of mask.
const MAX_HEADER: usize = 14;

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

/// A frame declares more than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes was declared")]
pub struct Oversized(pub u64);

/// Watches the bytes of a connection go by and reads the headers among them.
#[derive(Debug)]
pub struct Guard {
    limit: u64,
    /// Payload bytes still to pass before the next header.
    payload_left: u64,
    header: [u8; MAX_HEADER],
    header_len: usize,
}

impl Guard {
    /// Allows frames of at most `limit` bytes of payload.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit as u64, payload_left: 0, header: [0; MAX_HEADER], header_len: 0 }
    }

    /// Looks at the next bytes of the connection.
    ///
    /// # Errors
    /// [`Oversized`] as soon as a header declares more than the limit.
    pub fn check(&mut self, mut bytes: &[u8]) -> Result<(), Oversized> {
        while !bytes.is_empty() {
            let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= here as u64;
            bytes = &bytes[here..];
            while self.payload_left == 0 {
                let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
                bytes = rest;
                self.header[self.header_len] = byte;
                self.header_len += 1;
                if let Some(header) = parse_header(&self.header[..self.header_len]) {
                    self.header_len = 0;
                    if header.payload > self.limit {
                        return Err(Oversized(header.payload));
                    }
                    self.payload_left = header.payload;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(opcode: u8, payload: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        put_header(opcode, payload, &mut frame);
        frame[1] |= 0x80;
        frame.extend_from_slice(&[1, 2, 3, 4]);
        frame.resize(frame.len() + payload, 0xaa);
        frame
    }

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

    #[test]
    fn the_guard_stops_at_the_header_of_a_large_frame_wherever_the_bytes_are_split() {
        let mut bytes = [masked(1, 3), masked(9, 0), masked(2, 1000)].concat();
        let fine = bytes.len();
        bytes.extend_from_slice(&masked(2, 1001)[..8]);
        for step in 1..=bytes.len() {
            let mut guard = Guard::new(1000);
            let mut seen = 0;
            let result = bytes.chunks(step).try_for_each(|chunk| {
                seen += chunk.len();
                guard.check(chunk)
            });
            assert_eq!(result, Err(Oversized(1001)), "split every {step}");
            assert!(seen > fine);
        }
    }
}
