//! Reads WebSocket messages (RFC 6455) out of a client's bytes, wherever those are split.
//!
//! A frame's declared length is checked before a byte of it is kept; fragments are joined up to the same limit; text
//! is checked to be UTF-8 fragment by fragment.

use std::borrow::Cow;

use crate::websocket::{Header, OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, parse_header};

/// A frame that goes on with the message before.
const OPCODE_CONTINUE: u8 = 0;
/// The longest payload of a control frame: RFC 6455, section 5.5.
const MAX_CONTROL: u64 = 125;
/// A message comes in at most so many pieces.
const MAX_PIECES: u32 = 1024;

/// Something a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message. It is UTF-8.
    Text(&'a [u8]),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// The answer to a ping.
    Pong,
    /// The client closes, with this code.
    Close(Option<u16>),
}

/// Why the connection must end. RFC 6455, section 7.4.1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// 1002.
    #[error("{0}")]
    Protocol(&'static str),
    /// 1007.
    #[error("a text message is not UTF-8")]
    NotUtf8,
    /// 1009.
    #[error("a message of more than {limit} bytes: {declared} were declared")]
    TooLarge {
        /// What is allowed.
        limit: u64,
        /// What the header says, with what came before of the same message.
        declared: u64,
    },
    /// 1008.
    #[error("a message in more than {MAX_PIECES} pieces")]
    TooManyPieces,
}

impl Violation {
    /// The close code that tells of it.
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::TooManyPieces => 1008,
            Self::TooLarge { .. } => 1009,
        }
    }
}

/// One frame's header, mask and masked payload.
type Frame = (Header, [u8; 4], Vec<u8>);

/// Takes a connection's bytes, gives its messages.
#[derive(Debug)]
pub struct Reader {
    limit: u64,
    /// A frame whose end has not come.
    partial: Vec<u8>,
    /// The pieces of a message so far, unmasked, and its opcode and number of pieces.
    joined: Vec<u8>,
    joining: Option<(u8, u32)>,
    /// How much of a text's pieces is known to be UTF-8.
    checked: usize,
    /// The payload handed out last.
    current: Vec<u8>,
}

