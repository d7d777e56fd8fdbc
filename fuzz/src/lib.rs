//! What must hold for any bytes at all, as plain functions: one for each decoder, and one for the session core. A target
//! panics where something does not hold. `tests/corpus.rs` runs all of them over what is kept in `corpus/` and over
//! mutations of it; `run` looks for more with libFuzzer.

#![forbid(unsafe_code)]

mod bodies;
mod config;
pub mod corpus;
mod disk;
mod http;
mod ids;
pub mod mutate;
mod packed;
mod script;
mod session;
mod stream;
mod throws;
mod token;
mod udp;
mod websocket;

/// What is run on any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is its folder's in `corpus/` as well.
    pub name: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
    /// Bytes to begin with, besides those in `corpus/`.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What it may claim of the address space at most, whatever the bytes say, in KiB; for those that read what anybody
    /// may send, and have no engine around them.
    pub claims_kib: Option<u64>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "tcp_stream", run: stream::run, seeds: stream::seeds, claims_kib: Some(2048) },
    Target { name: "websocket", run: websocket::run, seeds: websocket::seeds, claims_kib: Some(2048) },
    Target { name: "request", run: bodies::request, seeds: bodies::requests, claims_kib: Some(2048) },
    Target { name: "packet", run: bodies::packet, seeds: bodies::packets, claims_kib: None },
    Target { name: "zstd", run: bodies::zstd, seeds: bodies::compressed, claims_kib: Some(2048) },
    Target { name: "datagram", run: udp::datagram, seeds: udp::datagrams, claims_kib: Some(2048) },
    Target { name: "sealed", run: udp::sealed, seeds: udp::datagrams, claims_kib: Some(4096) },
    Target { name: "ids", run: ids::run, seeds: ids::seeds, claims_kib: Some(2048) },
    Target { name: "token", run: token::run, seeds: token::seeds, claims_kib: None },
    Target { name: "http", run: http::run, seeds: http::seeds, claims_kib: None },
    Target { name: "packed", run: packed::run, seeds: packed::seeds, claims_kib: None },
    Target { name: "record", run: disk::record, seeds: disk::records, claims_kib: None },
    Target { name: "snapshot", run: disk::slice, seeds: disk::slices, claims_kib: None },
    Target { name: "config", run: config::run, seeds: config::seeds, claims_kib: None },
    Target { name: "session", run: session::run, seeds: session::seeds, claims_kib: None },
];

impl Target {
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }
}
