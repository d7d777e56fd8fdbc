//! What the cache actor does for those who work behind it: hands out slices for a snapshot, one between two other
//! messages, takes in what comes back into memory after a start, and tells how the server is, and that it lives.

use actix::prelude::*;

use super::CacheActor;
use crate::afterwards::Found;
use crate::health::Health;
use crate::messages::GetHealth;
use crate::metrics::metrics;
use crate::snapshot::scribe::{NextSlice, Slice};
use crate::state::dedup::RUN;
use crate::vital::{AreYouThere, Pulse};

impl CacheActor {
    /// What tells that it is at work.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Hands over what is new; about once a second.
    pub(super) fn tell_scribe(&mut self) {
        let Some(scribe) = &self.scribe else { return };
        self.state.take_names(RUN).into_iter().for_each(|names| scribe.names(names));
        scribe.grown(self.state.head());
    }
}

impl Handler<NextSlice> for CacheActor {
    type Result = ();

    fn handle(&mut self, NextSlice(cursor, answer): NextSlice, _: &mut Self::Context) {
        self.pulse.beat();
        let (bytes, next) = self.state.slice(cursor);
        let names = if next.is_none() { self.state.take_names(0) } else { None };
        let (at, last_chat, names) = (self.state.head(), self.state.last_chat(), names.unwrap_or_default());
        // It has room for one. Names that nobody takes any more stand in the log.
        let _ = answer.try_send(Slice { bytes, next, at, last_chat, names });
    }
}

impl Handler<Found> for CacheActor {
    type Result = ();

    fn handle(&mut self, found: Found, _: &mut Self::Context) {
        self.pulse.beat();
        match found {
            Found::Newest(read, answer) => {
                for (chat, events) in read {
                    self.state.warmed(chat, &events);
                }
                // It has room for one, and waits for it.
                let _ = answer.try_send(self.state.next_to_warm());
            }
            Found::Damage(what) => {
                metrics().log_damaged.set(1);
                self.damage = Some(what.into());
            }
        }
    }
}

impl Handler<GetHealth> for CacheActor {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        self.pulse.beat();
        MessageResult(Health {
            phase: self.phase,
            storage: self.storage.clone(),
            damage: self.damage.clone(),
            are_tables_damaged: metrics().query_tables_damaged.get() > 0,
            log_position: self.state.head().0,
            projected_position: metrics().projected_position.get(),
            ..Health::default()
        })
    }
}

impl Handler<AreYouThere> for CacheActor {
    type Result = ();

    fn handle(&mut self, AreYouThere(answer): AreYouThere, _: &mut Self::Context) {
        // Nobody waits any more: the watchdog has given up already.
        let _ = answer.send(());
    }
}

#[cfg(test)]
#[path = "background_tests.rs"]
mod tests;
