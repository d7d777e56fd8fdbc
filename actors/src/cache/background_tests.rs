//! What tells the watchdog that the actor is at work.

use actix::prelude::*;

use crate::cache::CacheActor;
use crate::clock::Clock;
use crate::command::Command;
use crate::messages::{Batch, GetHealth};
use crate::origin::{Origin, SessionId};
use crate::state::State;
use crate::state::tests::world::SETTINGS;

#[actix::test]
async fn the_pulse_beats_with_each_command_and_each_question() {
    let cache = CacheActor::new(State::new(SETTINGS), Clock::default());
    let pulse = cache.pulse();
    let cache = cache.start();
    let at_rest = pulse.count();
    let session = SessionId { hub: 0, slot: 0, generation: 0 };
    let origin = Origin { session, ticket: None, request_id: None, weight: 0, arrived: Default::default() };
    cache.send(Batch((0..100).map(|_| (origin, Command::GetUsers { after: None, limit: 1 })).collect())).await.unwrap();
    let after_commands = pulse.count();
    assert!(after_commands - at_rest >= 100, "{at_rest} {after_commands}");
    cache.send(GetHealth).await.unwrap();
    assert!(pulse.count() > after_commands);
}
