//! Requests that wait for their answers, in order: kept until they are answered, sent again on every new connection.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::Code;
use chappe_proto::commands::PAGE_WEIGHT;
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::limits::Limits;
use chappe_proto::request::Request;

use super::Step;

/// The window until a server has said otherwise.
const WINDOW: u32 = 256;

/// The server refused a request, and will always do so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// A sentence for people.
    pub message: Box<str>,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server's log is another one: the ids in the request may name something else there.
    #[error("the server's log was replaced before this was answered")]
    Afresh,
}

/// A request, as it goes out.
#[derive(Debug)]
struct Kept {
    frame: ClientFrame,
    /// Flags and body.
    bytes: usize,
}

/// The requests, by the key they are answered under; keys grow.
#[derive(Debug)]
pub(super) struct Outbox {
    requests: BTreeMap<u64, Kept>,
    /// Those that are not under way.
    waiting: BTreeSet<u64>,
    next_key: u64,
    most: usize,
    /// The sum of the weights of what is under way, and what the server allows.
    under_way: u32,
    window: u32,
    /// The largest request that the server reads.
    frame_bytes: usize,
    paused: bool,
}

impl Outbox {
    pub(super) fn new(most: usize) -> Self {
        Self {
            requests: BTreeMap::new(),
            waiting: BTreeSet::new(),
            next_key: 1,
            most: most.max(1),
            under_way: 0,
            window: WINDOW,
            frame_bytes: usize::MAX,
            paused: false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.requests.len() < self.most
    }

    pub(super) fn has(&self, key: u64) -> bool {
        self.requests.contains_key(&key)
    }

    pub(super) fn put(&mut self, request: Request) -> Option<u64> {
        if !self.has_room() {
            return None;
        }
        let key = self.next_key;
        self.next_key += 1;
        let frame = ClientFrame { request_id: Some(key), request };
        let mut body = Vec::new();
        frame::encode_request_into(&frame, &mut body);
        self.requests.insert(key, Kept { frame, bytes: body.len() });
        self.waiting.insert(key);
        Some(key)
    }

    /// A connection stands; what it allows.
    pub(super) fn open(&mut self, limits: &Limits) {
        // One page must always fit.
        self.window = limits.window.max(PAGE_WEIGHT);
        self.frame_bytes = usize::try_from(limits.frame_bytes).unwrap_or(usize::MAX);
        self.paused = false;
    }

    /// Those whose turn it is, oldest first: as many as the window has room for. What is too large for the server is
    /// settled: it would be passed over, and answered by nothing that names it.
    pub(super) fn due(&mut self, count: usize, step: &mut Step) {
        while !self.paused
            && step.send.len() < count
            && let Some(key) = self.waiting.first().copied()
        {
            let Some(kept) = self.requests.get(&key) else {
                self.waiting.remove(&key);
                continue;
            };
            if kept.bytes > self.frame_bytes {
                let (bytes, most) = (kept.bytes, self.frame_bytes);
                let message = format!("a packet has at most {most} bytes, and this one {bytes}").into();
                step.settled.push((key, Err(Refusal { code: Code::TooLarge, message }.into())));
                self.settle(key);
                continue;
            }
            let weight = kept.frame.request.weight();
            if self.under_way + weight > self.window {
                break;
            }
            self.under_way += weight;
            step.send.push(kept.frame.clone());
            self.waiting.remove(&key);
        }
    }

    /// It was answered for good.
    pub(super) fn settle(&mut self, key: u64) {
        self.land(key);
        self.requests.remove(&key);
        self.waiting.remove(&key);
    }

    /// Another log: what names chats and messages of the one before is not sent to it.
    pub(super) fn forget(&mut self, step: &mut Step) {
        let keys = std::mem::take(&mut self.requests).into_keys();
        step.settled.extend(keys.map(|key| (key, Err(Failure::Afresh))));
        self.waiting.clear();
        self.under_way = 0;
    }

    /// It is to be sent again.
    pub(super) fn again(&mut self, key: u64) {
        self.land(key);
        self.waiting.insert(key);
    }

    fn land(&mut self, key: u64) {
        if let Some(kept) = self.requests.get(&key)
            && !self.waiting.contains(&key)
        {
            self.under_way = self.under_way.saturating_sub(kept.frame.request.weight());
        }
    }

    /// Nothing is sent until [`Outbox::resume`], so that what was refused stays before what came after it.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    /// The connection is gone: all is to be sent again, in the order in which it was put in.
    pub(super) fn cut(&mut self) {
        self.waiting = self.requests.keys().copied().collect();
        self.under_way = 0;
        self.paused = false;
    }
}
