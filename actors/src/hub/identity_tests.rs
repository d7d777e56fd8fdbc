//! What a hub does about tokens, over outboxes that nobody has read yet.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::event::{Event, MemberLeft};
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::{Bodies, Encoder, Wire};
use chappe_proto::packet::{Messages, Welcome};
use chappe_proto::request::VERSION;
use chappe_proto::{ChatId, Seq, UserId};

use super::*;
use crate::health::Health;
use crate::hub::{Door, HubSettings};
use crate::messages::{Batch, EngineLink, Formats, GetHealth, Item, RegisterHub};
use crate::origin::Origin;
use crate::passed::Passed;
use crate::principal::{Authenticate, Standing, TokenId};
use crate::reply::Reply;
use crate::session::outbox::Outbox;

/// An engine that is asked nothing.
struct Nothing;

impl Actor for Nothing {
    type Context = actix::Context<Self>;
}

macro_rules! takes {
    ($($message:ty),*) => {$(
        impl Handler<$message> for Nothing {
            type Result = ();
            fn handle(&mut self, _: $message, _: &mut Self::Context) {}
        }
    )*};
}

takes!(Batch, RegisterHub, Formats);

impl Handler<GetHealth> for Nothing {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(Health::default())
    }
}

/// Believes in the user whose number a token is.
#[derive(Debug)]
struct Numbers;

impl Authenticate for Numbers {
    fn authenticate(&self, token: &str, now: Millis) -> Result<Principal, Reject> {
        let user = token.parse().ok().and_then(|id: u64| UserId::parse(id).ok());
        user.map(|user| principal(user, now)).ok_or_else(|| Reject::plain(Code::NotAuthenticated))
    }
}

fn principal(user: UserId, now: Millis) -> Principal {
    Principal {
        user,
        nickname: None,
        standing: Standing::User,
        token: TokenId([u8::try_from(user.get()).unwrap(); 16]),
        issued_at: now,
        expires_at: Millis(now.0 + 600_000),
    }
}

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn chat() -> ChatId {
    ChatId::parse(1).unwrap()
}

fn core() -> Core {
    let settings = HubSettings { auth: Auth::Token(Arc::new(Numbers)), ..HubSettings::default() };
    Core::new(0, settings, EngineLink::from(&Nothing.start()))
}

/// A connection that its user has introduced, and which hears the chat.
fn connected(core: &Core, id: u64) -> (SessionId, Rc<Outbox>) {
    let outbox = Rc::new(Outbox::new(Wire::JsonLines, 100_000, 10));
    let (door, hears) = (Door::Tcp, BTreeSet::new());
    let connection = Slot::Connection {
        door,
        outbox: Rc::clone(&outbox),
        hears,
        greeted: false,
        silent: 0,
        unsaid: 0,
        unfinished: 0,
        in_the_way: 0,
        bearer: None,
    };
    let (slot, generation) = core.slots.borrow_mut().insert(connection);
    let session = SessionId { hub: 0, slot, generation };
    core.introduce(session, core.authenticate(&id.to_string()).unwrap());
    core.deliver(vec![Item::Listen(session, vec![chat()])]);
    (session, outbox)
}

fn happens(seq: u64) -> Item {
    let event = Event::MemberLeft(MemberLeft { chat_id: chat(), seq: Seq(seq), user_id: user(1), at: Millis(0) });
    let packet = Packet::Event(Arc::new(event));
    Item::Event(chat(), Seq(seq), Arc::new(Bodies::encode(&packet, true, false)))
}

fn answer(session: SessionId, reply: Reply) -> Item {
    let origin = Origin { session, ticket: None, request_id: None, weight: 1, arrived: Duration::ZERO };
    Item::Reply(origin, reply)
}

