//! What all outboxes together may hold, against clients that ask for large answers and take none of them.
//!
//! In a process of its own: the budget is the process's.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::rc::Rc;

use actix::prelude::*;
use chappe_actors::cache::CacheActor;
use chappe_actors::clock::Clock;
use chappe_actors::command::Command;
use chappe_actors::hub::{self, Door, HubActor, HubSettings};
use chappe_actors::messages::{EngineLink, Tick};
use chappe_actors::metrics::metrics;
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_actors::state::{Settings, State};
use chappe_proto::UserId;
use chappe_proto::frame::ClientFrame;
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::Wire;
use chappe_proto::request::{GetPresence, Request};

const BUDGET: usize = 1 << 20;
/// More than one answer takes: that 1,000 users are offline.
const ANSWER: usize = 40_000;

/// A connection whose client takes nothing.
fn deaf() -> (Session, Rc<Outbox>) {
    let outbox = Rc::new(Outbox::new(Wire::JsonLines, 1 << 20, 256));
    (Session::open(Door::Tcp, Rc::clone(&outbox)).unwrap(), outbox)
}

fn ask(session: &mut Session) {
    let user_ids = Some((1..=1000).map(|id| UserId::parse(id).unwrap()).collect());
    let request = Request::GetPresence(GetPresence { user_ids, chat_id: None });
    session.take(Ok(ClientFrame { request_id: None, request }));
    session.flush();
}

/// Until all that was asked is answered: this comes behind it.
async fn answered() {
    hub::ask(Command::GetUsers { after: None, limit: 1 }).await;
}

#[actix::test]
async fn what_nobody_takes_stays_within_the_budget_and_goes_when_it_is_in_the_way() {
    let clock = Clock::default();
    let settings = Settings {
        limits: Limits::default(),
        messages_per_chat: 100,
        cache_bytes: 1 << 20,
        pending_writes: 1000,
        heartbeat_ms: 30_000,
        connections_per_user: 100,
        open: true,
        epoch: 1,
    };
    let engine = EngineLink::from(&CacheActor::new(State::new(settings), clock).start());
    let hub = HubActor::start(0, HubSettings { clock, ..HubSettings::default() }, engine);
    answered().await;
    let waiting = || usize::try_from(metrics().outbox_bytes.get()).unwrap();
    metrics().outbox_limit_bytes.set(i64::try_from(BUDGET).unwrap());

    // A request alone is answered, whatever the budget.
    let (mut first, outbox_of_first) = deaf();
    ask(&mut first);
    answered().await;
    let answer = outbox_of_first.load().bytes;
    assert!((ANSWER / 2..ANSWER).contains(&answer), "{answer}");
    // One connection gets no more answers of that size than its window holds.
    while outbox_of_first.has_room() {
        ask(&mut first);
        answered().await;
    }
    let both = outbox_of_first.load().bytes;
    assert!(both <= 2 * answer, "{both}");

    // All at once: what is not there yet counts.
    let mut crowd: Vec<_> = (0..100).map(|_| deaf()).collect();
    crowd.iter_mut().for_each(|(session, _)| ask(session));
    answered().await;
    let refusals = 100 * 200;
    assert!(waiting() <= BUDGET / 2 + refusals, "{} bytes wait", waiting());
    assert_eq!(metrics().outbox_promised_bytes.get(), 0, "all of it is there, or was refused");

    // One by one, until the budget is used up.
    let mut more: Vec<_> = (0..100).map(|_| deaf()).collect();
    for (session, _) in &mut more {
        ask(session);
        answered().await;
    }
    assert!(waiting() >= BUDGET, "{} bytes wait", waiting());
    assert!(waiting() <= BUDGET + ANSWER + 2 * refusals, "{} bytes wait", waiting());

    // Larger than they were taken for: they are asked for while there is room, and come when there is none.
    let (mut late, outbox) = deaf();
    metrics().outbox_limit_bytes.set(i64::MAX);
    ask(&mut late);
    metrics().outbox_limit_bytes.set(i64::try_from(BUDGET).unwrap());
    answered().await;
    assert!(outbox.load().bytes < 1000, "{} bytes", outbox.load().bytes);

    // Who holds more than a share while there is no room for the others is shown out after a while, until there is.
    metrics().connections[1].set(200);
    let all: Vec<_> = crowd.iter().chain(&more).map(|(_, outbox)| outbox).collect();
    let (holding, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|outbox| outbox.load().bytes >= answer);
    for _ in 0..15 {
        hub.send(Tick).await.unwrap();
    }
    assert!(!outbox_of_first.is_dead() && !holding.iter().any(|outbox| outbox.is_dead()), "not at once");
    for _ in 0..16 {
        hub.send(Tick).await.unwrap();
    }
    let ended = holding.iter().filter(|outbox| outbox.is_dead()).count();
    assert!(outbox_of_first.is_dead() && ended > 0 && ended < holding.len(), "{ended} of {}", holding.len());
    assert!(!others.iter().any(|outbox| outbox.is_dead()));
    assert!(waiting() <= BUDGET - BUDGET / 4, "{} bytes wait", waiting());

    // Whoever goes before the answer is there is promised nothing any more.
    metrics().outbox_limit_bytes.set(i64::MAX);
    let (mut gone, _) = deaf();
    ask(&mut gone);
    assert!(metrics().outbox_promised_bytes.get() > 0);
    drop((gone, first, late, crowd, more));
    assert_eq!((metrics().outbox_bytes.get(), metrics().outbox_promised_bytes.get()), (0, 0));
}
