//! The chappe wire protocol, version 1: packets, framings, codecs, error codes and limits.
//!
//! No I/O, no actors, no clock: bytes in, values out, and back. `PROTOCOL.md` beside this crate is the contract in
//! full; `vectors/` holds the bytes that other languages test against.
//!
//! Where to look: [`request`] is what a client sends, [`packet`] what the server sends, [`event`] what happens in a
//! chat and is kept. [`stream`] splits a TCP connection into frames, [`frame`] and [`json`] read a frame's body,
//! [`datagram`] reads UDP, [`outgoing`] writes.

pub mod batch;
pub mod code;
pub mod commands;
pub mod compression;
pub mod datagram;
pub mod event;
pub mod format;
pub mod frame;
pub mod ids;
pub mod json;
mod json_writer;
pub mod limits;
pub mod message;
pub mod outgoing;
pub mod packed;
pub mod packet;
pub mod page;
pub mod received;
pub mod request;
mod scan;
pub mod sealed;
pub mod signature;
pub mod stream;
pub mod websocket;
pub mod websocket_input;

pub use code::{CloseCode, Code, Reject};
pub use ids::{ChatId, ClientId, MessageId, Millis, Seq, UserId};
