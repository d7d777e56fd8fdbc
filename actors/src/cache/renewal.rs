//! What a running server can be told anew: keys and limits, which it passes on to its hubs, and that it is to stop.

use actix::prelude::*;

use super::{CacheActor, Drain};
use crate::health::Phase;
use crate::messages::{NewAuth, NewLimits, Retire};
use crate::state::step::Step;

impl Handler<NewAuth> for CacheActor {
    type Result = ();

    fn handle(&mut self, message: NewAuth, _: &mut Self::Context) {
        for link in self.hubs.iter().flatten() {
            link.auth.do_send(message.clone());
        }
        self.auth = Some(message);
    }
}

impl Handler<NewLimits> for CacheActor {
    type Result = ();

    fn handle(&mut self, new: NewLimits, _: &mut Self::Context) {
        self.state.set_limits(new.limits, new.connections.per_user);
        for link in self.hubs.iter().flatten() {
            link.limits.do_send(new.clone());
        }
    }
}

impl Handler<Retire> for CacheActor {
    type Result = ();

    fn handle(&mut self, _: Retire, _: &mut Self::Context) {
        self.phase = Phase::Draining;
    }
}

impl Handler<Drain> for CacheActor {
    type Result = ();

    fn handle(&mut self, Drain(drained): Drain, _: &mut Self::Context) {
        (self.phase, self.draining) = (Phase::Draining, true);
        self.drained = Some(drained);
        self.carry_out(Step::default());
    }
}
