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

/// The most heads that one `Welcome` lists.
pub const MAX_HEADS: usize = 10_000;
/// Binary frames with at least so many bytes of flags and body are compressed, where both sides agreed on it.
pub const COMPRESSED_BYTES: usize = 512;

/// How often something may be done: a bucket of `burst` tokens into which `per_sec` fall a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
pub struct Rate {
    /// So many a second in the long run; 0 is without limit.
    pub per_sec: u32,
    /// So many at once; at least 1.
    pub burst: u32,
}

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
    /// The most members of a chat.
    pub members: u32,
    /// The most chats that one user makes.
    pub chats: u32,
    /// Requests of one connection.
    pub connection_rate: Rate,
    /// Requests of one user, by all connections and HTTP together.
    pub user_rate: Rate,
    /// Changes of one chat, by all users together.
    pub chat_rate: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            content_bytes: 32 * 1024,
            window: 256,
            outbox_bytes: 1024 * 1024,
            page: MAX_PAGE,
            members: 10_000,
            chats: 1_000,
            connection_rate: Rate { per_sec: 1_000, burst: 4_000 },
            user_rate: Rate { per_sec: 1_000, burst: 4_000 },
            chat_rate: Rate { per_sec: 1_000, burst: 4_000 },
        }
    }
}
