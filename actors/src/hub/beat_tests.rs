//! Which connections the heartbeat ends, and which not.

use std::convert::Infallible;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::{ChatId, Seq};

use crate::cache::CacheActor;
use crate::clock::Clock;
use crate::hub::{self, Door, HubActor, HubSettings};
use crate::messages::EngineLink;
use crate::session::outbox::Outbox;
use crate::state::State;
use crate::state::tests::world::SETTINGS;

fn with_a_web_socket(test: impl FnOnce(&Outbox)) {
    System::new().block_on(async {
        let clock = Clock::default();
        let engine = EngineLink::from(&CacheActor::new(State::new(SETTINGS), clock).start());
        HubActor::start(0, HubSettings { clock, ..HubSettings::default() }, engine);
        // The actors begin, and set their timers while there is a clock to set.
        actix::clock::sleep(Duration::from_millis(1)).await;
        let outbox = Rc::new(Outbox::new(Wire::WsText, 1 << 20, 256));
        let session = hub::open(Door::WebSocket, Rc::clone(&outbox)).unwrap();
        test(&outbox);
        hub::close(session);
    });
}

fn beat() {
    hub::hub().unwrap().beat();
}

/// The socket takes up to `most` bytes.
fn takes(outbox: &Outbox, most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let drained: Result<(), Infallible> = outbox.drain(&mut Encoder::default(), &mut context, |_, pieces| {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(most - out.len()).collect();
        out.extend_from_slice(&bytes);
        if bytes.is_empty() { Poll::Pending } else { Poll::Ready(Ok(bytes.len())) }
    });
    drained.unwrap();
    out
}

fn events(outbox: &Outbox, bytes: usize) {
    let chat = ChatId::parse(1).unwrap();
    outbox.events(&mut Encoder::default(), chat, Seq(1), Seq(1), Bytes::from(vec![b'e'; bytes]));
}

fn ended(outbox: &Outbox) -> Option<u16> {
    outbox.closing().map(|(code, _)| code)
}

#[test]
fn who_answers_no_ping_for_two_heartbeats_is_silent_though_its_socket_takes_them() {
    with_a_web_socket(|outbox| {
        for _ in 0..3 {
            outbox.heard();
            beat();
            assert_eq!(takes(outbox, 1000), [0x89, 0]);
        }
        beat();
        takes(outbox, 1000);
        assert_eq!(ended(outbox), None, "one heartbeat");
        beat();
        assert_eq!(ended(outbox), Some(CloseCode::Silent.number()), "two");
        assert!(!outbox.is_dead(), "it may read why");
        beat();
        assert!(outbox.is_dead());
    });
}

#[test]
fn who_reads_slowly_is_alive_and_finds_one_ping() {
    with_a_web_socket(|outbox| {
        outbox.heard();
        beat();
        takes(outbox, 1000);
        // More than the sockets hold, of which a little is taken now and then: the client's pong is far behind.
        events(outbox, 1 << 20);
        for _ in 0..100 {
            beat();
            takes(outbox, 1000);
        }
        assert_eq!(ended(outbox), None);
        // What is left fits into the sockets, and the client needs its time to read it.
        let rest = takes(outbox, 1 << 21);
        assert_eq!(rest.iter().filter(|byte| **byte == 0x89).count(), 1, "pings do not pile up");
        let patience = (0..100).take_while(|_| {
            beat();
            takes(outbox, 1000);
            ended(outbox).is_none()
        });
        assert!((8..16).contains(&patience.count()), "a mebibyte at 4 KiB a second");
    });
}

#[test]
fn a_goodbye_has_a_whole_heartbeat_to_be_taken() {
    with_a_web_socket(|outbox| {
        outbox.heard();
        events(outbox, 1000);
        outbox.close(&mut Encoder::default(), CloseCode::ProtocolError, "because", None);
        beat();
        assert!(!outbox.is_dead(), "it may have been said just now");
        let text = String::from_utf8_lossy(&takes(outbox, 10_000)).into_owned();
        assert!(text.contains("because"), "{text}");
        beat();
        assert!(outbox.is_dead());
    });
}
