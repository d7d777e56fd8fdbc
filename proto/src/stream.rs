//! Splits the bytes of a TCP connection into frames.
//!
//! The first byte tells the framing: `{` or white space is JSON, values one after another; `0x00` is binary frames;
//! `0x16` would be TLS. Bytes may come split anywhere and glued together. A frame is scanned once, however it drips
//! in, and nothing is kept of a frame that is larger than the limit.

use crate::code::{Code, Reject};
use crate::scan::{Scan, Step};

/// How a connection is framed. Fixed by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// JSON values one after another, with or without white space between.
    Json,
    /// `u32` length, big-endian, of what follows; flags; body.
    Binary,
}

/// What was found in the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// One JSON object, whole by its brackets; whether it is valid is for the decoder.
    Json(&'a [u8]),
    /// Flags and body of a binary frame.
    Binary(&'a [u8]),
    /// Something that is no frame was passed over. The stream goes on behind it.
    Skipped(Reject),
}

/// The stream cannot be split any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The first byte fits no framing.
    #[error("a connection starts with '{{' (JSON) or 0x00 (binary), not with {0:#04x}")]
    FirstByte(u8),
    /// The client speaks TLS.
    #[error("this port does not speak TLS")]
    Tls,
    /// A binary length above 16 MiB: the frames' borders are lost.
    #[error("a frame's length starts with 0x00, not with {0:#04x}: the frames' borders are lost")]
    Length(u8),
}

/// What is going on between two calls.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a frame.
    Between,
    /// Inside a JSON value.
    Value(Scan),
    /// Inside a JSON value of which nothing is kept.
    Oversized(Scan),
    /// Passing over what is no JSON, up to the end of the line.
    Garbage,
    /// Inside a binary frame's header or body.
    Frame,
    /// Passing over so many bytes of a binary frame.
    Skip(usize),
}

/// Splits one connection's bytes into frames.
#[derive(Debug)]
pub struct Splitter {
    framing: Option<Framing>,
    state: State,
    /// The start of a frame whose end has not come yet. Never longer than the limit and a binary frame's length.
    carry: Vec<u8>,
    /// Whether `carry` was handed out whole and is to be dropped at the next call.
    spent: bool,
    /// Why the stream is broken, once it is.
    broken: Option<Broken>,
    frame_bytes: usize,
}

impl Splitter {
    /// Splits frames of at most `frame_bytes`: of JSON text, or of flags and body.
    pub fn new(frame_bytes: usize) -> Self {
        Self { framing: None, state: State::Between, carry: Vec::new(), spent: false, broken: None, frame_bytes }
    }

    /// The framing, once the first byte has come.
    pub fn framing(&self) -> Option<Framing> {
        self.framing
    }

