//! What the cache actor does for snapshots: hands out slices, one between two other messages.

use actix::prelude::*;

use super::CacheActor;
use crate::snapshot::scribe::{NextSlice, Slice};
use crate::state::dedup::RUN;

impl CacheActor {
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
        let (bytes, next) = self.state.slice(cursor);
        let names = if next.is_none() { self.state.take_names(0) } else { None };
        let (at, last_chat, names) = (self.state.head(), self.state.last_chat(), names.unwrap_or_default());
        // It has room for one. Names that nobody takes any more stand in the log.
        let _ = answer.try_send(Slice { bytes, next, at, last_chat, names });
    }
}
