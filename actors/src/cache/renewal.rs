//! What a running server can be told anew, and passes on to its hubs: keys and limits.

use actix::prelude::*;

use super::CacheActor;
use crate::messages::{NewAuth, NewLimits};

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
