//! A client of the HTTP door: one keep-alive HTTP/1.1 connection, one request at a time.
//!
//! It reads bodies with a length and chunked ones. No redirects, no compression, no pipelining.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ClientError, open};

/// How long to wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head taken.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The largest body taken.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// One connection to the HTTP door.
#[derive(Debug)]
pub struct HttpClient {
    stream: TcpStream,
    host: String,
    token: Option<String>,
    received: BytesMut,
    queued: Vec<u8>,
}

/// An answer, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, without its framing.
    pub body: Bytes,
}

impl Response {
    /// The body as JSON of a success.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`] for other statuses and for what is not JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ClientError> {
        if !(200..300).contains(&self.status) {
            let text: String = String::from_utf8_lossy(&self.body).chars().take(300).collect();
            return Err(ClientError::Unexpected(format!("HTTP {}: {text}", self.status)));
        }
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Unexpected(error.to_string()))
    }
}

impl HttpClient {
    /// Connects to `address` (`host:port`).
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let stream = open(address).await?;
        Ok(Self { stream, host: address.to_owned(), token: None, received: BytesMut::new(), queued: Vec::new() })
    }

    /// Shows this token with each request from now on, or none.
    pub fn bear(&mut self, token: Option<String>) {
        self.token = token;
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// Those of the connection; [`ClientError::Silent`] after 30 s. Any status is an answer.
    pub async fn get(&mut self, path: &str) -> Result<Response, ClientError> {
        self.request("GET", path, None).await
    }

    /// Posts JSON to `path`.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Response, ClientError> {
        self.request("POST", path, Some(body)).await
    }

    /// Any request, with JSON if it has a body.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub async fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Response, ClientError> {
        self.queued.clear();
        for part in [method, " ", path, " HTTP/1.1\r\nHost: ", &self.host, "\r\n"] {
            self.queued.extend_from_slice(part.as_bytes());
        }
        if let Some(token) = &self.token {
            self.queued.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
        }
        if let Some(body) = body {
            let body = body.to_string();
            let head = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            self.queued.extend_from_slice(head.as_bytes());
            self.queued.extend_from_slice(body.as_bytes());
        } else {
            self.queued.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&self.queued).await?;
        tokio::time::timeout(ANSWER_TIMEOUT, self.response()).await.map_err(|_| ClientError::Silent(ANSWER_TIMEOUT))?
    }

    async fn response(&mut self) -> Result<Response, ClientError> {
        let head = loop {
            match parse_head(&self.received)? {
                Some(head) if head.status != 100 => break head,
                Some(head) => self.received.advance(head.size),
                None => self.fill().await?,
            }
        };
        self.received.advance(head.size);
        let body = match head.framing {
            BodyFraming::Length(length) => {
                while self.received.len() < length {
                    self.fill().await?;
                }
                self.received.split_to(length).freeze()
            }
            BodyFraming::Chunked => {
                let mut chunks = Chunks::default();
                while !chunks.feed(&mut self.received)? {
                    self.fill().await?;
                }
                chunks.body.freeze()
            }
        };
        Ok(Response { status: head.status, body })
    }

    async fn fill(&mut self) -> Result<(), ClientError> {
        self.received.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(ClientError::Ended),
            _ => Ok(()),
        }
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFraming {
    Length(usize),
    Chunked,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) framing: BodyFraming,
    /// Its own size, in bytes.
    pub(super) size: usize,
    /// `Sec-WebSocket-Accept`, if it is there.
    pub(super) accept: Option<String>,
}

/// Reads a head; `None` until it is whole.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Option<Head>, ClientError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(ClientError::Unexpected("a head without end".to_owned()));
        }
        return Ok(None);
    };
    let broken = || ClientError::Unexpected("not an HTTP/1.1 answer".to_owned());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| broken())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).and_then(|rest| rest.get(..3));
    let status = status.and_then(|digits| digits.parse().ok()).ok_or_else(broken)?;
    let mut head = Head { status, framing: BodyFraming::Length(0), size: end + 4, accept: None };
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().ok().filter(|&length| length <= MAX_BODY_BYTES).ok_or_else(broken)?;
            head.framing = BodyFraming::Length(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            head.framing = BodyFraming::Chunked;
        } else if name.eq_ignore_ascii_case("sec-websocket-accept") {
            head.accept = Some(value.to_owned());
        }
    }
    Ok(Some(head))
}

/// Puts a chunked body together.
#[derive(Debug, Default)]
struct Chunks {
    body: BytesMut,
}

impl Chunks {
    /// Takes whole chunks out of `input`; true once the last has come.
    fn feed(&mut self, input: &mut BytesMut) -> Result<bool, ClientError> {
        let broken = || ClientError::Unexpected("a broken chunk".to_owned());
        loop {
            let Some(line) = input.windows(2).position(|two| two == b"\r\n") else {
                return if input.len() > 64 { Err(broken()) } else { Ok(false) };
            };
            let text = std::str::from_utf8(&input[..line]).map_err(|_| broken())?;
            let digits = text.split(';').next().unwrap_or(text).trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| broken())?;
            if length > MAX_BODY_BYTES || self.body.len() + length > MAX_BODY_BYTES {
                return Err(broken());
            }
            let whole = line + 2 + length + 2;
            if input.len() < whole {
                return Ok(false);
            }
            if input[whole - 2..whole] != *b"\r\n" {
                return Err(broken());
            }
            self.body.extend_from_slice(&input[line + 2..line + 2 + length]);
            input.advance(whole);
            if length == 0 {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const ANSWERS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nDate: now\r\n\r\nhello\
        HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n\
        HTTP/1.1 204 No Content\r\n\r\n";

    async fn answers_in_pieces_of(step: usize) -> Vec<(u16, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            for piece in ANSWERS.chunks(step) {
                socket.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            socket
        };
        let client = async {
            let mut client = HttpClient::connect(&address).await.unwrap();
            let mut answers = Vec::new();
            for _ in 0..3 {
                let answer = client.get("/").await.unwrap();
                answers.push((answer.status, String::from_utf8(answer.body.to_vec()).unwrap()));
            }
            answers
        };
        tokio::join!(server, client).1
    }

    #[tokio::test]
    async fn answers_are_read_wherever_the_bytes_are_split() {
        let expected = [(200, "hello".to_owned()), (404, "abc0123456789".to_owned()), (204, String::new())];
        for step in [1, 2, 3, 7, 16, 1000] {
            assert_eq!(answers_in_pieces_of(step).await, expected, "pieces of {step}");
        }
    }

    #[test]
    fn every_prefix_of_a_head_is_incomplete() {
        let end = ANSWERS.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        for short in 0..end {
            assert_eq!(parse_head(&ANSWERS[..short]).unwrap(), None);
        }
        let head = parse_head(ANSWERS).unwrap().unwrap();
        assert_eq!((head.status, head.framing, head.size), (200, BodyFraming::Length(5), end));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bad in ["SSH-2.0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Chunks::default().feed(&mut BytesMut::from("zz\r\n")).is_err());
        assert!(Chunks::default().feed(&mut BytesMut::from("1\r\naXX0\r\n\r\n")).is_err());
    }
}
