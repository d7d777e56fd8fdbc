//! The limits a client can run into, told to it in `Welcome`.

use serde::{Deserialize, Serialize};

use crate::format::{Decode, Encode};

/// The largest datagram, either way, in bytes: what passes the internet unfragmented.
pub const DATAGRAM_BYTES: usize = 1200;
/// How deep a JSON packet may nest. No request needs more than two.
pub const JSON_DEPTH: u32 = 32;
/// The most messages or events one page holds; a larger `limit` is taken as this.
pub const MAX_PAGE: u32 = 500;
/// The page size when none is given.
pub const DEFAULT_PAGE: u32 = 50;
/// How deep `page`/`per_page` reaches, in messages. Beyond, `before` and `after` are as fast as on the first page.
pub const MAX_PAGE_DEPTH: u64 = 100_000;
/// The longest title of a chat, in bytes.
pub const MAX_TITLE_BYTES: usize = 256;
/// The longest nickname, in bytes.
pub const MAX_NICKNAME_BYTES: usize = 64;
/// The longest status or typing text, in bytes.
pub const MAX_STATUS_BYTES: usize = 64;
/// The longest emoji of a reaction, in bytes: enough for any joined sequence.
pub const MAX_EMOJI_BYTES: usize = 64;
/// The most users or chats one request may name.
pub const MAX_LIST: usize = 1000;

/// What one connection may ask of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Limits {
    /// The largest packet a client may send, in bytes, on every framing: JSON text, or flags and body.
    pub frame_bytes: u32,
    /// The longest message content, in bytes of UTF-8.
    pub content_bytes: u32,
    /// How many requests may be unanswered; past it the server reads no further. A page of history counts as 128.
    pub window: u32,
    /// What may wait to be sent to one connection, in bytes. Past it chat events are dropped, and told of by `Gap`.
    pub outbox_bytes: u32,
    /// The most messages or events one page holds.
    pub page: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            content_bytes: 32 * 1024,
            window: 256,
            outbox_bytes: 1024 * 1024,
            page: MAX_PAGE,
        }
    }
}
