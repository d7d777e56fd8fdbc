//! Connections that take too long, second by second, without waiting for any.

use std::collections::BTreeSet;
use std::rc::Rc;

use actix::prelude::*;
use chappe_proto::Millis;
use chappe_proto::outgoing::Wire;

use super::*;
use crate::health::Health;
use crate::hub::HubSettings;
use crate::messages::{Batch, EngineLink, Formats, GetHealth, RegisterHub};
use crate::principal::{Auth, Authenticate, Principal};
use crate::session::outbox::Outbox;

/// An engine that does nothing.
struct Idle;

impl Actor for Idle {
    type Context = Context<Self>;
}

macro_rules! takes {
    ($($message:ty),*) => {
        $(impl Handler<$message> for Idle {
            type Result = ();

            fn handle(&mut self, _: $message, _: &mut Self::Context) {}
        })*
    };
}

takes!(Batch, RegisterHub, Formats);

impl Handler<GetHealth> for Idle {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(Health::default())
    }
}

/// Believes in nobody.
#[derive(Debug)]
struct Nobody;

impl Authenticate for Nobody {
    fn authenticate(&self, _: &str, _: Millis) -> Result<Principal, Reject> {
        Err(Reject::plain(Code::NotAuthenticated))
    }
}

fn core(asks_for_tokens: bool) -> Core {
    let connection_limits = ConnectionLimits {
        hello_time: Duration::from_secs(10),
        packet_time: Duration::from_secs(30),
        idle_time: Duration::from_secs(300),
        ..ConnectionLimits::default()
    };
    let settings = HubSettings {
        connection_limits,
        auth: if asks_for_tokens { Auth::Token(Arc::new(Nobody)) } else { Auth::Open },
        ..HubSettings::default()
    };
    Core::new(0, settings, EngineLink::from(&Idle.start()))
}

/// A connection, of which `greeted` says whether it was welcomed.
fn connection(core: &Core, greeted: bool) -> Rc<Outbox> {
    let outbox = Rc::new(Outbox::new(Wire::JsonLines, 1 << 20, 1));
    core.slots.borrow_mut().insert(Slot::Connection {
        door: Door::Tcp,
        outbox: Rc::clone(&outbox),
        hears: BTreeSet::new(),
        greeted,
        silent: 0,
        unsaid: 0,
        unfinished: 0,
        in_the_way: 0,
        bearer: None,
    });
    outbox
}

/// After how many seconds the connection is told goodbye, and why; `each` happens every second.
fn ends(core: &Core, outbox: &Outbox, mut each: impl FnMut()) -> Option<(u32, String)> {
    (1..=400).find_map(|second| {
        each();
        core.end_slow_where(false);
        let (code, reason) = outbox.closing()?;
        assert_eq!(code, CloseCode::TooSlow.number());
        Some((second, reason))
    })
}

#[actix::test]
async fn where_tokens_are_asked_for_hello_comes_in_time_or_the_connection_ends() {
    let core = core(true);
    let talks = connection(&core, false);
    assert_eq!(ends(&core, &talks, || talks.speech().took_packet()).unwrap(), (11, "no Hello came in time".to_owned()));
    let welcome = connection(&core, true);
    assert_eq!(ends(&core, &welcome, || ()), None, "who was welcomed may be silent");
}

#[actix::test]
async fn where_no_hello_is_needed_only_who_never_says_anything_ends() {
    let core = core(false);
    let mute = connection(&core, false);
    assert_eq!(ends(&core, &mute, || ()).unwrap(), (301, "nothing was said at all".to_owned()));
    let spoke = connection(&core, false);
    spoke.speech().took_packet();
    assert_eq!(ends(&core, &spoke, || ()), None);
}

#[actix::test]
async fn a_packet_that_has_begun_is_whole_in_time_or_the_connection_ends() {
    let core = core(false);
    let drips = connection(&core, true);
    drips.speech().set_amid(true, 0);
    let (second, reason) = ends(&core, &drips, || drips.speech().set_amid(true, 0)).unwrap();
    assert_eq!((second, reason.as_str()), (31, "a packet that had begun was not whole in time"));
    // One that ends a packet and begins another each second is never found between two, and is fine.
    let busy = connection(&core, true);
    let packet = || {
        busy.speech().took_packet();
        busy.speech().set_amid(true, 0);
    };
    assert_eq!(ends(&core, &busy, packet), None);
}

#[actix::test]
async fn who_does_not_read_is_slow_and_stays() {
    let core = core(false);
    let slow = connection(&core, true);
    // Its window is used up: the server itself does not read on.
    slow.admit(1, false);
    slow.speech().set_amid(true, 0);
    assert_eq!(ends(&core, &slow, || ()), None);
    slow.release(1);
    assert_eq!(ends(&core, &slow, || ()).map(|(second, _)| second), Some(31), "now it could go on");
}

#[actix::test]
async fn where_all_together_hold_too_much_a_packet_that_has_begun_has_less_time() {
    let core = core(false);
    let (hoards, full, busy) = (connection(&core, true), connection(&core, true), connection(&core, true));
    // A full window is no excuse then.
    full.admit(1, false);
    for _ in 0..3 {
        busy.speech().took_packet();
        for outbox in [&hoards, &full, &busy] {
            outbox.speech().set_amid(true, 1);
            assert_eq!(outbox.closing(), None);
        }
        core.end_slow_where(true);
    }
    assert!(hoards.closing().is_some() && full.closing().is_some());
    assert_eq!(busy.closing(), None, "its packets come whole in time");
}
