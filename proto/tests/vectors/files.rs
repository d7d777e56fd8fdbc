//! The files in `vectors/`: their shapes, and how they are read and written. What they hold is the tests' question.

use std::path::PathBuf;

use chappe_proto::code::{CloseCode, Code};
use chappe_proto::signature::Signature;
use chappe_proto::{ChatId, ClientId, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Bytes, readable where they are text.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bytes {
    Text(String),
    Hex(String),
}

/// `requests.json`, `packets.json`, `events.json`: one packet in every encoding.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PacketVector {
    pub(crate) name: String,
    pub(crate) json: String,
    pub(crate) body: String,
    pub(crate) frame: String,
}

/// `reads.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Read {
    pub(crate) name: String,
    pub(crate) json: String,
    #[serde(rename = "as")]
    pub(crate) canonical: String,
}

/// What a refused input is.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    Json,
    Body,
    Datagram,
}

/// `refused.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    pub(crate) name: String,
    pub(crate) kind: Input,
    pub(crate) input: Bytes,
    pub(crate) code: String,
    pub(crate) answer: String,
    pub(crate) request_id: Option<u64>,
}

/// `compressed.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compressed {
    pub(crate) name: String,
    pub(crate) frame_bytes: usize,
    pub(crate) body: String,
    pub(crate) json: Option<String>,
    pub(crate) code: Option<String>,
}

/// `signatures.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signing {
    pub(crate) name: String,
    pub(crate) seed: String,
    pub(crate) chat_id: ChatId,
    pub(crate) sender_id: UserId,
    pub(crate) client_id: ClientId,
    pub(crate) content: String,
    pub(crate) signed: String,
    pub(crate) signature: Signature,
}

/// What stands in a stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PieceVector {
    Json(String),
    Body(String),
    Skipped(String),
    Broken(String),
}

/// `streams.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) frame_bytes: usize,
    pub(crate) input: Bytes,
    pub(crate) pieces: Vec<PieceVector>,
    pub(crate) clean_end: bool,
}

/// `pings.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ping {
    pub(crate) name: String,
    pub(crate) now: u64,
    pub(crate) asked: Bytes,
    pub(crate) answer: Option<Bytes>,
}

/// `values.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Value {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) json: Option<String>,
    pub(crate) hex: Option<String>,
    pub(crate) ok: bool,
}

/// `codes.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodesFile {
    pub(crate) codes: Vec<CodeRow>,
    pub(crate) close_codes: Vec<CloseRow>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodeRow {
    pub(crate) code: String,
    /// In hex, as in a body.
    pub(crate) tag: String,
    pub(crate) http_status: u16,
    pub(crate) retryable: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseRow {
    pub(crate) number: u16,
    pub(crate) name: String,
    /// In hex, as in a body.
    pub(crate) bytes: String,
}

impl CodesFile {
    pub(crate) fn of_the_crate() -> Self {
        fn bytes<T: chappe_proto::format::Encode>(value: &T) -> String {
            let mut out = Vec::new();
            chappe_proto::format::encode_into(value, &mut out);
            hex(&out)
        }
        let code = |code: &Code| CodeRow {
            code: code.as_str().to_owned(),
            tag: bytes(code),
            http_status: code.http_status(),
            retryable: code.retryable(),
        };
        let close =
            |code: &CloseCode| CloseRow { number: code.number(), name: code.as_str().to_owned(), bytes: bytes(code) };
        Self { codes: Code::ALL.iter().map(code).collect(), close_codes: CloseCode::ALL.iter().map(close).collect() }
    }
}

/// The optional fields of each packet, as JSON pointers. `request_id` stands for itself.
pub(crate) const OPTIONAL: &[(&str, &[&str])] = &[
    ("Hello", &["/token", "/user_id", "/agent", "/heads", "/zstd"]),
    ("SendMessage", &["/message/sender_id", "/message/client_id", "/message/reply_to", "/message/signature"]),
    ("GetChats", &["/after", "/limit"]),
    ("GetMessages", &["/page", "/per_page", "/before", "/after", "/limit"]),
    ("GetEvents", &["/limit"]),
    // `Typing` and `Status` are also packets of the server, which always name the user.
    ("Typing", &["/request_id", "/user_id", "/status_data"]),
    ("Status", &["/request_id", "/user_id", "/last_seen"]),
    ("GetPresence", &["/user_ids", "/chat_id"]),
    ("Ping", &["/nonce"]),
    ("Ack", &["/code", "/client_id", "/chat_id", "/seq", "/duplicate", "/retry_after_ms", "/request_id"]),
    ("Welcome", &["/expires_at", "/heads", "/heads/0", "/more_heads", "/udp", "/zstd", "/request_id"]),
    ("Messages", &["/messages/0", "/messages/2/deleted", "/request_id"]),
    ("Events", &["/events/0", "/request_id"]),
    ("Reset", &["/request_id"]),
    ("Chats", &["/chats/0", "/chats/1/created_by", "/chats/1/last_message", "/request_id"]),
    ("Presence", &["/users/0/last_seen", "/request_id"]),
    ("Pong", &["/nonce", "/server_time", "/request_id"]),
    ("Error", &["/retry_after_ms", "/request_id"]),
    ("Closing", &["/reconnect_after_ms"]),
    (
        "Message",
        &["/message/client_id", "/message/reply_to", "/message/edited_at", "/message/deleted", "/message/signature"],
    ),
    ("Reaction", &["/removed"]),
    ("ChatCreated", &["/created_by", "/members/0"]),
    ("ChatUpdated", &["/deleted", "/user_id"]),
];

impl Bytes {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Hex(hex) => unhex(hex),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text} has half a byte");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file)
}

pub(crate) fn load<T: DeserializeOwned>(file: &str) -> T {
    let text = std::fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Writes a list, a line each.
pub(crate) fn store<T: Serialize>(file: &str, vectors: &[T]) {
    let rows: Vec<_> = vectors.iter().map(|vector| format!("  {}", serde_json::to_string(vector).unwrap())).collect();
    std::fs::write(path(file), format!("[\n{}\n]\n", rows.join(",\n"))).unwrap();
}

pub(crate) fn store_codes(codes: &CodesFile) {
    std::fs::write(path("codes.json"), serde_json::to_string_pretty(codes).unwrap() + "\n").unwrap();
}
