//! The running server from outside: its promises, a module each. Every test starts a server of its own, on free loopback
//! ports and in a folder of its own; none depends on another.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so")]

mod acks;
mod recovery;
#[path = "../support/mod.rs"]
mod support;