    /// Whether the stream stands between two frames, so that its end there is a clean one.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Between | State::Garbage) && (self.spent || self.carry.is_empty())
    }

    /// How much memory holds the start of a frame whose end has not come yet, in bytes: at most twice the limit, and 0
    /// while the connection is idle.
    pub fn held_bytes(&self) -> usize {
        self.carry.capacity()
    }

    /// Takes the next piece out of `input`, which is moved past what was used. `None` when `input` is used up.
    ///
    /// # Errors
    /// [`Broken`] when the stream can be split no further; it stays broken.
    pub fn next<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Result<Option<Piece<'a>>, Broken> {
        if self.spent {
            self.spent = false;
            // Not `clear`: an idle connection keeps no buffer.
            self.carry = Vec::new();
        }
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let framing = match self.framing {
            Some(framing) => framing,
            None => match input.first() {
                None => return Ok(None),
                Some(0) => *self.framing.insert(Framing::Binary),
                Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => *self.framing.insert(Framing::Json),
                Some(0x16) => return Err(self.break_off(Broken::Tls)),
                Some(&other) => return Err(self.break_off(Broken::FirstByte(other))),
            },
        };
        match framing {
            Framing::Json => Ok(self.next_json(input)),
            Framing::Binary => self.next_binary(input),
        }
    }

    fn next_json<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Option<Piece<'a>> {
        let bytes = *input;
        let mut start = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match &mut self.state {
                State::Between => match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => {}
                    b'{' => {
                        start = at - 1;
                        self.state = State::Value(Scan::opened());
                    }
                    _ => {
                        self.state = State::Garbage;
                        *input = &bytes[at..];
                        return Some(Piece::Skipped(Reject::new(
                            Code::Malformed,
                            "a packet is a JSON object; this line is passed over",
                        )));
                    }
                },
                State::Garbage => {
                    if byte == b'\n' {
                        self.state = State::Between;
                    }
                }
                State::Value(scan) | State::Oversized(scan) => match scan.step(byte) {
                    Step::Inside => {}
                    step @ (Step::Broken | Step::Restart) => {
                        let restart = step == Step::Restart;
                        self.state = if restart || byte == b'\n' { State::Between } else { State::Garbage };
                        self.carry = Vec::new();
                        *input = &bytes[if restart { at - 1 } else { at }..];
                        return Some(Piece::Skipped(Reject::new(
                            Code::Malformed,
                            "a JSON packet breaks off; the rest of its line is passed over",
                        )));
                    }
                    Step::End => {
                        let oversized = matches!(self.state, State::Oversized(_));
                        self.state = State::Between;
                        *input = &bytes[at..];
                        if oversized || self.carry.len() + (at - start) > self.frame_bytes {
                            self.carry = Vec::new();
                            return Some(self.too_large());
                        }
                        if self.carry.is_empty() {
                            return Some(Piece::Json(&bytes[start..at]));
                        }
                        self.carry.extend_from_slice(&bytes[..at]);
                        self.spent = true;
                        return Some(Piece::Json(&self.carry));
                    }
                },
                // States of binary framing; a connection never changes its framing.
                State::Frame | State::Skip(_) => self.state = State::Between,
            }
        }
        if let State::Value(scan) = self.state {
            if self.carry.len() + (bytes.len() - start) > self.frame_bytes {
                self.carry = Vec::new();
                self.state = State::Oversized(scan);
            } else {
                self.carry.extend_from_slice(&bytes[start..]);
            }
        }
        *input = &[];
        None
    }

    fn next_binary<'a, 'b: 'a>(&'a mut self, input: &mut &'b [u8]) -> Result<Option<Piece<'a>>, Broken> {
        if let State::Skip(left) = self.state {
            let now = left.min(input.len());
            *input = &input[now..];
            self.state = if now == left { State::Between } else { State::Skip(left - now) };
        }
        while self.carry.len() < 4 && !(self.carry.is_empty() && input.len() >= 4) {
            // The header itself is split.
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            if self.carry.is_empty() && byte != 0 {
                return Err(self.break_off(Broken::Length(byte)));
            }
            self.carry.push(byte);
            self.state = State::Frame;
            *input = rest;
        }
        let whole_header = if self.carry.is_empty() { *input } else { &self.carry[..] };
        let &[first, b, c, d, ..] = whole_header else { return Ok(None) };
        if first != 0 {
            return Err(self.break_off(Broken::Length(first)));
        }
        let length = usize::from(b) << 16 | usize::from(c) << 8 | usize::from(d);
        if length == 0 || length > self.frame_bytes {
            if self.carry.is_empty() {
                *input = &input[4..];
            }
            self.carry = Vec::new();
            self.state = if length == 0 { State::Between } else { State::Skip(length) };
            return Ok(Some(if length == 0 {
                Piece::Skipped(Reject::new(Code::Malformed, "the frame is empty"))
            } else {
                self.too_large()
            }));
        }
        let whole = 4 + length;
        if self.carry.is_empty() && input.len() >= whole {
            let (frame, rest) = input.split_at(whole);
            *input = rest;
            return Ok(Some(Piece::Binary(&frame[4..])));
        }
        let (now, rest) = input.split_at((whole - self.carry.len()).min(input.len()));
        // Grows with what has come, never with what the length claims.
        self.carry.extend_from_slice(now);
        *input = rest;
        if self.carry.len() < whole {
            self.state = State::Frame;
            return Ok(None);
        }
        self.state = State::Between;
        self.spent = true;
        Ok(Some(Piece::Binary(&self.carry[4..])))
    }

    fn break_off(&mut self, broken: Broken) -> Broken {
        self.carry = Vec::new();
        self.broken.insert(broken).clone()
    }

    fn too_large(&self) -> Piece<'static> {
        Piece::Skipped(Reject::new(Code::TooLarge, format!("a packet has at most {} bytes", self.frame_bytes)))
    }
}
