//! The cases, chapter by chapter.

use chappe_proto::frame::FLAG_JSON;
use chappe_proto::websocket::{OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT};

use super::{Frame, OPCODE_CONTINUE};

/// The largest message that a server takes unless told otherwise.
const LIMIT: usize = 65_536;
const JSON: &str = "chappe.v1.json";
const BINARY: &str = "chappe.v1.bin";

/// What is sent, and what has to come of it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) protocol: &'static str,
    pub(super) bytes: Vec<u8>,
    /// Packets that answer.
    pub(super) said: Vec<String>,
    /// Pongs that may answer; the last one has to.
    pub(super) pongs: Vec<String>,
    /// The close code that ends it, if something does.
    pub(super) end: Option<u16>,
}

fn case(name: impl Into<String>, frames: &[Frame]) -> Case {
    let bytes = frames.iter().flat_map(Frame::bytes).collect();
    Case { name: name.into(), protocol: JSON, bytes, said: Vec::new(), pongs: Vec::new(), end: None }
}

impl Case {
    fn says(mut self, said: &[&str]) -> Self {
        self.said = said.iter().map(|said| (*said).to_owned()).collect();
        self
    }

    fn pongs(mut self, pongs: &[&str]) -> Self {
        self.pongs = pongs.iter().map(|payload| format!("pong {payload}")).collect();
        self
    }

    fn ends(mut self, code: u16) -> Self {
        self.end = Some(code);
        self
    }

    fn binary(mut self) -> Self {
        self.protocol = BINARY;
        self
    }
}

/// A message that is answered by `Pong 5`, with this text in it.
fn message(text: &[u8]) -> Vec<u8> {
    [b"{\"packet_type\":\"Ping\",\"nonce\":5,\"x\":\"", text, b"\"}"].concat()
}

/// The same, of so many bytes.
fn sized(bytes: usize) -> Vec<u8> {
    message(&vec![b'*'; bytes - message(b"").len()])
}

/// A message in fragments.
fn fragments<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut frames: Vec<Frame> = parts
        .into_iter()
        .enumerate()
        .map(|(nth, part)| Frame::new(if nth == 0 { OPCODE_TEXT } else { OPCODE_CONTINUE }, part).open())
        .collect();
    if let Some(last) = frames.last_mut() {
        last.fin = true;
    }
    frames
}

const FINE: &[&str] = &["Pong 5"];
const MALFORMED: &[&str] = &["Error malformed"];

pub(super) fn all() -> Vec<Case> {
    [framing(), pings(), reserved_bits(), opcodes(), fragmentation(), utf8(), closing(), sizes()]
        .into_iter()
        .flatten()
        .collect()
}

/// 1: messages of each kind and size.
fn framing() -> Vec<Case> {
    let mut cases = vec![
        case("1.1 text of nothing", &[Frame::text("")]).says(MALFORMED),
        case("1.2 binary of nothing", &[Frame::new(OPCODE_BINARY, "")]).says(MALFORMED).binary(),
        case("1.1 text that is no packet", &[Frame::text("Hello, world!")]).says(MALFORMED),
        case("1.2 binary that is no packet", &[Frame::new(OPCODE_BINARY, [0xfe; 127])]).says(MALFORMED).binary(),
        case("1.2 binary where text was agreed on", &[Frame::new(OPCODE_BINARY, [0, 0, 14, 0, 0, 0, 0])])
            .says(&["Pong "]),
        case("1.1 text where binary was agreed on", &[Frame::text(message(b""))]).says(FINE).binary(),
    ];
    for size in [100, 125, 126, 127, 128, 4096, LIMIT - 1, LIMIT] {
        cases.push(case(format!("1.1 text of {size} bytes"), &[Frame::text(sized(size))]).says(FINE));
        let body = [&[FLAG_JSON], &sized(size - 1)[..]].concat();
        cases.push(case(format!("1.2 binary of {size} bytes"), &[Frame::new(OPCODE_BINARY, body)]).says(FINE).binary());
    }
    cases
}

