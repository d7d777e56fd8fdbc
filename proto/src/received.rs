//! What came from a client: a request with the id its answer repeats, or why it could not be read as one.

use crate::code::Reject;
use crate::commands::{Answer, Rule};
use crate::packet::{Ack, Packet};
use crate::request::Request;

/// A request as it came, with the id its answer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFrame {
    /// Chosen by the client; comes back with the answer.
    pub request_id: Option<u64>,
    /// What it asks.
    pub request: Request,
}

impl From<Request> for ClientFrame {
    fn from(request: Request) -> Self {
        Self { request_id: None, request }
    }
}

/// A frame that could not be read, or a request that was refused before it reached the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The frame's `request_id`, where it could be read.
    pub request_id: Option<u64>,
    /// The packet it was, where that could be read.
    pub rule: Option<&'static Rule>,
    /// Why.
    pub reject: Reject,
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self { request_id: None, rule: None, reject }
    }
}

impl Refused {
    /// The answer: an `Ack` for packets answered by one, else an `Error`.
    pub fn packet(self) -> Packet {
        match self.rule.map(|rule| rule.answer) {
            Some(Answer::Ack) => Packet::Ack(Ack::refused(self.reject, None)),
            _ => Packet::Error(self.reject.into()),
        }
    }
}
