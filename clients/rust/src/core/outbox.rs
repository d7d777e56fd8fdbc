//! Requests that wait for their answers, in order: kept until they are answered, sent again on every new connection.

use std::collections::{BTreeMap, BTreeSet};

use chappe_proto::Code;
use chappe_proto::commands::PAGE_WEIGHT;
use chappe_proto::frame::ClientFrame;
use chappe_proto::request::Request;

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

/// The requests, by the key they are answered under; keys grow.
#[derive(Debug)]
pub(super) struct Outbox {
    requests: BTreeMap<u64, Request>,
    /// Those that are not under way.
    waiting: BTreeSet<u64>,
    next_key: u64,
    most: usize,
    /// The sum of the weights of what is under way, and what the server allows.
    under_way: u32,
    window: u32,
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
        self.requests.insert(key, request);
        self.waiting.insert(key);
        Some(key)
    }

    /// A connection stands; what it allows.
    pub(super) fn open(&mut self, window: u32) {
        // One page must always fit.
        self.window = window.max(PAGE_WEIGHT);
        self.paused = false;
    }

    /// Those whose turn it is, oldest first: as many as the window has room for.
    pub(super) fn due(&mut self, count: usize) -> Vec<ClientFrame> {
        let mut frames = Vec::new();
        while !self.paused
            && frames.len() < count
            && let Some(key) = self.waiting.first().copied()
        {
            let Some(request) = self.requests.get(&key) else {
                self.waiting.remove(&key);
                continue;
            };
            let weight = request.weight();
            if self.under_way + weight > self.window {
                break;
            }
            self.under_way += weight;
            self.waiting.remove(&key);
            frames.push(ClientFrame { request_id: Some(key), request: request.clone() });
        }
        frames
    }

    /// It was answered for good.
    pub(super) fn settle(&mut self, key: u64) {
        self.land(key);
        self.requests.remove(&key);
        self.waiting.remove(&key);
    }

    /// It is to be sent again.
    pub(super) fn again(&mut self, key: u64) {
        self.land(key);
        self.waiting.insert(key);
    }

    fn land(&mut self, key: u64) {
        if let Some(request) = self.requests.get(&key)
            && !self.waiting.contains(&key)
        {
            self.under_way = self.under_way.saturating_sub(request.weight());
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