/// 2: pings and pongs.
fn pings() -> Vec<Case> {
    let long = "x".repeat(125);
    let ten: Vec<Frame> = (0..10).map(|nth| Frame::ping(format!("payload-{nth}"))).collect();
    let all: Vec<String> = (0..10).map(|nth| format!("payload-{nth}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let pong = |payload: &str| Frame::new(OPCODE_PONG, payload);
    vec![
        case("2.1 a ping of nothing", &[Frame::ping("")]).pongs(&[""]),
        case("2.2 a ping", &[Frame::ping("Hello, world!")]).pongs(&["Hello, world!"]),
        case("2.3 a ping that is no text", &[Frame::ping([0x00, 0xff, 0xfe, 0xfd, 0xfc, 0x00, 0xff])])
            .pongs(&["\0\u{fffd}\u{fffd}\u{fffd}\u{fffd}\0\u{fffd}"]),
        case("2.4 a ping of 125 bytes", &[Frame::ping(&long)]).pongs(&[&long]),
        case("2.5 a ping of 126 bytes", &[Frame::ping([0xfe; 126])]).ends(1002),
        case("2.7 a pong that nobody asked for", &[pong("")]),
        case("2.8 a pong with a payload", &[pong("unsolicited")]),
        case("2.9 a pong, and a ping", &[pong("unsolicited"), Frame::ping("ping")]).pongs(&["ping"]),
        case("2.10 ten pings", &ten).pongs(&all),
        case("2.9 a pong of 126 bytes", &[pong(&"x".repeat(126))]).ends(1002),
    ]
}

/// 3: reserved bits.
fn reserved_bits() -> Vec<Case> {
    let good = || Frame::text(message(b""));
    let mut cases = Vec::new();
    for bits in 1..8 {
        cases.extend([
            case(format!("3.1 a message with bits {bits}"), &[good().reserved(bits)]).ends(1002),
            case(format!("3.2 a message, and one with bits {bits}"), &[good(), good().reserved(bits), Frame::ping("")])
                .says(FINE)
                .ends(1002),
            case(format!("3.5 binary with bits {bits}"), &[Frame::new(OPCODE_BINARY, [0xff; 8]).reserved(bits)])
                .ends(1002),
            case(format!("3.6 a ping with bits {bits}"), &[Frame::ping("x").reserved(bits)]).ends(1002),
            case(format!("3.7 a close with bits {bits}"), &[Frame::close(1000, "").reserved(bits)]).ends(1002),
            case(
                format!("3.8 a fragment with bits {bits}"),
                &[good().open(), Frame::new(OPCODE_CONTINUE, "").reserved(bits)],
            )
            .ends(1002),
        ]);
    }
    cases
}

/// 4: opcodes that nobody knows.
fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in (3..8).chain(11..16) {
        cases.extend([
            case(format!("4 opcode {opcode}"), &[Frame::new(opcode, "")]).ends(1002),
            case(format!("4 opcode {opcode} with a payload"), &[Frame::new(opcode, "reserved")]).ends(1002),
            case(
                format!("4 opcode {opcode} behind a message"),
                &[Frame::text(message(b"")), Frame::new(opcode, "reserved"), Frame::ping("")],
            )
            .says(FINE)
            .ends(1002),
        ]);
    }
    cases
}

/// 5: fragments, and what may stand between them.
fn fragmentation() -> Vec<Case> {
    let whole = message(b"fragment");
    let (first, second) = whole.split_at(20);
    let [one, two] = &fragments([first, second])[..] else { return Vec::new() };
    let (one, two) = (|| one.clone(), || two.clone());
    let ping = |payload| Frame::ping(payload);
    let more = |payload: &[u8], fin| Frame { fin, ..Frame::new(OPCODE_CONTINUE, payload) };
    let good = || Frame::text(&whole);
    let mut cases = vec![
        case("5.1 a ping in two", &[ping("x").open(), more(b"y", true)]).ends(1002),
        case("5.2 a pong in two", &[Frame::new(OPCODE_PONG, "x").open(), more(b"y", true)]).ends(1002),
        case("5.2 a close in two", &[Frame::close(1000, "").open(), more(b"", true)]).ends(1002),
        case("5.3 a message in two", &[one(), two()]).says(FINE),
        case("5.6 a ping between", &[one(), ping("between"), two()]).says(FINE).pongs(&["between"]),
        case("5.7 a pong between", &[one(), Frame::new(OPCODE_PONG, "between"), two()]).says(FINE),
        case("5.9 a continuation of nothing", &[more(b"non-continuation", true), good()]).ends(1002),
        case("5.12 a continuation of nothing, which goes on", &[more(b"non-continuation", false), good()]).ends(1002),
        case("5.15 a continuation behind the end", &[one(), two(), more(&whole, false), good()]).says(FINE).ends(1002),
        case("5.16 continuations of nothing around a message", &[more(b"", false), good(), more(b"", true)]).ends(1002),
        case("5.18 a message inside another", &[one(), Frame::text(second)]).ends(1002),
        case("5.18 binary inside text", &[one(), Frame::new(OPCODE_BINARY, second)]).ends(1002),
        case("5.19 pings among five fragments", &{
            let mut frames = fragments(whole.chunks(whole.len().div_ceil(5)));
            frames.insert(2, ping("one"));
            frames.insert(5, ping("two"));
            frames
        })
        .says(FINE)
        .pongs(&["one", "two"]),
        case("5.20 two messages in fragments", &[one(), two(), one(), two()]).says(&["Pong 5", "Pong 5"]),
        case("5.20 empty fragments", &[one(), more(b"", false), more(b"", false), two()]).says(FINE),
        case("5.20 a message of empty fragments", &fragments([&b""[..]; 3])).says(MALFORMED),
        case("5.20 a fragment for each byte", &fragments(whole.chunks(1))).says(FINE),
        case("5.20 a close between", &[one(), Frame::close(1000, ""), two()]).ends(1000),
    ];
    let mut pieces = vec![one()];
    pieces.extend((0..1100).map(|_| more(b"", false)));
    cases.push(case("5.20 fragments without end", &pieces).ends(1008));
    cases
}

/// Text that is UTF-8.
const VALID: &[&[u8]] = &[
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"\xc2\x80",
    b"\xe0\xa0\x80",
    b"\xf0\x90\x80\x80",
    b"\x7f",
    b"\xdf\xbf",
    b"\xef\xbf\xbf",
    b"\xf4\x8f\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xb7\x90",
    b"\xef\xbf\xbe",
    b"\xf0\x9f\xbf\xbe",
    b"\xf3\xbf\xbf\xbf",
    b"\xef\xbb\xbf",
];

/// Text that is not.
const INVALID: &[&[u8]] = &[
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80\xbf\x80\xbf",
    b"\xc2 ",
    b"\xe0\xa0 ",
    b"\xf0\x90\x80 ",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x80\x80\x80\xaf",
    b"\xfc\x80\x80\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xae\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbe\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xed\xaf\xbf\xed\xbf\xbf",
];

/// 6: text, whole, in fragments at every place, and cut off.
fn utf8() -> Vec<Case> {
    let mut cases = Vec::new();
    for text in VALID {
        let whole = message(text);
        let from = message(b"").len() - 2;
        let shown = String::from_utf8_lossy(text);
        cases.push(case(format!("6.2 {shown:?}"), &[Frame::text(&whole)]).says(FINE));
        cases.push(case(format!("6.2 {shown:?} byte by byte"), &fragments(whole.chunks(1))).says(FINE));
        for cut in 1..=text.len() {
            let (one, two) = whole.split_at(from + cut);
            let name = format!("6.2 {shown:?} in two behind byte {cut}");
            cases.push(case(name, &fragments([one, two])).says(FINE));
            // The text ends there, inside a letter or not.
            let is_whole = std::str::from_utf8(&text[..cut]).is_ok();
            let short =
                case(format!("6.6 {shown:?} that ends behind byte {cut}"), &[Frame::text(message(&text[..cut]))]);
            cases.push(if is_whole { short.says(FINE) } else { short.ends(1007) });
        }
    }
    for text in INVALID {
        let whole = message(text);
        let from = message(b"").len() - 2;
        cases.push(case(format!("6.3 {text:02x?}"), &[Frame::text(&whole)]).ends(1007));
        cases.push(case(format!("6.3 {text:02x?} byte by byte"), &fragments(whole.chunks(1))).ends(1007));
        for cut in 1..text.len() {
            let (one, two) = whole.split_at(from + cut);
            cases.push(case(format!("6.3 {text:02x?} in two behind byte {cut}"), &fragments([one, two])).ends(1007));
        }
    }
    // Binary is no text.
    cases.push(case("6 no text in binary", &[Frame::new(OPCODE_BINARY, [0xff; 4])]).says(MALFORMED).binary());
    cases
}

/// 7: closing.
fn closing() -> Vec<Case> {
    let good = || Frame::text(message(b""));
    let close = |payload: &[u8]| Frame::new(OPCODE_CLOSE, payload);
    let bye = || Frame::close(1000, "");
    let reason = "*".repeat(123);
    let mut cases = vec![
        case("7.1.1 a message, and a close", &[good(), bye()]).says(FINE).ends(1000),
        case("7.1.2 two closes", &[bye(), bye()]).ends(1000),
        case("7.1.3 a ping behind a close", &[bye(), Frame::ping("late")]).ends(1000),
        case("7.1.4 a message behind a close", &[bye(), good()]).ends(1000),
        case("7.1.5 a close inside a message", &[good().open(), bye(), Frame::new(OPCODE_CONTINUE, "")]).ends(1000),
        case("7.1.6 a large message, a close, a ping", &[Frame::text(sized(LIMIT)), bye(), Frame::ping("")])
            .says(FINE)
            .ends(1000),
        case("7.3.1 a close of nothing", &[close(b"")]).ends(1000),
        case("7.3.2 a close of one byte", &[close(b"a")]).ends(1002),
        case("7.3.4 a close with a reason", &[Frame::close(1000, "Hello World!")]).ends(1000),
        case("7.3.5 a close with the longest reason", &[Frame::close(1000, &reason)]).ends(1000),
        case("7.3.6 a close with a longer one", &[Frame::close(1000, format!("{reason}*"))]).ends(1002),
        case("7.5.1 a reason that is no text", &[Frame::close(1000, b"\xce\xba\xed\xa0\x80edited")]).ends(1007),
        case("7.5.2 a reason that is cut inside a letter", &[Frame::close(1000, b"\xce")]).ends(1007),
        case("7.5.3 a message behind what breaks the standard", &[Frame::new(3, ""), good()]).ends(1002),
    ];
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        cases.push(case(format!("7.7 code {code}"), &[Frame::close(code, "")]).ends(code));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(format!("7.9 code {code}"), &[Frame::close(code, "")]).ends(1002));
    }
    cases
}