/// The types of the packets that wait, and all of their text.
fn sent(outbox: &Outbox) -> (Vec<String>, String) {
    let mut all = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let written: Result<(), ()> = outbox.drain(&mut Encoder::default(), &mut context, |_, pieces| {
        pieces.iter().for_each(|piece| all.extend_from_slice(piece));
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    });
    written.unwrap();
    let text = String::from_utf8(all).unwrap();
    let kind = |line: &str| line.split('"').nth(3).unwrap_or_default().to_owned();
    (text.lines().map(kind).collect(), text)
}

#[actix::test]
async fn who_is_denied_hears_nothing_more_also_if_the_goodbye_is_not_read_yet() {
    let core = core();
    let ((denied, gone), (_, stays)) = (connected(&core, 1), connected(&core, 2));
    core.deliver(vec![happens(1)]);
    core.deny(vec![Denial::User(user(1))]);
    let page = Messages { chat_id: chat(), messages: Vec::new(), has_more: false };
    core.deliver(vec![
        happens(2),
        // Asked for before it was denied.
        Item::Listen(denied, vec![chat()]),
        answer(denied, Reply::Messages(page.into())),
        answer(denied, Reply::Done),
        happens(3),
    ]);
    let (kinds, text) = sent(&gone);
    assert_eq!(kinds, ["MemberLeft", "Closing", "Ack"], "how its own changes went it may still know");
    assert!(text.contains("4004"), "{text}");
    assert_eq!(sent(&stays).0, ["MemberLeft"; 3]);
    assert!(core.authenticate("1").is_err() && core.authenticate("2").is_ok());
    let given = |id| Given { user: user(id), token: [0; 4], time: Millis(0) };
    assert!(core.is_denied(given(1)) && !core.is_denied(given(2)));
    core.deny(vec![Denial::Lifted(user(1))]);
    assert!(core.authenticate("1").is_ok());
}

#[actix::test]
async fn a_token_that_runs_out_is_warned_of_once_and_ends_its_connection_unless_it_is_renewed() {
    let core = core();
    let ((session, renewed), (_, ended)) = (connected(&core, 1), connected(&core, 2));
    let now = core.settings.clock.now().wall;
    core.expire(Millis(now.0 + 530_000));
    assert_eq!(sent(&ended).0, [""; 0]);
    core.expire(Millis(now.0 + 545_000));
    core.expire(Millis(now.0 + 546_000));
    assert_eq!(sent(&ended).0, ["Expiring"]);
    let fresh = Principal { expires_at: Millis(now.0 + 900_000), ..principal(user(1), now) };
    core.introduce(session, fresh.clone());
    core.expire(Millis(now.0 + 601_000));
    core.deliver(vec![happens(1)]);
    let (kinds, text) = sent(&ended);
    assert_eq!(kinds, ["Closing"]);
    assert!(text.contains("4202"), "{text}");
    assert_eq!(sent(&renewed).0, ["Expiring", "MemberLeft"]);
    let welcome = Welcome {
        version: VERSION,
        connection_id: 1,
        user_id: user(1),
        epoch: 1,
        server_time: now,
        heartbeat_ms: 1,
        limits: Limits::default(),
        expires_at: None,
        heads: None,
        more_heads: false,
        udp: None,
        zstd: false,
    };
    core.deliver(vec![answer(session, Reply::Welcome(Box::new(welcome)))]);
    assert!(sent(&renewed).1.contains(&format!("\"expires_at\":{}", fresh.expires_at.0)));
}

#[actix::test]
async fn a_clock_that_is_ahead_for_a_while_makes_no_token_believed_again() {
    let core = core();
    let at = |wall, seconds| Now { wall: Millis(wall), mono: Duration::from_secs(seconds) };
    let begin = 1_000_000_000;
    core.passed.set(Passed::since(Millis(begin), at(begin, 0)));
    let mine = core.authenticate("7").unwrap();
    core.deny(vec![Denial::Token { token: mine.token, until: Millis(begin + 1000) }]);
    core.forget_denials(at(10 * begin, 60));
    assert!(core.authenticate("7").is_err(), "it was revoked");
    core.forget_denials(at(begin + 90_000_000, 90_000));
    assert!(core.authenticate("7").is_ok(), "what has run out is refused for that");
}
