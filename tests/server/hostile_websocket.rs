//! WebSocket connections that keep the standard to the letter, and those that break it, by the chapters of the Autobahn test
//! suite (1 to 7 and 10). That suite expects an echo; here a message is a packet. So what it calls a message is a `Ping`
//! with a text of any kind in it, which is answered by a `Pong` of the same `nonce`.
//!
//! Each case is sent in three ways: at once, in pieces, and byte by byte. Where it does not end the connection, that goes on
//! and is closed properly.

mod cases;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, parse_header};
use serde_json::Value;

use crate::support::server::TestServer;
use crate::support::until;
use cases::{Case, all};

/// Continues a message.
const OPCODE_CONTINUE: u8 = 0;
/// How long an answer may take.
const SOON: Duration = Duration::from_secs(5);
/// A byte too many for a byte-by-byte walk: then pieces of 997 bytes, as Autobahn has them.
const WALKED: usize = 3000;

/// A client's frame.
#[derive(Debug, Clone)]
struct Frame {
    fin: bool,
    reserved: u8,
    opcode: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { fin: true, reserved: 0, opcode, payload: payload.as_ref().to_vec() }
    }

    fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(OPCODE_TEXT, payload)
    }

    fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(OPCODE_PING, payload)
    }

    fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(OPCODE_CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// More of the message comes behind it.
    fn open(self) -> Self {
        Self { fin: false, ..self }
    }

    fn reserved(self, bits: u8) -> Self {
        Self { reserved: bits, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { fin, reserved, opcode, payload } = self;
        let mut bytes = vec![u8::from(*fin) << 7 | reserved << 4 | opcode];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | short as u8),
            medium @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

/// What came, in few words: packets by type and `nonce` or code, pongs by their payload.
#[derive(Debug, Default)]
struct Heard {
    said: Vec<String>,
    /// The connection ended: the close code, if there was a close frame.
    end: Option<Option<u16>>,
}

struct Raw {
    socket: TcpStream,
    received: Vec<u8>,
    /// It was waited in vain.
    is_silent: bool,
}

impl Raw {
    fn open(server: &TestServer, protocol: &str) -> Self {
        let mut socket = TcpStream::connect(server.http).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let ask = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            server.http
        );
        socket.write_all(ask.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{head}");
        assert!(!head.contains("sec-websocket-extensions"), "nobody compresses here: {head}");
        Self { socket, received: Vec::new(), is_silent: false }
    }

    /// Sends in pieces of so many bytes. A server that has heard enough may have closed: then the rest goes nowhere.
    fn send(&mut self, bytes: &[u8], step: usize) {
        for piece in bytes.chunks(step.max(1)) {
            if self.socket.write_all(piece).is_err() {
                return;
            }
        }
    }

    /// The next frame: its opcode and payload. `None` at the end, and if nothing comes.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(header) = parse_header(&self.received)
                && let size = header.size + usize::try_from(header.payload).unwrap()
                && self.received.len() >= size
            {
                assert!(header.fin && self.received[1] & 0x80 == 0, "a server sends whole frames, unmasked");
                let payload = self.received[header.size..size].to_vec();
                self.received.drain(..size);
                return Some((header.opcode, payload));
            }
            let mut buffer = [0; 65_536];
            match self.socket.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.received.is_empty(), "the server ends inside a frame");
                    return None;
                }
                Ok(size) => self.received.extend_from_slice(&buffer[..size]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.is_silent = true;
                    return None;
                }
                Err(_) => return None,
            }
        }
    }

    /// Listens until `last` is said, or the end.
    fn listen(&mut self, last: &str) -> Heard {
        let mut heard = Heard::default();
        loop {
            let Some((opcode, payload)) = self.frame() else {
                // Who waits for ever has not been told the end.
                heard.end = if self.is_silent { None } else { heard.end.or(Some(None)) };
                return heard;
            };
            assert!(heard.end.is_none(), "nothing follows a close frame");
            let said = match opcode {
                OPCODE_CLOSE => {
                    let code = payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
                    heard.end = Some(code);
                    continue;
                }
                OPCODE_PONG => format!("pong {}", String::from_utf8_lossy(&payload)),
                OPCODE_TEXT => in_words(&serde_json::from_slice(&payload).unwrap()),
                OPCODE_BINARY => {
                    let (_, packet) = chappe_proto::frame::decode_packet(&payload).unwrap();
                    in_words(&serde_json::to_value(&packet).unwrap())
                }
                other => panic!("a frame of kind {other} comes"),
            };
            let is_last = said == last;
            heard.said.push(said);
            if is_last {
                return heard;
            }
        }
    }
}

/// `Closing` is told by the close code already.
fn in_words(packet: &Value) -> String {
    let number = packet["nonce"].as_u64().map(|nonce| nonce.to_string());
    let what = number.or_else(|| packet["code"].as_str().map(str::to_owned)).unwrap_or_default();
    format!("{} {what}", packet["packet_type"].as_str().unwrap())
}