/// 10, and what belongs to 9: sizes around the limit, in one frame and in many, and lengths that lie.
fn sizes() -> Vec<Case> {
    let mut cases = vec![
        case("9 a byte too many", &[Frame::text(sized(LIMIT + 1))]).ends(1009),
        case("9 a byte too many in fragments", &fragments(sized(LIMIT + 1).chunks(4096))).ends(1009),
        case("9 a byte too many in the last fragment", &fragments(sized(LIMIT + 1).chunks(LIMIT))).ends(1009),
        case("9 the largest message, again and again", &vec![Frame::text(sized(LIMIT)); 4]).says(&["Pong 5"; 4]),
    ];
    for size in [1300, LIMIT - 1, LIMIT] {
        for fragment in [64, 256, 997, 1300, 4096] {
            let whole = sized(size);
            let frames = fragments(whole.chunks(fragment));
            let case = case(format!("10 {size} bytes in fragments of {fragment}"), &frames);
            // A message has so many pieces at most.
            cases.push(if frames.len() <= 1024 { case.says(FINE) } else { case.ends(1008) });
        }
    }
    for declared in [LIMIT as u64 + 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, u64::MAX >> 1, u64::MAX] {
        for first in [0x80 | OPCODE_TEXT, OPCODE_TEXT, 0x80 | OPCODE_BINARY] {
            let mut lie = case(format!("9 {declared} bytes are declared by {first:#04x}"), &[]).ends(1009);
            lie.bytes = [&[first, 0xff], &declared.to_be_bytes()[..], &[0; 4], b"{\"packet"].concat();
            cases.push(lie);
        }
    }
    // RFC 6455, section 5.2: the fewest bytes that hold a length have to be used. Autobahn does not ask for it.
    let text = b"{\"packet_type\":\"Ping\",\"nonce\": 5 }";
    for opcode in [OPCODE_TEXT, OPCODE_BINARY, OPCODE_CONTINUE, OPCODE_PING, OPCODE_CLOSE] {
        for length in [&[0xfe, 0, 34][..], &[0xff, 0, 0, 0, 0, 0, 0, 0, 34]] {
            let begins: &[Frame] = if opcode == OPCODE_CONTINUE { &[Frame::text(" ").open()] } else { &[] };
            let name = format!("5.2 the length of opcode {opcode} in {} bytes", length.len());
            let mut long = case(name, begins).ends(1002);
            long.bytes.extend([&[0x80 | opcode], length, &[0; 4], &text[..]].concat());
            cases.push(long);
        }
    }
    for (declared, end) in [(126, 1002), (LIMIT as u64 - 1, 1002), (LIMIT as u64, 0)] {
        let name = format!("5.2 a length of {declared} in 9 bytes");
        let body = sized(declared as usize);
        let mut long = case(name, &[]);
        long = if end == 0 { long.says(FINE) } else { long.ends(end) };
        long.bytes = [&[0x81, 0xff], &declared.to_be_bytes()[..], &[0; 4], &body[..]].concat();
        cases.push(long);
    }
    for (bytes, what) in [
        (&[0x81, 0x02, b'{', b'}'][..], "text"),
        (&[0x82, 0x01, 0], "binary"),
        (&[0x89, 0x00], "a ping"),
        (&[0x88, 0x02, 0x03, 0xe8], "a close"),
    ] {
        let mut bare = case(format!("5.1 {what} without a mask"), &[]).ends(1002);
        bare.bytes = bytes.to_vec();
        cases.push(bare);
    }
    cases
}
