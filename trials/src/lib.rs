//! Trials of a running server: it is killed under load and what it promised is held against what it kept; and it is
//! loaded for an hour and has to stay as it is.
//!
//! [`history`] is what is written down, [`checker`] what may not stand in it: plain, without clocks and sockets. [`crowd`]
//! makes the load, [`crash`] and [`soak`] disturb it.

pub mod checker;
pub mod crash;
pub mod crowd;
pub mod dice;
pub mod flatness;
pub mod history;
pub mod liar;
pub mod reading;
pub mod round;
pub mod server;
pub mod soak;
pub mod tally;
pub mod trouble;
pub mod wire;