/// Runs one case in one way. What is wrong, if anything is.
fn trial(server: &TestServer, case: &Case, step: usize) -> Result<(), String> {
    let mut raw = Raw::open(server, case.protocol);
    raw.send(&case.bytes, step);
    const LAST: &str = "Pong 4711";
    if case.end.is_none() {
        let ask = Frame::text("{\"packet_type\":\"Ping\",\"nonce\":4711}");
        raw.send(&ask.bytes(), usize::MAX);
    }
    let mut heard = raw.listen(LAST);
    if case.end.is_none() {
        if heard.said.pop().as_deref() != Some(LAST) {
            return Err(format!("the connection does not go on: {heard:?}"));
        }
        raw.send(&Frame::close(1000, "").bytes(), usize::MAX);
        let rest = raw.listen("");
        heard.said.extend(rest.said);
        if rest.end != Some(Some(1000)) {
            return Err(format!("it does not end well: {:?}", rest.end));
        }
    } else if heard.end != Some(case.end) {
        return Err(format!("it ends with {:?}, not with {:?}", heard.end, case.end));
    }
    // Pongs wait apart, and a later one may stand for those before it.
    let is_pong = |said: &&String| said.starts_with("pong");
    let (pongs, said): (Vec<_>, Vec<_>) = heard.said.iter().partition(is_pong);
    if said != case.said.iter().collect::<Vec<_>>() {
        return Err(format!("it says {said:?}, not {:?}", case.said));
    }
    if pongs.iter().any(|pong| !case.pongs.contains(pong)) || pongs.last().copied() != case.pongs.last() {
        return Err(format!("pings are answered by {pongs:?}, not by {:?}", case.pongs));
    }
    Ok(())
}

#[test]
fn what_autobahn_asks_of_a_server_holds_however_the_bytes_come() {
    let server = TestServer::for_floods();
    let before = server.metric("chappe_connections_opened_total{door=\"websocket\"}");
    let (mut failed, mut trials) = (Vec::new(), 0.0);
    let cases = all();
    for case in &cases {
        let pieces = if case.bytes.len() > WALKED { 997 } else { 1 };
        for step in [usize::MAX, 7.max(case.bytes.len() / 5), pieces] {
            trials += 1.0;
            if let Err(what) = trial(&server, case, step) {
                failed.push(format!("{} in pieces of {step}: {what}", case.name));
            }
            assert!(failed.len() < 10, "these fail, and perhaps more:\n{}", failed.join("\n"));
        }
    }
    println!("{} cases, {trials} trials", cases.len());
    assert!(failed.is_empty(), "{} trials failed:\n{}", failed.len(), failed.join("\n"));
    assert!(cases.len() > 300, "{} cases", cases.len());
    assert_eq!(
        server.metric("chappe_connections_opened_total{door=\"websocket\"}") - before,
        trials,
        "all were WebSockets"
    );
    until("all connections to be gone", || {
        (server.metric("chappe_connections{door=\"websocket\"}") == 0.0).then_some(())
    });
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_frame_of_which_the_rest_never_comes_ends_with_its_connection() {
    let server = TestServer::start();
    let whole = Frame::text("{\"packet_type\":\"Ping\",\"nonce\":1}").bytes();
    for cut in 0..whole.len() {
        let mut raw = Raw::open(&server, "chappe.v1.json");
        raw.send(&whole[..cut], usize::MAX);
        raw.socket.shutdown(Shutdown::Write).unwrap();
        let heard = raw.listen("");
        assert_eq!(heard.said, Vec::<String>::new(), "cut at {cut}");
    }
    until("all connections to be gone", || {
        (server.metric("chappe_connections{door=\"websocket\"}") == 0.0).then_some(())
    });
}

#[test]
fn text_that_is_no_utf8_ends_the_connection_with_the_fragment_in_which_it_stands() {
    let server = TestServer::start();
    for (fragments, what) in [
        (vec![&b"{\"x\":\"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80"[..]], "beyond Unicode"),
        (vec![b"{\"x\":\"\xce\xba", b"\xff"], "an impossible byte"),
        (vec![b"{\"x\":\"\xe1", b"\xbd", b"\x28"], "a letter in three fragments, of which the last is wrong"),
        (vec![b"{\"x\":\"\xed", b"\xa0"], "half of a pair"),
    ] {
        let mut raw = Raw::open(&server, "chappe.v1.json");
        for (nth, fragment) in fragments.iter().enumerate() {
            let opcode = if nth == 0 { OPCODE_TEXT } else { OPCODE_CONTINUE };
            // The message has no end: who waits for it waits for ever.
            raw.send(&Frame::new(opcode, fragment).open().bytes(), usize::MAX);
        }
        assert_eq!(raw.listen("").end, Some(Some(1007)), "{what}");
    }
}
