//! What the cache actor does for the accounts: knows who has one, and says which ids nobody has.

use actix::prelude::*;
use chappe_proto::UserId;

use super::CacheActor;
use crate::accounts::{FindFree, NewAccounts};
use crate::state::step::Step;

impl Handler<NewAccounts> for CacheActor {
    type Result = ();

    fn handle(&mut self, NewAccounts(accounts): NewAccounts, _: &mut Self::Context) {
        let now = self.clock.now();
        let mut step = Step::default();
        for account in accounts {
            self.state.make_user(account.user, account.nickname.into(), now, &mut step);
        }
        self.carry_out(step);
    }
}

impl Handler<FindFree> for CacheActor {
    type Result = Option<UserId>;

    fn handle(&mut self, FindFree(from): FindFree, _: &mut Self::Context) -> Self::Result {
        self.state.free_user(from)
    }
}