impl Reader {
    /// Reads messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let limit = limit as u64;
        Self { limit, partial: Vec::new(), joined: Vec::new(), joining: None, checked: 0, current: Vec::new() }
    }

    /// Whether the stream stands between two messages: nothing has begun, be it a frame or a message in pieces, that has
    /// not ended.
    pub fn is_between(&self) -> bool {
        self.joining.is_none() && self.partial.is_empty()
    }

    /// How much memory holds messages whose end has not come, and the one handed out last, in bytes: 0 while the
    /// connection is idle.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity() + self.joined.capacity() + self.current.capacity()
    }

    /// Takes the next message out of `input`, which is moved past what was used. `None` when `input` is used up.
    ///
    /// # Errors
    /// [`Violation`]: the connection must end.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Incoming<'_>>, Violation> {
        loop {
            // What was handed out is not needed any more; an idle connection keeps no buffer.
            self.current = Vec::new();
            let Some((header, mask, frame)) = self.next_frame(input)? else { return Ok(None) };
            let mut payload = frame;
            unmask(&mut payload, mask);
            self.current = payload;
            match header.opcode {
                OPCODE_PING => return Ok(Some(Incoming::Ping(&self.current))),
                OPCODE_PONG => return Ok(Some(Incoming::Pong)),
                OPCODE_CLOSE => return close_code(&self.current).map(|code| Some(Incoming::Close(code))),
                opcode => {
                    let (opcode, pieces) = match (self.joining, opcode) {
                        (Some((opcode, pieces)), OPCODE_CONTINUE) => (opcode, pieces + 1),
                        (None, OPCODE_TEXT | OPCODE_BINARY) => (opcode, 1),
                        (Some(_), _) => return Err(Violation::Protocol("a message began inside another")),
                        (None, _) => return Err(Violation::Protocol("a continuation of nothing")),
                    };
                    if !header.fin {
                        if pieces > MAX_PIECES {
                            return Err(Violation::TooManyPieces);
                        }
                        self.joined.append(&mut self.current);
                        self.joining = Some((opcode, pieces));
                        if opcode == OPCODE_TEXT {
                            self.check_fragment()?;
                        }
                        continue;
                    }
                    if self.joining.take().is_some() {
                        let mut whole = std::mem::take(&mut self.joined);
                        whole.append(&mut self.current);
                        self.current = whole;
                    }
                    if opcode == OPCODE_BINARY {
                        return Ok(Some(Incoming::Binary(&self.current)));
                    }
                    let checked = std::mem::take(&mut self.checked);
                    if std::str::from_utf8(&self.current[checked..]).is_err() {
                        return Err(Violation::NotUtf8);
                    }
                    return Ok(Some(Incoming::Text(&self.current)));
                }
            }
        }
    }

    /// Looks at the text that has come since the last look: who sends what is no text is told so before the end. A fragment
    /// may end inside a letter.
    fn check_fragment(&mut self) -> Result<(), Violation> {
        match std::str::from_utf8(&self.joined[self.checked..]) {
            Ok(_) => self.checked = self.joined.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Violation::NotUtf8),
        }
        Ok(())
    }

    fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Violation> {
        let header = loop {
            let start = if self.partial.is_empty() { Cow::Borrowed(*input) } else { Cow::Borrowed(&self.partial[..]) };
            match parse_header(&start) {
                Some(header) => break header,
                None => {
                    // A header's bytes, one by one: at most 14.
                    if self.partial.is_empty() {
                        self.partial.extend_from_slice(input);
                        *input = &[];
                        return Ok(None);
                    }
                    let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
                    self.partial.push(byte);
                    *input = rest;
                }
            }
        };
        self.check(&header, if self.partial.is_empty() { input } else { &self.partial })?;
        // The limit is far below what a `usize` holds.
        let payload = usize::try_from(header.payload).unwrap_or(usize::MAX);
        let whole = header.size + payload;
        let frame = if self.partial.is_empty() && input.len() >= whole {
            let (frame, rest) = input.split_at(whole);
            *input = rest;
            Cow::Borrowed(frame)
        } else {
            let (now, rest) = input.split_at((whole - self.partial.len()).min(input.len()));
            // Grows with what has come, never with what the header claims.
            self.partial.extend_from_slice(now);
            *input = rest;
            if self.partial.len() < whole {
                return Ok(None);
            }
            Cow::Owned(std::mem::take(&mut self.partial))
        };
        let (head, body) = frame.split_at(header.size);
        let mask = head.last_chunk::<4>().copied().unwrap_or_default();
        Ok(Some((header, mask, body.to_vec())))
    }

    fn check(&self, header: &Header, bytes: &[u8]) -> Result<(), Violation> {
        let [first, second, ..] = *bytes else { return Ok(()) };
        if first & 0x70 != 0 {
            return Err(Violation::Protocol("a reserved bit is set"));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Protocol("a client's frame is not masked"));
        }
        // Two readings of one length are how a proxy and a server come to disagree about where a frame ends.
        if matches!((second & 0x7f, header.payload), (126, 0..=125) | (127, 0..=0xffff)) {
            return Err(Violation::Protocol("a length is written in more bytes than it needs"));
        }
        match header.opcode {
            OPCODE_CONTINUE | OPCODE_TEXT | OPCODE_BINARY => {
                let declared = header.payload.saturating_add(self.joined.len() as u64);
                if declared > self.limit {
                    return Err(Violation::TooLarge { limit: self.limit, declared });
                }
                Ok(())
            }
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG if !header.fin || header.payload > MAX_CONTROL => {
                Err(Violation::Protocol("a control frame is fragmented or longer than 125 bytes"))
            }
            OPCODE_CLOSE | OPCODE_PING | OPCODE_PONG => Ok(()),
            _ => Err(Violation::Protocol("an unknown opcode")),
        }
    }
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    for four in payload.chunks_mut(4) {
        for (byte, key) in four.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

/// The code of a close frame: RFC 6455, sections 5.5.1 and 7.4.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Violation::Protocol("a close frame of one byte")) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::Protocol("a close code that must not be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Violation::NotUtf8);
    }
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::put_header;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_header(first & 0x0f, payload.len(), &mut bytes);
        bytes[0] = first;
        bytes[1] |= 0x80;
        let mask = [7, 1, 0xff, 3];
        bytes.extend_from_slice(&mask);
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], mask);
        bytes
    }

    /// The header of a binary message whose length is written so.
    fn length(written: &[u8]) -> Vec<u8> {
        [&[0x82, 0x80 | written[0]], &written[1..], &[0; 4]].concat()
    }

    /// All messages in `bytes`, read `step` bytes at a time.
    fn read(bytes: &[u8], step: usize) -> Result<Vec<String>, Violation> {
        let mut reader = Reader::new(1000);
        let mut all = Vec::new();
        for mut chunk in bytes.chunks(step) {
            while let Some(incoming) = reader.next(&mut chunk)? {
                all.push(match incoming {
                    Incoming::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
                    Incoming::Binary(bytes) => format!("binary {}", bytes.len()),
                    other => format!("{other:?}"),
                });
            }
        }
        Ok(all)
    }

    #[test]
    fn messages_come_out_whole_wherever_the_bytes_are_split() {
        let bytes = [
            frame(0x81, "grüße".as_bytes()),
            frame(0x01, b"one "),
            frame(0x89, b"ping"),
            frame(0x00, &"gr\u{fc}".as_bytes()[..3]),
            frame(0x80, &"gr\u{fc}".as_bytes()[3..]),
            frame(0x82, &[9; 300]),
            frame(0x8a, b""),
            frame(0x88, &[0x03, 0xe8, b'x']),
        ]
        .concat();
        let expected = [
            "text grüße",
            "Ping([112, 105, 110, 103])",
            "text one gr\u{fc}",
            "binary 300",
            "Pong",
            "Close(Some(1000))",
        ];
        for step in 1..=bytes.len() {
            assert_eq!(read(&bytes, step).unwrap(), expected, "split every {step}");
        }
    }

    #[test]
    fn a_large_frame_ends_the_connection_at_its_header() {
        let mut declared = Vec::new();
        put_header(OPCODE_BINARY, 4 << 30, &mut declared);
        declared[1] |= 0x80;
        declared.extend_from_slice(&[0; 4]);
        for step in 1..=declared.len() {
            assert_eq!(read(&declared, step), Err(Violation::TooLarge { limit: 1000, declared: 4 << 30 }));
        }
        let pieces = [frame(0x02, &[0; 600]), frame(0x80, &[0; 401])].concat();
        assert_eq!(read(&pieces, 50).unwrap_err().close_code(), 1009, "pieces are limited together");
        let many: Vec<u8> =
            std::iter::once(frame(0x02, b"")).chain((0..2000).map(|_| frame(0, b""))).flatten().collect();
        assert_eq!(read(&many, 4096), Err(Violation::TooManyPieces));
    }

    #[test]
    fn what_the_standard_forbids_ends_the_connection() {
        let mut unmasked = Vec::new();
        put_header(OPCODE_TEXT, 0, &mut unmasked);
        for (bytes, code) in [
            (unmasked, 1002),
            (frame(0xc1, b"x"), 1002),
            (frame(0x83, b"x"), 1002),
            (frame(0x80, b"x"), 1002),
            ([frame(0x01, b"x"), frame(0x81, b"x")].concat(), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x89, &[0; 126]), 1002),
            (frame(0x88, &[0]), 1002),
            (frame(0x88, &[0x03, 0xed]), 1002),
            (frame(0x88, &[0x03, 0xe8, 0xff]), 1007),
            (frame(0x81, &[0xff]), 1007),
            ([frame(0x01, &[0xc3]), frame(0x80, &[0x28])].concat(), 1007),
            (frame(0x01, &[0xff]), 1007),
            ([frame(0x01, &[0xe1]), frame(0x00, &[0xbd]), frame(0x00, &[0x28])].concat(), 1007),
            ([frame(0x01, &[0xe1]), frame(0x80, &[0xbd])].concat(), 1007),
            (length(&[126, 0, 125]), 1002),
            (length(&[127, 0, 0, 0, 0, 0, 0, 0, 125]), 1002),
            (length(&[127, 0, 0, 0, 0, 0, 0, 0, 126]), 1002),
            (length(&[127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), 1002),
            (length(&[127, 0, 0, 0, 0, 0, 1, 0, 0]), 1009),
        ] {
            assert_eq!(read(&bytes, 3).unwrap_err().close_code(), code, "{bytes:?}");
        }
    }
}
