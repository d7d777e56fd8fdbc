//! The running server from outside: its promises, a module each. Every test starts a server of its own, on free loopback
//! ports and in a folder of its own; none depends on another.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "numbers of a test are small")]

mod accounts;
mod acks;
mod benchmarks;
mod clients;
mod connection_limits;
mod convergence;
mod datagrams;
mod disk_faults;
mod disk_lives;
mod disk_power;
mod disk_states;
mod doors;
mod drain;
mod erasures;
mod examples;
mod examples_chats;
mod full_disk;
mod hostile_clients;
mod hostile_http;
mod hostile_websocket;
mod http;
mod idempotency;
mod limits;
mod operations;
mod page;
mod presence;
mod rates;
mod recovery;
mod reference;
mod reload;
mod retention;
mod sealed;
mod security_injection;
mod security_origins;
mod security_page;
mod security_process;
mod security_secrets;
mod security_sessions;
mod sessions;
mod signatures;
mod silent;
mod slips;
mod slow;
mod slow_loris;
mod snapshots;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod typing;
mod web_socket;
mod zstd;
