//! What the cache actor does for the sweep: says what chats keep, and has them keep less.

use actix::prelude::*;

use super::CacheActor;
use crate::retention::sweep::{EraseUser, GetKept, TrimChats};
use crate::state::retention::Erasure;
use crate::state::step::Step;

impl Handler<GetKept> for CacheActor {
    type Result = ();

    fn handle(&mut self, GetKept(from, answer): GetKept, _: &mut Self::Context) {
        self.pulse.beat();
        // It has room for one, and waits for it.
        let _ = answer.try_send(self.state.kept(from));
    }
}

impl Handler<EraseUser> for CacheActor {
    type Result = ();

    fn handle(&mut self, EraseUser(user, answer): EraseUser, _: &mut Self::Context) {
        let mut step = Step::default();
        let erasure =
            if self.draining { Erasure::NotNow } else { self.state.erase_user(user, self.clock.now(), &mut step) };
        self.carry_out(step);
        // As above.
        let _ = answer.try_send(erasure);
    }
}

impl Handler<TrimChats> for CacheActor {
    type Result = ();

    fn handle(&mut self, TrimChats(trims): TrimChats, _: &mut Self::Context) {
        if self.draining {
            // There is another time.
            return;
        }
        let mut step = Step::default();
        self.state.trim_chats(&trims, self.clock.now(), &mut step);
        self.carry_out(step);
    }
}
